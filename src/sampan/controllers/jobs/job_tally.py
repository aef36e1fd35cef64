"""The pods of a Job, counted: each exactly once, whatever crashes.

A finished pod that still has the tracking finalizer is listed in `status.uncountedTerminatedPods`; once it has lost the
finalizer it moves from there into the numbers. Successes of an Indexed Job need no list: `completedIndexes` says which
there were, and their number is `succeeded`, also after `completions` was made smaller; what has no index below that
counts neither way. What a failure means is asked of the failure policy: an ignored one is let go uncounted. With
`backoffLimitPerIndex` each index keeps its own number of failures, handed from its failed pod to the next in an
annotation; so the last failed pod of an index keeps its finalizer until its successor exists.

Two steps: `tally` is what there is, from which the Job decides; `record` is what is written down of it. A Job that is
over or being deleted holds no pod back, and one that has failed counts those as failed that it now ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sampan.apimachinery.object import Object, dig, is_being_deleted, uid_of
from sampan.controllers.jobs.job_backoff import finished_at
from sampan.controllers.jobs.job_pods import (
    Attempt,
    attempt_after,
    attempt_of,
    compressed_indexes,
    expanded_indexes,
    index_of,
    is_failed,
    is_tracked,
)
from sampan.controllers.jobs.job_policies import FAIL_INDEX, FAIL_JOB, IGNORE, Ruling, ruling_on
from sampan.controllers.pods import phase_of

MOST_UNCOUNTED = 500
"""So many pods are written down at once, lest the status grow too large."""


@dataclass(slots=True)
class Tally:
    """`succeeded` and `failed` include pods that are not yet in the status' counts."""

    active: list[Object] = field(default_factory=list)
    terminating: list[Object] = field(default_factory=list)
    succeeded: int = 0
    failed: int = 0
    done_indexes: frozenset[int] = frozenset()
    failed_indexes: frozenset[int] = frozenset()
    attempts: dict[int, tuple[Object, Attempt]] = field(default_factory=dict)
    """For each index that must be tried again: its last failed pod, and what the next pod will be."""
    verdict: Ruling | None = None
    """The ruling that fails the whole Job, if there is one."""


@dataclass(slots=True)
class Record:
    """What is written down of a tally."""

    status: Object = field(default_factory=dict)
    """The part of the status that counts finished pods."""
    released: list[Object] = field(default_factory=list)
    """Pods that lose the finalizer once the status is written."""
    complete: bool = True
    """Nothing is left for the next time."""
    ended: frozenset[str] = frozenset()
    """The uids of active pods that the Job now deletes."""
    rulings: list[str] = field(default_factory=list)
    """The actions of the failure policy that were applied."""

    @property
    def settled(self) -> bool:
        """Every finished pod is in the numbers."""
        return self.complete and not any(self.status["uncountedTerminatedPods"].values())


def is_indexed(job: Object) -> bool:
    return bool(dig(job, "spec", "completionMode") == "Indexed")


def uncounted(status: Object, kind: str) -> list[str]:
    return list(dig(status, "uncountedTerminatedPods", kind, default=()))


class Counting:
    """Counts the Job's pods, and moves what has lost its finalizer from uncounted to counted."""

    def __init__(self, job: Object, pods: Sequence[Object]) -> None:
        self._job, self._pods, self._status = job, pods, job.get("status") or {}
        self._indexed = is_indexed(job)
        self._limit = dig(job, "spec", "backoffLimitPerIndex")
        self._completions = int(dig(job, "spec", "completions", default=0))
        tracked = {uid_of(pod) for pod in pods if is_tracked(pod)}
        listed = {kind: uncounted(self._status, kind) for kind in ("succeeded", "failed")}
        self._counted = {
            kind: int(self._status.get(kind) or 0) + sum(uid not in tracked for uid in uids)
            for kind, uids in listed.items()
        }
        self._open = {kind: [uid for uid in uids if uid in tracked] for kind, uids in listed.items()}
        self._known = {kind: frozenset(uids) for kind, uids in self._open.items()}
        self._done = self._indexes("completedIndexes")
        self._done_before = frozenset(self._done)
        self._given_up = self._indexes("failedIndexes") if self._limit is not None else set()
        self.tally = self._tally()

    def record(self, ended: Iterable[Object], *, over: bool = False, failed: bool = False) -> Record:
        """What to write and whom to let go, now that pods are `ended`.

        `over`: every pod is let go; `failed`: those that still ran have failed.
        """
        record = Record(ended=frozenset(map(uid_of, ended)))
        new_indexes = 0
        for pod in sorted(self._pods, key=self._index_order) if self._indexed else self._pods:
            if not is_tracked(pod) or not (over or self._may_go(pod)):
                continue
            record.released.append(pod)
            if phase_of(pod) == "Succeeded":
                new_indexes += self._is_new_success(pod) and self._write_success(pod)
            elif (failed or is_failed(self._job, pod)) and self._is_new_failure(pod):
                self._write_failure(pod, record)
            if new_indexes + sum(map(len, self._open.values())) >= MOST_UNCOUNTED:
                record.complete = False
                break
        record.status = self._counts()
        return record

    def _indexes(self, name: str) -> set[int]:
        return {one for one in expanded_indexes(self._status.get(name) or "") if one < self._completions}

    def _tally(self) -> Tally:
        tally = Tally()
        failed = succeeded = 0
        for pod in self._pods:
            phase = phase_of(pod)
            if is_being_deleted(pod) and phase not in ("Succeeded", "Failed"):
                tally.terminating.append(pod)
            if phase == "Succeeded":
                succeeded += is_tracked(pod) and self._is_new_success(pod)
            elif is_failed(self._job, pod):
                failed += self._failure(pod, tally)
            elif not is_being_deleted(pod):
                tally.active.append(pod)
        self._done |= set(self._new_indexes())
        tally.failed = self._counted["failed"] + len(self._open["failed"]) + failed
        tally.succeeded = self._counted["succeeded"] + len(self._open["succeeded"]) + succeeded
        if self._indexed:
            tally.succeeded = len(self._done)
        busy = {index_of(pod) for pod in tally.active} | self._done | self._given_up
        tally.attempts = {index: one for index, one in sorted(tally.attempts.items()) if index not in busy}
        tally.done_indexes, tally.failed_indexes = frozenset(self._done), frozenset(self._given_up)
        return tally

    def _failure(self, pod: Object, tally: Tally) -> bool:
        """Whether the failed pod counts and has not been counted yet."""
        ruling = ruling_on(self._job, pod)
        if ruling.action == FAIL_JOB:
            tally.verdict = tally.verdict or ruling
        if not is_tracked(pod) or not self._belongs(pod):
            return False
        if self._limit is not None and (index := index_of(pod)) is not None:
            self._retry(pod, index, ruling, tally)
        return self._is_new_failure(pod) and ruling.action != IGNORE

    def _retry(self, pod: Object, index: int, ruling: Ruling, tally: Tally) -> None:
        following = attempt_after(pod, ignored=ruling.action == IGNORE)
        if ruling.action == FAIL_INDEX or (ruling.action != IGNORE and following.failures > int(self._limit)):
            self._given_up.add(index)
            return
        known = tally.attempts.get(index)
        if known is None or _age(known[0]) <= _age(pod):
            tally.attempts[index] = (pod, following)

    def _belongs(self, pod: Object) -> bool:
        """Whether it counts at all: of an Indexed Job, that it has an index which is still wanted."""
        return not self._indexed or ((index := index_of(pod)) is not None and index < self._completions)

    def _is_new_success(self, pod: Object) -> bool:
        """What was once written down as failed has failed, whatever it says now."""
        uid = uid_of(pod)
        return self._belongs(pod) and uid not in self._known["failed"] and uid not in self._known["succeeded"]

    def _is_new_failure(self, pod: Object) -> bool:
        return self._belongs(pod) and uid_of(pod) not in self._known["failed"]

    def _new_indexes(self) -> Iterator[int]:
        if self._indexed:
            for pod in self._pods:
                if phase_of(pod) == "Succeeded" and is_tracked(pod) and self._is_new_success(pod):
                    index = index_of(pod)
                    assert index is not None
                    yield index

    def _may_go(self, pod: Object) -> bool:
        if phase_of(pod) == "Succeeded":
            return True
        held = self.tally.attempts.get(index_of(pod)) if self._limit is not None else None  # type: ignore[arg-type]
        return is_failed(self._job, pod) and (held is None or held[0] is not pod)

    def _write_success(self, pod: Object) -> bool:
        """Whether it is an index more."""
        if self._indexed:
            return index_of(pod) not in self._done_before
        self._open["succeeded"].append(uid_of(pod))
        return False

    def _write_failure(self, pod: Object, record: Record) -> None:
        ruling = ruling_on(self._job, pod)
        if ruling.matched:
            record.rulings.append(ruling.action)
        if ruling.action != IGNORE:
            self._open["failed"].append(uid_of(pod))

    def _counts(self) -> Object:
        counted = {**self._counted, **({"succeeded": len(self._done)} if self._indexed else {})}
        status: Object = {kind: number for kind, number in counted.items() if number}
        if self._indexed and self._done:
            status["completedIndexes"] = compressed_indexes(self._done)
        if self._limit is not None and self._indexed:
            status["failedIndexes"] = compressed_indexes(self._given_up)
        status["uncountedTerminatedPods"] = {kind: uids for kind, uids in self._open.items() if uids}
        return status

    def _index_order(self, pod: Object) -> int:
        index = index_of(pod)
        return -1 if index is None else index


def _age(pod: Object) -> tuple[int, object]:
    """How far a failed pod of an index is: after how many failures, and when."""
    return attempt_of(pod).total, finished_at(pod)
