"""Invariants of Jobs and CronJobs: each ended pod counts once, a finished Job stays finished, no pod too many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from sampan import effects
from sampan.apimachinery.object import Object, annotations_of, dig, is_being_deleted, uid_of
from sampan.controllers import times
from sampan.sim.invariants.pods import is_going
from sampan.sim.world import PODS, Change, GroupResource, World, controller_uid, is_active, phase_of, title

JOBS: Final[GroupResource] = ("batch", "jobs")
CRON_JOBS: Final[GroupResource] = ("batch", "cronjobs")
CLOCK_S: Final = 60.0
"""A clock that was wrong so long ago may have been looked at."""
INDEX: Final = "batch.kubernetes.io/job-completion-index"


def is_over(job: Object) -> bool:
    conditions = dig(job, "status", "conditions", default=[])
    return any(one.get("type") in ("Complete", "Failed") and one.get("status") == "True" for one in conditions)


def is_indexed(job: Object) -> bool:
    return bool(dig(job, "spec", "completionMode") == "Indexed")


class JobCounts:
    """What a Job counts has happened: succeeded and failed pods, each once, none forgotten when it completes."""

    name = "job counts"
    resources = (PODS, JOBS)

    def __init__(self) -> None:
        self._succeeded: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """Job's uid → pod's uid → its index."""
        self._failed: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def check(self, world: World, change: Change) -> Iterator[str]:
        if change.resource == PODS:
            self._ended(change)
        elif change.new is not None:
            yield from self._counted(change.old, change.new)

    def _ended(self, change: Change) -> None:
        pod = change.obj
        owner, uid = controller_uid(pod), uid_of(pod)
        if change.new is not None and phase_of(pod) == "Succeeded":
            self._succeeded[owner].setdefault(uid, annotations_of(pod).get(INDEX, uid))
        elif uid not in self._succeeded[owner] and (change.new is None or is_going(pod)):
            self._failed[owner][uid] = None

    def _counted(self, old: Object | None, job: Object) -> Iterator[str]:
        status = job.get("status") or {}
        uncounted = status.get("uncountedTerminatedPods") or {}
        succeeded, failed = status.get("succeeded") or 0, status.get("failed") or 0
        truth = self._succeeded[uid_of(job)]
        most = len(set(truth.values()))
        waiting = [] if is_indexed(job) else uncounted.get("succeeded") or []
        if succeeded + len(waiting) > most:
            yield f"{title(job)} counts {succeeded} + {len(waiting)} succeeded, {most} pods did"
        lost = self._failed[uid_of(job)]
        if failed + len(uncounted.get("failed") or []) > len(lost):
            yield f"{title(job)} counts {failed} + {len(uncounted.get('failed') or [])} failed, {len(lost)} pods did"
        if old is not None and uid_of(old) == uid_of(job):
            yield from self._went_back(old, job)
        if _is_complete(job) and (old is None or not _is_complete(old)):
            wanted = dig(job, "spec", "completions")
            if wanted is not None and succeeded < wanted and not dig(job, "spec", "successPolicy"):
                yield f"{title(job)} is complete with {succeeded} of {wanted}"
            if uncounted.get("succeeded") or uncounted.get("failed"):
                yield f"{title(job)} is complete with pods that are not counted yet"

    def _went_back(self, old: Object, job: Object) -> Iterator[str]:
        for what in ("succeeded", "failed"):
            before, now = (dig(one, "status", what, default=0) for one in (old, job))
            if now < before:
                yield f"{title(job)} counted {before} {what}, now {now}"
        if is_over(old) and not is_over(job):
            yield f"{title(job)} was finished, and no longer is"


class JobPods:
    """No more pods than parallelism, one an index, none of a finished Job, no index twice."""

    name = "job pods"
    resources = (PODS, JOBS)

    def __init__(self) -> None:
        self._done: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """Job's uid → index that succeeded → pod's uid."""

    def check(self, world: World, change: Change) -> Iterator[str]:
        obj = change.obj
        if change.resource == JOBS:
            if change.new is not None:
                parallel = 0 if dig(obj, "spec", "suspend") else dig(obj, "spec", "parallelism", default=1)
                world.note(uid_of(obj), "parallelism", parallel)
                world.note(uid_of(obj), "over", is_over(obj))
            return
        job = world.owner(obj, JOBS)
        if job is None:
            return
        if change.new is not None and phase_of(obj) == "Succeeded" and INDEX in annotations_of(obj):
            self._done[uid_of(job)].setdefault(annotations_of(obj)[INDEX], uid_of(obj))
        if change.old is None:
            yield from self._made(world, change, job)

    def _made(self, world: World, change: Change, job: Object) -> Iterator[str]:
        pod, pods = change.obj, world.pods_of[uid_of(job)]
        informed = world.informed_until_s(change.cause)
        if all(world.lately(uid_of(job), "over", change.cause.sent_at_s)):
            yield f"{title(pod)} was made for {title(job)}, which is finished"
        active = {key: one for key, one in pods.items() if is_active(one)}
        most = max(world.lately(uid_of(job), "parallelism", informed))
        lost = world.unacknowledged(pods)
        if len(active) > most + lost:
            yield f"{title(job)} has {len(active)} active pods with {title(pod)}, {most} are allowed"
        if not is_indexed(job):
            completions = dig(job, "spec", "completions")
            done = sum(1 for one in pods.values() if phase_of(one) == "Succeeded")
            if completions is not None and len(active) + done > completions + lost and done:
                yield f"{title(job)} has {len(active)} active and {done} done with {title(pod)}, of {completions}"
            return
        index = annotations_of(pod).get(INDEX)
        same = {key: one for key, one in active.items() if annotations_of(one).get(INDEX) == index}
        if len(same) > 1 + world.unacknowledged(same):
            yield f"{title(job)} has {len(same)} pods of index {index}: {', '.join(sorted(same))}"
        if str(index) in self._done[uid_of(job)] and not lost:
            yield f"{title(pod)} was made for index {index} of {title(job)}, which has succeeded"


class JobLifetimes:
    """A Job is deleted for its age when it has ended and that was long enough ago, by a clock that may have jumped."""

    name = "job lifetimes"
    resources = (JOBS,)

    def check(self, world: World, change: Change) -> Iterator[str]:
        old, new = change.old, change.new
        world.note("clock", "offset", round(effects.now().timestamp() - effects.monotonic()))
        if change.cause.by != "ttl-after-finished-controller" or old is None or is_being_deleted(old):
            return
        ends_at = lives_until_s(old)
        if ends_at is None:
            yield f"{title(old)} was deleted for its age, and it has not ended, or may stay"
        elif new is None or is_being_deleted(new):
            offsets = world.lately("clock", "offset", change.cause.sent_at_s - CLOCK_S)
            if ends_at > max(offsets) + effects.monotonic() + 1:
                yield f"{title(old)} was deleted {ends_at - max(offsets) - effects.monotonic():.0f} s before its time"


def lives_until_s(job: Object) -> float | None:
    """When a Job that has ended has been there for long enough, in seconds of the wall clock; None if it may stay."""
    lives_s = dig(job, "spec", "ttlSecondsAfterFinished")
    for one in dig(job, "status", "conditions", default=[]):
        if one.get("type") in ("Complete", "Failed") and one.get("status") == "True" and lives_s is not None:
            return times.parse(one["lastTransitionTime"]).timestamp() + int(lives_s)
    return None


class CronJobConcurrency:
    """A CronJob that forbids it never has two Jobs at work."""

    name = "cron job concurrency"
    resources = (JOBS,)

    def check(self, world: World, change: Change) -> Iterator[str]:
        if change.old is not None or change.new is None:
            return
        owner = world.owner(change.new, CRON_JOBS)
        if owner is None or dig(owner, "spec", "concurrencyPolicy", default="Allow") == "Allow":
            return
        mine = [job for job in world.all(*JOBS) if controller_uid(job) == uid_of(owner)]
        at_work = [job for job in mine if not is_over(job) and not is_being_deleted(job)]
        if len(at_work) > 1 + sum(1 for job in at_work if world.born_by(job).lost):
            yield f"{title(owner)} has {len(at_work)} jobs at work: {', '.join(map(title, at_work))}"


def _is_complete(job: Object) -> bool:
    conditions = dig(job, "status", "conditions", default=[])
    return any(one.get("type") == "Complete" and one.get("status") == "True" for one in conditions)
