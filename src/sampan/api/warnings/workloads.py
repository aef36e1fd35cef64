"""Workloads: their templates, as long as these are new."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from sampan.api.warnings.pods import names_pods, template_warnings
from sampan.api.warnings.volumes import claim_spec
from sampan.apimachinery.object import Object, dig

Warnings: TypeAlias = Callable[[Object, Object | None], Iterator[str]]
_COMPLETIONS: Final = 100_000
_PARALLELISM: Final = 10_000


def _is_news(new: Object, old: Object | None) -> bool:
    """The spec is another one than before, which the generation counts."""
    return old is None or dig(new, "metadata", "generation") != dig(old, "metadata", "generation")


def with_template(*, names: bool) -> Warnings:
    """For kinds with `spec.template`; `names`: a pod's hostname contains the workload's name."""
    def warnings(new: Object, old: Object | None) -> Iterator[str]:
        if names and old is None:
            yield from names_pods(new)
        if _is_news(new, old):
            yield from template_warnings("spec.template.", dig(new, "spec", "template", default={}))
    return warnings


def stateful_set(new: Object, old: Object | None) -> Iterator[str]:
    if not _is_news(new, old):
        return
    yield from template_warnings("spec.template.", dig(new, "spec", "template", default={}))
    for position, claim in enumerate(dig(new, "spec", "volumeClaimTemplates", default=())):
        yield from claim_spec(f"spec.volumeClaimTemplates[{position}].Spec", claim.get("spec") or {})
    if dig(new, "spec", "revisionHistoryLimit", default=0) < 0:
        yield "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is " \
              "recommended"


def pod_template(new: Object, old: Object | None) -> Iterator[str]:
    yield from template_warnings("template.", new.get("template") or {})


def _job_spec(where: str, spec: Object) -> Iterator[str]:
    if spec.get("completionMode") == "Indexed" and (spec.get("completions") or 0) > _COMPLETIONS \
            and (spec.get("parallelism") or 0) > _PARALLELISM:
        yield f"{where}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than " \
              "10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
    yield from template_warnings(f"{where}.template.", spec.get("template") or {})


def job(new: Object, old: Object | None) -> Iterator[str]:
    if old is None:
        yield from names_pods(new)
    if _is_news(new, old):
        yield from _job_spec("spec", new.get("spec") or {})


def cron_job(new: Object, old: Object | None) -> Iterator[str]:
    if old is None:
        yield from names_pods(new)
    if _is_news(new, old):
        yield from _job_spec("spec.jobTemplate.spec", dig(new, "spec", "jobTemplate", "spec", default={}))
    if "TZ" in str(dig(new, "spec", "schedule", default="")):
        yield "CRON_TZ or TZ used in spec.spec.schedule is not officially supported, see " \
              "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
