"""Job: runs pods until enough of them have succeeded, or too many have failed.

Observed: the Job and its pods. Each pod carries the finalizer `batch.kubernetes.io/job-tracking`, so that none can
vanish uncounted: a finished pod's uid is first written into `status.uncountedTerminatedPods`, then its finalizer is
taken away, and only then it moves from there into the counts. A crash at any point counts every pod exactly once.

Desired: `parallelism` active pods, fewer when fewer completions are left. With completionMode Indexed each completion
has an index of its own, which its pod knows from annotation, label, host name and JOB_COMPLETION_INDEX. After a failure
the next pod waits ten seconds, doubling up to ten minutes; with `backoffLimitPerIndex` each index waits and fails for
itself. A Job fails beyond `backoffLimit`, `activeDeadlineSeconds` or `maxFailedIndexes`, or by its failure policy; it
is complete with enough successes, or by its success policy. Its active pods are then deleted. A suspended Job has no
active pods.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from sampan.controllers import conditions, times
from sampan.controllers.conditions import Condition
from sampan.controllers.job_pods import TRACKING, Attempt, index_backoff_s, new_pod, pod_backoff_s
from sampan.controllers.job_policies import success
from sampan.controllers.job_tally import (
    Tally,
    count,
    index_of,
    is_indexed,
    is_tracked,
    replaces_only_failed,
    uncounted,
)
from sampan.controllers.ownership import claim, with_finalizer
from sampan.controllers.pods import deletion_order, index_by_owner, is_ready, owned_or_orphaned, phase_of
from sampan.reconcile.controller import Wiring, owner_key
from sampan.reconcile.plan import NOTHING, Create, Delete, Note, Parallel, Patch, Plan, Step, Update

BURST = 500
_TRACKED = "tracked"
"""Pods with our finalizer, by the key of the Job that their owner reference names."""
MANAGER = "kubernetes.io/job-controller"
_STATUSES = ("initContainerStatuses", "containerStatuses")
FAILURE_TARGET, SUCCESS_CRITERIA_MET = "FailureTarget", "SuccessCriteriaMet"


def plan(job: Object, pods: Sequence[Object], now: datetime) -> Plan:
    """The next step of the Job."""
    matches = selectors.from_document(dig(job, "spec", "selector")).matches
    claimed = with_finalizer(claim(job, JOBS, PODS, pods, matches), TRACKING)
    if dig(job, "spec", "managedBy", default=MANAGER) != MANAGER:
        return NOTHING
    if is_being_deleted(job) or is_over(job):
        return Plan(tuple(_untrack(pod) for pod in claimed.objects if is_tracked(pod)))
    tally = count(job, claimed.objects)
    verdict = _verdict(job, tally, now)
    steps: list[Step] = list(claimed.steps)
    notes: list[Note] = []
    work: list[Step] = []
    again: float | None = None
    suspended = bool(dig(job, "spec", "suspend"))
    if (verdict is not None or suspended) and tally.active:
        steps.append(_deletions(job, tally.active))
    elif verdict is None and not suspended:
        work, again = _manage(job, tally, claimed.objects, now)
    status, told = _status(job, tally, verdict, now)
    notes += told
    if status != (job.get("status") or {}):
        steps.append(Update(JOBS, {**job, "status": status}, subresource="status"))
    recorded = set(uncounted(status, "succeeded") + uncounted(status, "failed"))
    released = [pod for pod in tally.tracked if uid_of(pod) in recorded or _is_extra(job, pod)] + tally.ignored
    untracked = tuple(_untrack(pod) for pod in released)
    if untracked:
        steps.append(Parallel(untracked))
    # New pods come last: they may be refused (a quota, a namespace that is going), and nothing else may hang on that.
    return Plan((*steps, *work), tuple(notes), _sooner(again, _deadline_in(job, status, now)))


def is_over(job: Object) -> bool:
    """Complete or failed."""
    found = dig(job, "status", "conditions", default=())
    return any(one["type"] in ("Complete", "Failed") and one.get("status") == "True" for one in found)


def _verdict(job: Object, tally: Tally, now: datetime) -> Condition | None:
    """Why the Job is over, if it is. What has once been decided stays."""
    for early, final in ((FAILURE_TARGET, "Failed"), (SUCCESS_CRITERIA_MET, "Complete")):
        found = conditions.find(dig(job, "status", "conditions", default=()), early)
        if found is not None and found.get("status") == "True":
            return Condition(final, True, found.get("reason", ""), found.get("message", ""))
    return _failure(job, tally, now) or _success(job, tally)


def _failure(job: Object, tally: Tally, now: datetime) -> Condition | None:
    spec = job["spec"]
    if tally.verdict is not None:
        return Condition("Failed", True, "PodFailurePolicy", tally.verdict.message)
    if _has_tried_enough(job, tally):
        return Condition("Failed", True, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = _deadline_in(job, job.get("status") or {}, now)
    if left is not None and left <= 0.001 and not spec.get("suspend"):
        return Condition("Failed", True, "DeadlineExceeded", "Job was active longer than specified deadline")
    lost, most = len(tally.failed_indexes), spec.get("maxFailedIndexes")
    if most is not None and lost > int(most):
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Condition("Failed", True, "MaxFailedIndexesExceeded", text)
    if lost and lost + tally.succeeded >= int(spec.get("completions") or 0):
        return Condition("Failed", True, "FailedIndexes", "Job has failed indexes")
    return None


def _has_tried_enough(job: Object, tally: Tally) -> bool:
    """More pods have failed, or containers been started again in their pods, than the Job allows."""
    limit = int(dig(job, "spec", "backoffLimit", default=6))
    if tally.failed > limit:
        return True
    if dig(job, "spec", "template", "spec", "restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        status.get("restartCount", 0) for pod in tally.active for field in _STATUSES
        for status in dig(pod, "status", field, default=())
    )
    return bool(restarts >= limit if limit else restarts > 0)


def _success(job: Object, tally: Tally) -> Condition | None:
    if is_indexed(job) and (text := success(job, tally.done_indexes)) is not None:
        return Condition("Complete", True, "SuccessPolicy", text)
    completions = job["spec"].get("completions")
    complete = tally.succeeded > 0 and not tally.active if completions is None else tally.succeeded >= completions
    text = "Reached expected number of succeeded pods"
    return Condition("Complete", True, "CompletionsReached", text) if complete else None


def _manage(job: Object, tally: Tally, pods: Sequence[Object], now: datetime) -> tuple[list[Step], float | None]:
    """Create or delete pods until as many are active as should be; and when to look again."""
    parallelism = int(dig(job, "spec", "parallelism", default=1))
    completions = dig(job, "spec", "completions")
    if completions is None:
        wanted = len(tally.active) if tally.succeeded else parallelism
    else:
        wanted = min(int(completions) - tally.succeeded - len(tally.failed_indexes), parallelism)
    surplus = len(tally.active) - wanted
    if superfluous := _superfluous(job, tally.active, max(surplus, 0), now):
        return [_deletions(job, superfluous)], None
    waited_for = tally.terminating if replaces_only_failed(job) else []
    missing = min(-surplus - len(waited_for), BURST)
    if missing <= 0:
        return [], None
    if dig(job, "spec", "backoffLimitPerIndex") is not None:
        return _retry_indexes(job, tally, missing, now)
    wait_s = pod_backoff_s(pods, tally.failed, now)
    if wait_s > 0:
        return [], wait_s
    indexes: Sequence[int | None] = [None] * missing
    if is_indexed(job):
        indexes = _open_indexes(job, tally)[:missing]
    return [Parallel(tuple(new_pod(job, index) for index in indexes), slow_start=True)], None


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


def _retry_indexes(job: Object, tally: Tally, missing: int, now: datetime) -> tuple[list[Step], float | None]:
    """Pods for indexes that each wait after their own failures and for nobody else's."""
    creations: list[Create] = []
    waits: list[float] = []
    for index in _open_indexes(job, tally):
        if len(creations) == missing:
            break
        before, attempt = tally.attempts.get(index, (None, Attempt()))
        wait_s = 0.0 if before is None else index_backoff_s(before, attempt, now)
        if wait_s > 0:
            waits.append(wait_s)
        else:
            creations.append(new_pod(job, index, attempt))
    return [Parallel(tuple(creations), slow_start=True)] if creations else [], min(waits, default=None)


def _is_extra(job: Object, pod: Object) -> bool:
    """A success of an index that another pod has already completed: nothing to record."""
    return is_indexed(job) and phase_of(pod) == "Succeeded"


def _status(
    job: Object, tally: Tally, verdict: Condition | None, now: datetime
) -> tuple[Object, list[Note]]:
    """The status to write, and the Events that go with what changed in it."""
    known = job.get("status") or {}
    found: list[Object] = list(known.get("conditions") or ())
    notes: list[Note] = []
    status: Object = {**tally.status, "ready": sum(map(is_ready, tally.active))}
    status["terminating"] = len(tally.terminating)
    if tally.active and verdict is None and not dig(job, "spec", "suspend"):
        status["active"] = len(tally.active)
    suspended, was = bool(dig(job, "spec", "suspend")), conditions.find(found, "Suspended")
    was_suspended = was is not None and was.get("status") == "True"
    if suspended != was_suspended and verdict is None:
        word = "Suspended" if suspended else "Resumed"
        condition = Condition("Suspended", suspended, f"Job{word}", f"Job {word.lower()}")
        found = conditions.with_condition(found, condition, now)
        notes.append(Note(job, NORMAL, word, f"Job {word.lower()}"))
    if not suspended:
        status["startTime"] = (known.get("startTime") if not was_suspended else None) or times.text(now)
    settled = not any(tally.status["uncountedTerminatedPods"].values()) and not tally.active and not tally.terminating
    if verdict is not None:
        early = SUCCESS_CRITERIA_MET if verdict.type == "Complete" else FAILURE_TARGET
        found = conditions.with_condition(found, Condition(early, True, verdict.reason, verdict.message), now)
        if settled:
            found = conditions.with_condition(found, verdict, now)
            if verdict.type == "Complete":
                status["completionTime"] = times.text(now)
                notes.append(Note(job, NORMAL, "Completed", "Job completed"))
            else:
                notes.append(Note(job, WARNING, verdict.reason, verdict.message))
    if found:
        status["conditions"] = found
    return status, notes


def _deadline_in(job: Object, status: Object, now: datetime) -> float | None:
    """Seconds until activeDeadlineSeconds is over."""
    limit, started = dig(job, "spec", "activeDeadlineSeconds"), times.parse_or_none(status.get("startTime"))
    if limit is None or started is None or dig(job, "spec", "suspend"):
        return None
    return times.seconds_until(started + timedelta(seconds=int(limit)), now)


def _sooner(a: float | None, b: float | None) -> float | None:
    found = [one for one in (a, b) if one is not None]
    return min(found) if found else None


def _untrack(pod: Object) -> Patch:
    kept = [one for one in meta(pod)["finalizers"] if one != TRACKING]
    metadata = {"resourceVersion": meta(pod).get("resourceVersion"), "finalizers": kept or None}
    return Patch(PODS, name_of(pod), namespace_of(pod), {"metadata": metadata}, "merge", missing_ok=True)


def _deletions(job: Object, pods: Sequence[Object]) -> Parallel:
    return Parallel(tuple(
        Delete(
            PODS, name_of(pod), namespace_of(pod), uid=uid_of(pod),
            deleted=Note(job, NORMAL, "SuccessfulDelete", "Deleted pod: {name}"),
            failed=Note(job, WARNING, "FailedDelete", "Error deleting: {error}"),
        )
        for pod in pods[:BURST]
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

    A pod whose Job is gone only loses its finalizer, also when there is another Job of that name by now.
    """

    def __init__(self, wiring: Wiring) -> None:
        self._jobs = wiring.watch(JOBS)
        self._pods = wiring.watch(PODS, self._concerned)
        index_by_owner(self._pods)
        self._pods.add_index(_TRACKED, lambda pod: owner_key("Job", "batch")(pod) if is_tracked(pod) else ())

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        job = self._jobs.get(name, namespace)
        left = [pod for pod in self._pods.by_index(_TRACKED, key) if job is None or is_of_former(pod, job)]
        if left:
            # Pods of a Job that is gone must not be held by a finalizer that nobody would remove.
            return Plan(tuple(_untrack(pod) for pod in sorted(left, key=key_of)))
        if job is None:
            return NOTHING
        pods = sorted(owned_or_orphaned(self._pods, job), key=key_of)
        return plan(job, pods, effects.now())

    def _concerned(self, pod: Object) -> list[str]:
        if controller_of(pod) is not None:
            return list(owner_key("Job", "batch")(pod))
        labels = labels_of(pod)
        return [
            key_of(job) for job in self._jobs.list(namespace_of(pod))
            if selectors.from_document(dig(job, "spec", "selector")).matches(labels)
        ]
