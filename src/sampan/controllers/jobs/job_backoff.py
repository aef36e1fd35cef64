"""How long a Job waits after failures before it makes the next pod: ten seconds, doubling up to ten minutes.

Counted are the failures since the last success, also those that the failure policy ignores, and pods that were deleted
while they ran. When a pod failed its containers tell, or else its Ready condition, its deletion, at last its creation.
Failures are remembered for as long as the Job is watched, for a deleted pod is soon gone; after a restart they are
learned anew from the pods that are still there. With `backoffLimitPerIndex` each index waits for itself: its last
failed pod says how often it has failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sampan.apimachinery.object import Object, dig, meta, uid_of
from sampan.controllers import times
from sampan.controllers.jobs.job_pods import Attempt, is_failed, is_tracked
from sampan.controllers.pods import condition, phase_of

BACKOFF_S = 10.0
MAX_BACKOFF_S = 600.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How many pods have failed since the last success, and when the last of them did."""

    failures: int = 0
    last: datetime | None = None

    def wait_s(self, now: datetime, at_least: int = 0) -> float:
        """Seconds until the next pod may be made; `at_least` as many failures are known from elsewhere."""
        return 0.0 if self.last is None else _wait_s(self.last, max(self.failures, at_least), now)


@dataclass(slots=True)
class _Memory:
    failures: dict[str, datetime] = field(default_factory=dict)
    success: datetime | None = None


class Failures:
    """What is remembered of each Job's failures, by the Job's uid."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Memory] = {}

    def backoff(self, job: Object, pods: Iterable[Object]) -> Backoff:
        """Remember what the pods tell, and say what it comes to."""
        memory = self._jobs.setdefault(uid_of(job), _Memory())
        for pod in pods:
            if phase_of(pod) == "Succeeded":
                moment = finished_at(pod)
                memory.success = moment if memory.success is None else max(memory.success, moment)
            elif phase_of(pod) == "Failed" or (is_tracked(pod) and is_failed(job, pod)):
                memory.failures.setdefault(uid_of(pod), finished_at(pod))
        if memory.success is not None:
            since = memory.success
            memory.failures = {uid: moment for uid, moment in memory.failures.items() if moment > since}
        return Backoff(len(memory.failures), max(memory.failures.values(), default=None))

    def forget(self, jobs: frozenset[str]) -> None:
        """Keep only what is about `jobs`, by their uids."""
        self._jobs = {uid: memory for uid, memory in self._jobs.items() if uid in jobs}

    def __len__(self) -> int:
        return len(self._jobs)


def index_wait_s(pod: Object, following: Attempt, now: datetime) -> float:
    """Seconds until the pod that comes after the failed `pod` of an index, as `following`, may be made."""
    return _wait_s(finished_at(pod), following.total, now)


def _wait_s(last: datetime, failed: int, now: datetime) -> float:
    if not failed:
        return 0.0
    delay = min(BACKOFF_S * 2 ** min(failed - 1, 10), MAX_BACKOFF_S)
    if last > now + timedelta(seconds=delay):
        return 0.0  # a clock was wrong by more than that: waiting for its future could take for ever
    return max((last + timedelta(seconds=delay) - now).total_seconds(), 0.0)


def finished_at(pod: Object) -> datetime:
    """When an ended pod ended, as far as it tells."""
    ends = [
        dig(status, "state", "terminated", "finishedAt")
        for field in ("containerStatuses", "initContainerStatuses") for status in dig(pod, "status", field, default=())
    ]
    if ends and all(ends):
        return max(times.parse(end) for end in ends)
    ready = condition(pod, "Ready") or {}
    if ready.get("status") == "False" and (since := times.parse_or_none(ready.get("lastTransitionTime"))) is not None:
        return since
    if (deleted := times.parse_or_none(meta(pod).get("deletionTimestamp"))) is not None:
        return deleted - timedelta(seconds=int(meta(pod).get("deletionGracePeriodSeconds") or 0))
    return times.parse(meta(pod)["creationTimestamp"])
