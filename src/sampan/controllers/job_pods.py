"""The pods of a Job: how one is made, how indexes are written, how long a failure delays the next pod."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sampan.api.resources import PODS
from sampan.apimachinery.object import Object, annotations_of, dig, meta, name_of
from sampan.client.events import NORMAL, WARNING
from sampan.controllers import pod_template, times
from sampan.controllers.pods import condition, phase_of
from sampan.reconcile.plan import Create, Note

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
BACKOFF_S = 10.0
MAX_BACKOFF_S = 600.0
_VARIABLE = "JOB_COMPLETION_INDEX"


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
    return Attempt(int(found.get(FAILURES, "0")), int(found.get(IGNORED_FAILURES, "0")))


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
        metadata["generateName"] = f"{name_of(job)}-{index}-"
        spec.setdefault("hostname", f"{name_of(job)}-{index}")
        for field in ("containers", "initContainers"):
            if spec.get(field):
                spec[field] = [_with_index(container) for container in spec[field]]
    return Create(
        PODS, {**pod, "metadata": metadata, "spec": spec},
        created=Note(job, NORMAL, "SuccessfulCreate", "Created pod: {name}"),
        failed=Note(job, WARNING, "FailedCreate", "Error creating: {error}"),
    )


def _with_index(container: Object) -> Object:
    known = container.get("env") or []
    if any(one.get("name") == _VARIABLE for one in known):
        return container
    source = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
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
    """The inverse of `compressed_indexes`."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    return found


def pod_backoff_s(pods: Sequence[Object], failed: int, now: datetime) -> float:
    """Seconds until the next pod may be created: 10 after the first failure, doubling, until a pod succeeds."""
    failures = _moments(pods, "Failed")
    success = max(_moments(pods, "Succeeded"), default=None)
    since = [moment for moment in failures if success is None or moment > success]
    if not since or not failed:
        return 0.0
    return _backoff_s(max(since), failed if success is None else len(since), now)


def _moments(pods: Sequence[Object], phase: str) -> list[datetime]:
    """When the pods of this phase ended."""
    found = (_finished_at(pod) for pod in pods if phase_of(pod) == phase)
    return [moment for moment in found if moment is not None]


def index_backoff_s(pod: Object, attempt: Attempt, now: datetime) -> float:
    """Seconds until the pod that comes after the failed `pod` may be created, when indexes are counted alone."""
    last = _finished_at(pod)
    return 0.0 if last is None else _backoff_s(last, attempt.total, now)


def _backoff_s(last: datetime, failed: int, now: datetime) -> float:
    delay = min(BACKOFF_S * 2 ** min(failed - 1, 10), MAX_BACKOFF_S)
    if last > now + timedelta(seconds=delay):
        return 0.0  # a clock was wrong by more than that: waiting for its future could take for ever
    return max((last + timedelta(seconds=delay) - now).total_seconds(), 0.0)


def _finished_at(pod: Object) -> datetime | None:
    """When the last container ended, or else when the pod was no longer ready."""
    ends = [
        dig(status, "state", "terminated", "finishedAt")
        for status in dig(pod, "status", "containerStatuses", default=())
    ]
    if ends and all(ends):
        return max(times.parse(end) for end in ends)
    text = (condition(pod, "Ready") or {}).get("lastTransitionTime") or meta(pod).get("deletionTimestamp")
    return times.parse_or_none(text)
