"""Job: runs pods until enough of them have succeeded, or too many have failed.

Observed: the Job and its pods. Each pod carries the finalizer `batch.kubernetes.io/job-tracking`, so that none can
vanish uncounted: a finished pod's uid is first written into `status.uncountedTerminatedPods`, then its finalizer is
taken away, and only then it moves from there into the counts. A crash at any point counts every pod exactly once.

Desired: `parallelism` active pods, fewer when fewer completions are left. With completionMode Indexed each completion
has an index of its own. After a failure the next pod waits ten seconds, doubling up to ten minutes; with
`backoffLimitPerIndex` each index waits and fails for itself. A Job fails beyond `backoffLimit`,
`activeDeadlineSeconds` or `maxFailedIndexes`, or by its failure policy; it is complete with enough successes, or by its
success policy. Its active pods are then deleted. A suspended Job has no active pods.

Done about the difference: pods are created or deleted, never both at once. One that is deleted because it is not wanted
any more (too many, suspended, enough have succeeded) first loses its finalizer, so it is no failure; those that a
failing Job ends are. Files beside this one: `job_tally` counts, `job_backoff` waits, `job_policies` judges failures and
successes, `job_status` tells, `job_pods` makes a pod, `job_figures` counts for Prometheus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sampan import effects
from sampan.api.resources import JOBS, PODS
from sampan.apimachinery import selectors
from sampan.apimachinery.object import (
    Object,
    controller_of,
    dig,
    is_being_deleted,
    key_of,
    labels_of,
    meta,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from sampan.client.events import NORMAL, WARNING
from sampan.controllers import times
from sampan.controllers.conditions import Condition
from sampan.controllers.jobs.job_backoff import Backoff, Failures, index_wait_s
from sampan.controllers.jobs.job_figures import JobFigures
from sampan.controllers.jobs.job_pods import (
    TRACKING,
    Attempt,
    index_of,
    is_tracked,
    let_go,
    new_pod,
    replaces_only_failed,
)
from sampan.controllers.jobs.job_policies import success
from sampan.controllers.jobs.job_status import COMPLETE, FAILED, decided, is_over, is_suspended, report
from sampan.controllers.jobs.job_tally import Counting, Tally, is_indexed
from sampan.controllers.ownership import claim, with_finalizer
from sampan.controllers.pods import deletion_order, index_by_owner, owned_or_orphaned, phase_of
from sampan.reconcile.controller import Wiring, owner_key
from sampan.reconcile.plan import NOTHING, Create, Delete, Note, Parallel, Plan, Step, Update

BURST = 500
_TRACKED = "tracked"
"""Pods with our finalizer, by the key of the Job that their owner reference names."""
_POD = "pod:"
"""Begins the key of a pod that has our finalizer and no controller."""
MANAGER = "kubernetes.io/job-controller"
_STATUSES = ("initContainerStatuses", "containerStatuses")


@dataclass(slots=True)
class Work:
    """Pods to delete, or to create; and when to look again."""

    ended: list[Object] = field(default_factory=list)
    created: list[Create] = field(default_factory=list)
    again_s: float | None = None


def plan(
    job: Object, pods: Sequence[Object], now: datetime, backoff: Backoff | None = None,
    figures: JobFigures | None = None,
) -> Plan:
    """The next step of the Job. Without `backoff` only the failures of `pods` are known."""
    if not is_ours(job):
        return NOTHING
    matches = selectors.from_document(dig(job, "spec", "selector")).matches
    claimed = with_finalizer(claim(job, JOBS, PODS, pods, matches), TRACKING)
    if is_over(job):
        return Plan(tuple(let_go(pod) for pod in claimed.objects if is_tracked(pod)))
    counting = Counting(job, claimed.objects)
    verdict = _verdict(job, counting.tally, now)
    work = _work(job, counting.tally, verdict, backoff or Failures().backoff(job, claimed.objects), now)
    failed = verdict is not None and verdict.type == FAILED
    record = counting.record(work.ended, over=verdict is not None or is_being_deleted(job), failed=failed)
    told = report(job, counting.tally, record, verdict, now)
    steps: list[Step] = list(claimed.steps)
    if not failed and (unwanted := tuple(let_go(pod) for pod in work.ended if is_tracked(pod))):
        steps.append(Parallel(unwanted))
    if work.ended:
        steps.append(_deletions(job, work.ended))
    if told.status != (job.get("status") or {}):
        steps.append(Update(JOBS, {**job, "status": told.status}, subresource="status", done=told.done))
    untracked = tuple(let_go(pod) for pod in record.released if failed or uid_of(pod) not in record.ended)
    if untracked:
        steps.append(Parallel(untracked))
    # New pods come last: they may be refused (a quota, a namespace that is going), and nothing else may hang on that.
    creations = (Parallel(tuple(work.created), slow_start=True),) if work.created else ()
    again_s = _sooner(work.again_s, _deadline_in(job, told.status, now))
    tell = figures.on(job, record.rulings) if figures is not None else None
    return Plan((*steps, *creations), tuple(told.notes), again_s, tell=tell)


def is_ours(job: Object) -> bool:
    """Whether `spec.managedBy` leaves the Job to this controller."""
    return bool(dig(job, "spec", "managedBy", default=MANAGER) == MANAGER)


def _verdict(job: Object, tally: Tally, now: datetime) -> Condition | None:
    """Why the Job is over, if it is. What has once been decided stays."""
    return decided(job) or _failure(job, tally, now) or _success(job, tally)


def _failure(job: Object, tally: Tally, now: datetime) -> Condition | None:
    spec = job["spec"]
    if tally.verdict is not None:
        return Condition(FAILED, True, "PodFailurePolicy", tally.verdict.message)
    if _has_tried_enough(job, tally):
        return Condition(FAILED, True, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = _deadline_in(job, job.get("status") or {}, now)
    if left is not None and left <= 0.001:
        return Condition(FAILED, True, "DeadlineExceeded", "Job was active longer than specified deadline")
    lost, most = len(tally.failed_indexes), spec.get("maxFailedIndexes")
    if most is not None and lost > int(most):
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Condition(FAILED, True, "MaxFailedIndexesExceeded", text)
    if lost and lost + tally.succeeded >= int(spec.get("completions") or 0):
        return Condition(FAILED, True, "FailedIndexes", "Job has failed indexes")
    return None


def _has_tried_enough(job: Object, tally: Tally) -> bool:
    """More pods have failed, or containers been started again in their pods, than the Job allows."""
    limit = int(dig(job, "spec", "backoffLimit", default=6))
    if tally.failed > limit:
        return True
    if dig(job, "spec", "template", "spec", "restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        status.get("restartCount", 0) for pod in (*tally.active, *tally.terminating)
        if phase_of(pod) in ("Running", "Pending") for field in _STATUSES
        for status in dig(pod, "status", field, default=())
    )
    return bool(restarts >= limit if limit else restarts > 0)


def _success(job: Object, tally: Tally) -> Condition | None:
    if is_indexed(job) and (text := success(job, tally.done_indexes)) is not None:
        return Condition(COMPLETE, True, "SuccessPolicy", text)
    completions = job["spec"].get("completions")
    complete = tally.succeeded > 0 and not tally.active if completions is None else tally.succeeded >= completions
    text = "Reached expected number of succeeded pods"
    return Condition(COMPLETE, True, "CompletionsReached", text) if complete else None


def _work(job: Object, tally: Tally, verdict: Condition | None, backoff: Backoff, now: datetime) -> Work:
    """What to do about the number of active pods."""
    if verdict is not None:
        return Work(ended=tally.active)
    if is_being_deleted(job):
        return Work()  # its pods go after it
    if dig(job, "spec", "suspend"):
        return Work(ended=tally.active)
    return _manage(job, tally, backoff, now)


def _manage(job: Object, tally: Tally, backoff: Backoff, now: datetime) -> Work:
    """Create or delete pods until as many are active as should be."""
    parallelism = int(dig(job, "spec", "parallelism", default=1))
    completions = dig(job, "spec", "completions")
    if completions is None:
        wanted = len(tally.active) if tally.succeeded else parallelism
    else:
        wanted = min(int(completions) - tally.succeeded - len(tally.failed_indexes), parallelism)
    surplus = len(tally.active) - wanted
    if superfluous := _superfluous(job, tally.active, max(surplus, 0), now):
        return Work(ended=superfluous[:BURST])
    waited_for = tally.terminating if replaces_only_failed(job) else []
    missing = min(-surplus - len(waited_for), BURST)
    if missing <= 0:
        return Work()
    if dig(job, "spec", "backoffLimitPerIndex") is not None:
        return _retry_indexes(job, tally, missing, now)
    # Where no success reset them, no failure may be forgotten that the status still knows of.
    wait_s = backoff.wait_s(now, at_least=0 if tally.succeeded else tally.failed)
    if wait_s > 0:
        return Work(again_s=wait_s)
    indexes: Sequence[int | None] = [None] * missing
    if is_indexed(job):
        indexes = _open_indexes(job, tally)[:missing]
    return Work(created=[new_pod(job, index) for index in indexes])


def _superfluous(job: Object, active: Sequence[Object], least: int, now: datetime) -> list[Object]:
    """At least `least` pods to delete: first those whose index is no more or has another pod, then the least useful."""
    order = deletion_order(active, active, now)
    keep: dict[int | None, Object] = {}
    if is_indexed(job):
        completions = int(dig(job, "spec", "completions", default=0))
        keep = {index: pod for pod in order if (index := index_of(pod)) is not None and index < completions}
        gone = [pod for pod in order if keep.get(index_of(pod)) is not pod]
    else:
        gone = []
    rest = [pod for pod in order if pod not in gone]
    return gone + rest[: max(least - len(gone), 0)]


def _open_indexes(job: Object, tally: Tally) -> list[int]:
    """Indexes that are neither done nor given up and have no pod, lowest first."""
    pods = [*tally.active, *(tally.terminating if replaces_only_failed(job) else ())]
    busy = tally.done_indexes | tally.failed_indexes | {index_of(pod) for pod in pods}
    return [index for index in range(int(dig(job, "spec", "completions", default=0))) if index not in busy]


def _retry_indexes(job: Object, tally: Tally, missing: int, now: datetime) -> Work:
    """Pods for the lowest open indexes. Each waits after its own failures; none goes ahead in the place of another."""
    work = Work()
    for index in _open_indexes(job, tally)[:missing]:
        before, attempt = tally.attempts.get(index, (None, Attempt()))
        wait_s = 0.0 if before is None else index_wait_s(before, attempt, now)
        if wait_s > 0:
            work.again_s = _sooner(work.again_s, wait_s)
        else:
            work.created.append(new_pod(job, index, attempt))
    return work


def _deadline_in(job: Object, status: Object, now: datetime) -> float | None:
    """Seconds until activeDeadlineSeconds is over. None for what is suspended, or was: its time begins anew."""
    limit, started = dig(job, "spec", "activeDeadlineSeconds"), times.parse_or_none(status.get("startTime"))
    if limit is None or started is None or dig(job, "spec", "suspend") or is_suspended(status):
        return None
    return times.seconds_until(started + timedelta(seconds=int(limit)), now)


def _sooner(a: float | None, b: float | None) -> float | None:
    found = [one for one in (a, b) if one is not None]
    return min(found) if found else None


def _deletions(job: Object, pods: Sequence[Object]) -> Parallel:
    return Parallel(tuple(
        Delete(
            PODS, name_of(pod), namespace_of(pod), uid=uid_of(pod),
            deleted=Note(job, NORMAL, "SuccessfulDelete", "Deleted pod: {name}"),
            failed=Note(job, WARNING, "FailedDelete", "Error deleting: {error}"),
        )
        for pod in pods
    ))


def is_of_former(pod: Object, job: Object) -> bool:
    """Whether a pod was made by a Job that had the name before `job`.

    It might as well be of one that is newer than `job`, which then is an old copy; but such a pod is younger than that,
    and nobody deletes it for want of an owner.
    """
    if (controller_of(pod) or {}).get("uid") == uid_of(job):
        return False
    created, since = meta(pod).get("creationTimestamp") or "", meta(job).get("creationTimestamp") or ""
    return is_being_deleted(pod) or created <= since


class JobReconciler:
    """Keys are Jobs; a pod concerns its owner, or the Jobs that would adopt it.

    A pod whose Job is gone only loses its finalizer, also when there is another Job of that name by now; so does one
    that nobody controls and no Job adopts, which is looked at under a key of its own.
    """

    def __init__(self, wiring: Wiring) -> None:
        self._jobs = wiring.watch(JOBS)
        self._pods = wiring.watch(PODS, self._concerned)
        index_by_owner(self._pods)
        self._pods.add_index(_TRACKED, lambda pod: owner_key("Job", "batch")(pod) if is_tracked(pod) else ())
        self._failures = Failures()
        self._figures = JobFigures()
        wiring.measure(*self._figures.all())
        wiring.hear(PODS, self._figures.heard)

    async def reconcile(self, key: str) -> Plan:
        if key.startswith(_POD):
            return self._stray(self._pods.get_by_key(key.removeprefix(_POD)))
        namespace, name = split_key(key)
        job = self._jobs.get(name, namespace)
        left = [pod for pod in self._pods.by_index(_TRACKED, key) if job is None or is_of_former(pod, job)]
        if left:
            # Pods of a Job that is gone must not be held by a finalizer that nobody would remove.
            return Plan(tuple(let_go(pod) for pod in sorted(left, key=key_of)))
        if job is None or is_over(job):
            self._forget()
        if job is None:
            self._figures.gone(key)
            return NOTHING
        if not is_ours(job):
            self._figures.seen_foreign(key, job)
            return NOTHING
        pods = sorted(owned_or_orphaned(self._pods, job), key=key_of)
        mine = [pod for pod in pods if (controller_of(pod) or {}).get("uid") == uid_of(job)]
        backoff = None if is_over(job) else self._failures.backoff(job, mine)
        return plan(job, pods, effects.now(), backoff, self._figures)

    def _forget(self) -> None:
        """Of failures only those of Jobs that go on are of interest."""
        going = frozenset(uid_of(job) for job in self._jobs.list() if not is_over(job))
        if len(self._failures) > len(going):
            self._failures.forget(going)

    def _stray(self, pod: Object | None) -> Plan:
        if pod is None or controller_of(pod) is not None or not is_tracked(pod):
            return NOTHING
        if not is_being_deleted(pod) and any(map(self._adopts, self._matching(pod))):
            return NOTHING
        return Plan((let_go(pod),))

    def _adopts(self, job: Object) -> bool:
        return is_ours(job) and not is_over(job) and not is_being_deleted(job)

    def _matching(self, pod: Object) -> list[Object]:
        labels = labels_of(pod)
        return [
            job for job in self._jobs.list(namespace_of(pod))
            if selectors.from_document(dig(job, "spec", "selector")).matches(labels)
        ]

    def _concerned(self, pod: Object) -> list[str]:
        if controller_of(pod) is not None:
            return list(owner_key("Job", "batch")(pod))
        keys = [key_of(job) for job in self._matching(pod)]
        return [*keys, f"{_POD}{key_of(pod)}"] if is_tracked(pod) else keys
