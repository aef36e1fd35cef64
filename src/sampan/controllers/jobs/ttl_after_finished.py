"""TTL after finished: deletes a Job `ttlSecondsAfterFinished` seconds after it has completed or failed.

Observed: Jobs. Desired: none that has been over for longer than it says. The Job's dependents go with it (foreground
deletion). Before it deletes, it asks the server and not its copy, for the time may have been changed a moment ago.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sampan import effects
from sampan.api.resources import JOBS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig, is_being_deleted, name_of, namespace_of, split_key, uid_of
from sampan.controllers import times
from sampan.controllers.pods import condition
from sampan.reconcile.controller import Wiring
from sampan.reconcile.measures import Spread, exponential
from sampan.reconcile.plan import NOTHING, Account, Delete, Plan

LONGEST_S = 600.0
"""It looks again after this time at the latest: what a wrong clock made seem far away may be near."""


def plan(job: Object, now: datetime) -> Plan:
    """Delete the Job, or look again when its time is over."""
    ends_at = expires_at(job)
    if ends_at is None or is_being_deleted(job):
        return NOTHING
    if ends_at > now:
        return Plan(requeue_after_s=min(times.seconds_until(ends_at, now), LONGEST_S))
    return Plan((Delete(JOBS, name_of(job), namespace_of(job), uid=uid_of(job), propagation="Foreground"),))


def expires_at(job: Object) -> datetime | None:
    """When the Job's time is over; None for one that goes on, has no limit, or does not say when it ended."""
    ttl_s = dig(job, "spec", "ttlSecondsAfterFinished")
    if ttl_s is None:
        return None
    for kind in ("Complete", "Failed"):
        found = condition(job, kind)
        if found is not None and found.get("status") == "True":
            finished = times.parse_or_none(found.get("lastTransitionTime"))
            return finished + timedelta(seconds=int(ttl_s)) if finished is not None else None
    return None


class TTLAfterFinishedReconciler:
    """Keys are Jobs."""

    def __init__(self, wiring: Wiring) -> None:
        self._client = wiring.client
        self._jobs = wiring.watch(JOBS)
        self._late_s = Spread(
            "ttl_after_finished_controller_job_deletion_duration_seconds",
            "The time it took to delete the job since it became eligible for deletion", exponential(0.1, 2, 14),
        )
        wiring.measure(self._late_s)

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        job = self._jobs.get(name, namespace)
        if job is None:
            return NOTHING
        decided = plan(job, effects.now())
        if not decided.steps:
            return decided
        try:
            live = await self._client.get(JOBS, name, namespace)
        except errors.NotFound:
            return NOTHING
        decided, ends_at = plan(live, effects.now()), expires_at(live)

        def tell(account: Account) -> None:
            if ends_at is not None and account.error is None:
                self._late_s.observe((effects.now() - ends_at).total_seconds())

        return replace(decided, tell=tell) if decided.steps else decided
