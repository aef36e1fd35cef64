"""The pods of a Job, counted: each exactly once, whatever crashes.

A finished pod that still has the tracking finalizer is listed in `status.uncountedTerminatedPods`; once it has lost the
finalizer it moves from there into the numbers. Successes of an Indexed Job need no list: `completedIndexes` says which
there were, and their number is `succeeded`, also after `completions` was made smaller. What a failure means is asked of
the failure policy: an ignored one is let go uncounted. With `backoffLimitPerIndex` each index keeps its own number of
failures, handed from its failed pod to the next in an annotation; so the last failed pod of an index keeps its
finalizer until its successor exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sampan.apimachinery.object import Object, annotations_of, dig, is_being_deleted, meta, uid_of
from sampan.controllers.job_pods import (
    INDEX,
    TRACKING,
    Attempt,
    attempt_after,
    attempt_of,
    compressed_indexes,
    expanded_indexes,
)
from sampan.controllers.job_policies import FAIL_INDEX, FAIL_JOB, IGNORE, Ruling, ruling_on
from sampan.controllers.pods import phase_of


@dataclass(slots=True)
class Tally:
    """`succeeded` and `failed` include pods that are not yet in the status' counts."""

    active: list[Object] = field(default_factory=list)
    terminating: list[Object] = field(default_factory=list)
    succeeded: int = 0
    failed: int = 0
    done_indexes: frozenset[int] = frozenset()
    failed_indexes: frozenset[int] = frozenset()
    tracked: list[Object] = field(default_factory=list)
    """Finished pods that have the finalizer and may lose it once they are recorded."""
    ignored: list[Object] = field(default_factory=list)
    """Failed pods that do not count and may lose the finalizer at once."""
    attempts: dict[int, tuple[Object, Attempt]] = field(default_factory=dict)
    """For each index that must be tried again: its last failed pod, and what the next pod will be."""
    verdict: Ruling | None = None
    """The ruling that fails the whole Job, if there is one."""
    status: Object = field(default_factory=dict)
    """The part of the status that counts finished pods, as it is to be written."""


def is_indexed(job: Object) -> bool:
    return bool(dig(job, "spec", "completionMode") == "Indexed")


def index_of(pod: Object) -> int | None:
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def is_tracked(pod: Object) -> bool:
    return TRACKING in (meta(pod).get("finalizers") or ())


def uncounted(status: Object, kind: str) -> list[str]:
    return list(dig(status, "uncountedTerminatedPods", kind, default=()))


def replaces_only_failed(job: Object) -> bool:
    """Whether a pod that is being deleted is waited for before it is replaced."""
    policy = dig(job, "spec", "podReplacementPolicy")
    return bool(policy == "Failed" or (policy is None and dig(job, "spec", "podFailurePolicy") is not None))


def count(job: Object, pods: Sequence[Object]) -> Tally:
    """Count the Job's pods, and move what has lost its finalizer from uncounted to counted."""
    return _Counting(job, pods).result()


class _Counting:
    def __init__(self, job: Object, pods: Sequence[Object]) -> None:
        self._job, self._pods, self._status = job, pods, job.get("status") or {}
        self._indexed = is_indexed(job)
        self._limit = dig(job, "spec", "backoffLimitPerIndex")
        self._completions = int(dig(job, "spec", "completions", default=0))
        tracked = {uid_of(pod) for pod in pods if is_tracked(pod)}
        listed = {kind: uncounted(self._status, kind) for kind in ("succeeded", "failed")}
        self._known = {uid for uids in listed.values() for uid in uids}
        self._counted = {
            kind: int(self._status.get(kind) or 0) + sum(uid not in tracked for uid in uids)
            for kind, uids in listed.items()
        }
        self._open = {kind: [uid for uid in uids if uid in tracked] for kind, uids in listed.items()}
        self._done = self._indexes("completedIndexes")
        self._given_up = self._indexes("failedIndexes")
        self._tally = Tally()

    def result(self) -> Tally:
        for pod in self._pods:
            self._sort_in(pod)
        for pod in self._held():
            self._tally.tracked.remove(pod)
            self._open["failed"] = [uid for uid in self._open["failed"] if uid != uid_of(pod)]
        tally = self._tally
        totals = {kind: self._counted[kind] + len(self._open[kind]) for kind in self._counted}
        tally.failed = totals["failed"]
        tally.succeeded = len(self._done) if self._indexed else totals["succeeded"]
        tally.done_indexes, tally.failed_indexes = frozenset(self._done), frozenset(self._given_up)
        counted = {**self._counted, **({"succeeded": len(self._done)} if self._indexed else {})}
        tally.status = {kind: number for kind, number in counted.items() if number}
        if self._indexed and self._done:
            tally.status["completedIndexes"] = compressed_indexes(self._done)
        if self._limit is not None:
            tally.status["failedIndexes"] = compressed_indexes(self._given_up)
        tally.status["uncountedTerminatedPods"] = {kind: uids for kind, uids in self._open.items() if uids}
        return tally

    def _indexes(self, field: str) -> set[int]:
        return {one for one in expanded_indexes(self._status.get(field) or "") if one < self._completions}

    def _sort_in(self, pod: Object) -> None:
        phase, going = phase_of(pod), is_being_deleted(pod)
        if going and phase not in ("Succeeded", "Failed"):
            self._tally.terminating.append(pod)
            if replaces_only_failed(self._job):
                return
        if phase == "Succeeded":
            self._success(pod)
        elif phase == "Failed" or going:
            self._failure(pod)
        else:
            self._tally.active.append(pod)

    def _success(self, pod: Object) -> None:
        if not is_tracked(pod):
            return
        self._tally.tracked.append(pod)
        if self._indexed:
            index = index_of(pod)
            if index is None or index >= self._completions:
                return
            self._done.add(index)  # a second success of one index does not count
            return
        self._record("succeeded", pod)

    def _failure(self, pod: Object) -> None:
        if not is_tracked(pod):
            return
        ruling = ruling_on(self._job, pod)
        index = index_of(pod)
        if ruling.action == FAIL_JOB:
            self._tally.verdict = self._tally.verdict or ruling
        if self._limit is not None and index is not None and index < self._completions:
            self._retry(pod, index, ruling)
        if ruling.action == IGNORE:
            self._tally.ignored.append(pod)
            return
        self._tally.tracked.append(pod)
        self._record("failed", pod)

    def _retry(self, pod: Object, index: int, ruling: Ruling) -> None:
        following = attempt_after(pod, ignored=ruling.action == IGNORE)
        if ruling.action == FAIL_INDEX or following.failures > int(self._limit or 0):
            self._given_up.add(index)
            return
        known = self._tally.attempts.get(index)
        if known is None or attempt_of(known[0]).total < attempt_of(pod).total:
            self._tally.attempts[index] = (pod, following)

    def _held(self) -> list[Object]:
        """The last failed pods of indexes that have no successor yet; drops the attempts that nobody needs."""
        busy = {index_of(pod) for pod in self._tally.active} | self._done | self._given_up
        self._tally.attempts = {
            index: attempt for index, attempt in sorted(self._tally.attempts.items()) if index not in busy
        }
        held = [pod for pod, _ in self._tally.attempts.values()]
        self._tally.ignored = [pod for pod in self._tally.ignored if pod not in held]
        return [pod for pod in held if pod in self._tally.tracked]

    def _record(self, kind: str, pod: Object) -> None:
        if uid_of(pod) not in self._known:
            self._open[kind].append(uid_of(pod))
