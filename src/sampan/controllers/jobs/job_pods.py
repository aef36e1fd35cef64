"""The pods of a Job: how one is made, what is asked of one, how completion indexes are written.

Every pod has the tracking finalizer. One of an Indexed Job knows its index from annotation, label, host name and the
variable JOB_COMPLETION_INDEX; with `backoffLimitPerIndex` also how often that index has failed before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sampan.api.resources import PODS
from sampan.apimachinery.object import (
    Object,
    annotations_of,
    dig,
    is_being_deleted,
    meta,
    name_of,
    namespace_of,
    uid_of,
)
from sampan.client.events import NORMAL, WARNING
from sampan.controllers.pods import phase_of
from sampan.controllers.workloads import pod_template
from sampan.reconcile.plan import Create, Note, Patch

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
_VARIABLE = "JOB_COMPLETION_INDEX"
_MOST_FAILURES = 2**31 - 1
_LONGEST_PREFIX = 58
"""A name has 63 letters, and the server adds five."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How often an index has failed before this pod, with and without counting."""

    failures: int = 0
    ignored: int = 0

    @property
    def total(self) -> int:
        return self.failures + self.ignored


def attempt_of(pod: Object) -> Attempt:
    """As the pod's annotations have it."""
    found = annotations_of(pod)
    return Attempt(_number(found.get(FAILURES)), _number(found.get(IGNORED_FAILURES)))


def _number(text: str | None) -> int:
    """What somebody else has written there counts as nothing."""
    value = int(text) if text is not None and text.isdecimal() else 0
    return value if value <= _MOST_FAILURES else 0


def attempt_after(pod: Object, *, ignored: bool) -> Attempt:
    """What the next pod of the index is, after this one has failed."""
    known = attempt_of(pod)
    return Attempt(known.failures + (not ignored), known.ignored + ignored)


def new_pod(job: Object, index: int | None, attempt: Attempt | None = None) -> Create:
    """A pod of the Job, of a completion index or none; `attempt` where indexes have limits of their own."""
    pod = pod_template.pod_from(dig(job, "spec", "template", default={}), job)
    metadata, spec = pod["metadata"], dict(pod["spec"])
    metadata["finalizers"] = [*(metadata.get("finalizers") or ()), TRACKING]
    if index is not None:
        metadata["annotations"] = {**(metadata.get("annotations") or {}), INDEX: str(index)}
        if attempt is not None:
            metadata["annotations"][FAILURES] = str(attempt.failures)
            if attempt.ignored:
                metadata["annotations"][IGNORED_FAILURES] = str(attempt.ignored)
        metadata["labels"] = {**(metadata.get("labels") or {}), INDEX: str(index)}
        metadata["generateName"] = _prefix(name_of(job), f"-{index}-")
        spec["hostname"] = f"{name_of(job)}-{index}"
        for field in ("containers", "initContainers"):
            if spec.get(field):
                spec[field] = [_with_index(container) for container in spec[field]]
    return Create(
        PODS, {**pod, "metadata": metadata, "spec": spec},
        created=Note(job, NORMAL, "SuccessfulCreate", "Created pod: {name}"),
        failed=Note(job, WARNING, "FailedCreate", "Error creating: {error}"),
    )


def _prefix(name: str, ending: str) -> str:
    """The name and the whole ending, in as many letters as leave room for a random suffix."""
    return name[: _LONGEST_PREFIX - len(ending)] + ending


def _with_index(container: Object) -> Object:
    known = container.get("env") or []
    if any(one.get("name") == _VARIABLE for one in known):
        return container
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    return {**container, "env": [*known, {"name": _VARIABLE, "valueFrom": source}]}


def compressed_indexes(indexes: Iterable[int]) -> str:
    """As `status.completedIndexes`: `1,3-5,7`; two in a row are no run."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(
        f"{low}-{high}" if high > low + 1 else ",".join(map(str, range(low, high + 1))) for low, high in runs
    )


def expanded_indexes(text: str) -> list[int]:
    """The inverse of `compressed_indexes`. A part that is no run of indexes is left out."""
    found: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        if low.isdecimal() and (high or low).isdecimal():
            found += range(int(low), int(high or low) + 1)
    return found


def index_of(pod: Object) -> int | None:
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isdecimal() else None


def is_tracked(pod: Object) -> bool:
    return TRACKING in (meta(pod).get("finalizers") or ())


def replaces_only_failed(job: Object) -> bool:
    """Whether a pod that is being deleted is waited for before it is replaced."""
    policy = dig(job, "spec", "podReplacementPolicy")
    return bool(policy == "Failed" or dig(job, "spec", "podFailurePolicy") is not None)


def is_failed(job: Object, pod: Object) -> bool:
    """Failed; or being deleted, where the Job does not wait to see what becomes of it."""
    if phase_of(pod) == "Failed":
        return True
    return is_being_deleted(pod) and phase_of(pod) != "Succeeded" and not replaces_only_failed(job)


def let_go(pod: Object) -> Patch:
    """Take the finalizer away."""
    metadata = {"uid": uid_of(pod), "$deleteFromPrimitiveList/finalizers": [TRACKING]}
    return Patch(PODS, name_of(pod), namespace_of(pod), {"metadata": metadata}, missing_ok=True)
