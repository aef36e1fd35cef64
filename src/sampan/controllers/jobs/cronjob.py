"""CronJob: makes a Job at each time of its schedule.

Observed: the CronJob and the Jobs that it controls. Desired: the latest time of the schedule that has come is served.
When one has come since the last that was, a Job is made for it; its name ends in that time (minutes since 1970), so the
same time is never served twice, whatever crashes. Times older than `startingDeadlineSeconds` are let go; of many that
were missed only the last is served. When nothing is due it looks again at the next time of the schedule.

`concurrencyPolicy` decides what happens while an earlier Job still runs: Allow starts another, Forbid skips, Replace
deletes it first. Finished Jobs beyond the history limits are deleted, oldest first. A suspended CronJob only observes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from zoneinfo import ZoneInfo

from sampan import effects
from sampan.api.resources import CRON_JOBS, JOBS
from sampan.apimachinery.object import (
    Object,
    annotations_of,
    dig,
    is_being_deleted,
    key_of,
    meta,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from sampan.client.events import NORMAL, WARNING
from sampan.controllers import times
from sampan.controllers.jobs.cron_schedule import MANY_MISSED, BadSchedule, NeverDue, Schedule, UnknownTimeZone, zone_of
from sampan.controllers.ownership import is_controlled_by, reference_to
from sampan.controllers.pods import condition, index_by_owner, owned
from sampan.reconcile.controller import Wiring, owner_key
from sampan.reconcile.measures import Spread, exponential
from sampan.reconcile.plan import NOTHING, Account, Create, Delete, End, Note, Plan, Step, Update

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
LATENESS_S = 0.1
"""How much later than due a time is looked at, so that clocks agree that it has come."""


@dataclass(slots=True)
class Decision:
    """What `plan` gathers."""

    steps: list[Step] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    due: datetime | None = None
    """The time that a Job has to be made for."""
    replaced: list[Object] = field(default_factory=list)
    served: datetime | None = None
    """The time that has its Job already, though the status does not say so."""
    again_s: float | None = None


def plan(cron_job: Object, jobs: Sequence[Object], now: datetime) -> Plan:
    """What to do at `now`. `jobs` are those that the CronJob controls."""
    decision = Decision()
    _clean_up(cron_job, jobs, decision)
    status = _observe(cron_job, jobs, decision)
    schedule = None if is_being_deleted(cron_job) else _schedule(cron_job, decision)
    if schedule is not None:
        _serve(cron_job, schedule, _running(jobs), decision, now)
    steps = decision.steps
    if schedule is not None and decision.due is not None:
        steps += [_delete(cron_job, job) for job in decision.replaced]
        steps.append(_creation(cron_job, schedule.zone, status, decision))
        return Plan(tuple(steps), tuple(decision.notes), decision.again_s)
    if decision.served is not None:
        status["lastScheduleTime"] = times.text(decision.served)
    if status != (cron_job.get("status") or {}):
        steps.append(_told(cron_job, status))
    return Plan(tuple(steps), tuple(decision.notes), decision.again_s)


def finished(job: Object) -> str:
    """`Complete`, `Failed`, or nothing while the Job goes on."""
    for kind in ("Complete", "Failed"):
        if (condition(job, kind) or {}).get("status") == "True":
            return kind
    return ""


def job_name(cron_job: Object, moment: datetime) -> str:
    return f"{name_of(cron_job)}-{int(moment.timestamp()) // 60}"


def _running(jobs: Sequence[Object]) -> list[Object]:
    """Those that this controller made and that go on; Jobs made by hand from the CronJob do not count."""
    return [job for job in jobs if not finished(job) and SCHEDULED in annotations_of(job)]


def _clean_up(cron_job: Object, jobs: Sequence[Object], decision: Decision) -> None:
    for kind, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        keep = dig(cron_job, "spec", limit)
        if keep is None:
            continue
        over = [job for job in jobs if finished(job) == kind and not is_being_deleted(job)]
        over.sort(key=_began)
        decision.steps += [_delete(cron_job, job) for job in over[: max(len(over) - int(keep), 0)]]


def _began(job: Object) -> tuple[bool, str, str]:
    """When the Job began; one that never did comes last."""
    moment = dig(job, "status", "startTime", default="")
    return not moment, moment, name_of(job)


def _observe(cron_job: Object, jobs: Sequence[Object], decision: Decision) -> Object:
    """The status as the Jobs have it, and Events for what has changed in it."""
    known = cron_job.get("status") or {}
    status: Object = {key: known[key] for key in ("lastScheduleTime", "lastSuccessfulTime") if key in known}
    by_uid = {uid_of(job): job for job in jobs}
    listed = {reference.get("uid", ""): reference for reference in known.get("active") or ()}
    for uid, reference in listed.items():
        job = by_uid.get(uid)
        if job is None:
            text = f"Active job went missing: {reference.get('name')}"
            decision.notes.append(Note(cron_job, NORMAL, "MissingJob", text))
        elif kind := finished(job):
            text = f"Saw completed job: {name_of(job)}, condition: {kind}"
            decision.notes.append(Note(cron_job, NORMAL, "SawCompletedJob", text))
    for job in jobs:
        if not finished(job) and SCHEDULED not in annotations_of(job) and uid_of(job) not in listed:
            text = f"Saw a job that the controller did not create or forgot: {name_of(job)}"
            decision.notes.append(Note(cron_job, WARNING, "UnexpectedJob", text))
    ends = [dig(job, "status", "completionTime") for job in jobs if finished(job) == "Complete"]
    ends += [status.get("lastSuccessfulTime")]
    if any(ends):
        status["lastSuccessfulTime"] = max(end for end in ends if end)
    if active := [listed.get(uid_of(job)) or _reference(job) for job in sorted(_running(jobs), key=name_of)]:
        status["active"] = active  # a reference stays as it was first written, however often its Job changes
    return status


def _schedule(cron_job: Object, decision: Decision) -> Schedule | None:
    """What there is to follow: nothing for one that is suspended or that cannot be read, which is told."""
    spec = cron_job["spec"]
    text, zone = str(spec.get("schedule", "")), spec.get("timeZone")
    try:
        zone_of(zone or "UTC")
    except UnknownTimeZone as problem:
        decision.notes.append(Note(cron_job, WARNING, "UnknownTimeZone", f'invalid timeZone: "{zone}": {problem}'))
        return None
    if spec.get("suspend"):
        return None
    if "TZ" in text:
        message = (
            f'CRON_TZ or TZ used in schedule "{text}" is not officially supported, see '
            "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        )
        decision.notes.append(Note(cron_job, WARNING, "UnsupportedSchedule", message))
    try:
        return Schedule.parse(text, zone)
    except NeverDue as problem:
        decision.notes.append(Note(cron_job, WARNING, "InvalidSchedule", f"invalid schedule: {text} : {problem}"))
    except BadSchedule as problem:
        message = f'unparseable schedule: "{text}" : {problem}'
        decision.notes.append(Note(cron_job, WARNING, "UnparseableSchedule", message))
    return None


def _serve(
    cron_job: Object, schedule: Schedule, running: Sequence[Object], decision: Decision, now: datetime
) -> None:
    """Make the Job that is due, if one is."""
    spec, known = cron_job["spec"], dig(cron_job, "status", "lastScheduleTime")
    since = times.parse(known or meta(cron_job)["creationTimestamp"])
    following = schedule.following(since, now)
    if following is not None:
        decision.again_s = times.seconds_until(following, now) + LATENESS_S
    deadline_s = spec.get("startingDeadlineSeconds")
    earliest = since if deadline_s is None else max(since, now - timedelta(seconds=int(deadline_s)))
    if earliest > now or (missed := schedule.missed(earliest, now)) is None:
        return
    if missed.count > MANY_MISSED:
        text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        decision.notes.append(Note(cron_job, WARNING, "TooManyMissedTimes", text))
    due = missed.latest
    if deadline_s is not None and due + timedelta(seconds=int(deadline_s)) < now:
        text = f"Missed scheduled time to start a job: {format_datetime(due)}"
        decision.notes.append(Note(cron_job, WARNING, "MissSchedule", text))
        return
    if known is not None and times.parse(known) == due:
        return
    if any(name_of(job) == job_name(cron_job, due) for job in running):
        decision.served = due  # only the status could not be written
        return
    policy = spec.get("concurrencyPolicy", "Allow")
    if policy == "Forbid" and running:
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        decision.notes.append(Note(cron_job, NORMAL, "JobAlreadyActive", text))
        return
    if policy == "Replace":
        decision.replaced = [job for job in running if not is_being_deleted(job)]
    decision.due = due


def _creation(cron_job: Object, zone: ZoneInfo, status: Object, decision: Decision) -> Create:
    """The Job that is due, and once it is there the status that tells of it."""
    due = decision.due
    assert due is not None
    template = dig(cron_job, "spec", "jobTemplate", default={})
    source = template.get("metadata") or {}
    local = due.astimezone(zone).isoformat().replace("+00:00", "Z")
    metadata: Object = {
        "name": job_name(cron_job, due), "namespace": namespace_of(cron_job),
        "annotations": {**(source.get("annotations") or {}), SCHEDULED: local},
        "ownerReferences": [reference_to(cron_job)],
    }
    if source.get("labels"):
        metadata["labels"] = source["labels"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template.get("spec") or {}}

    def made(job: Object) -> tuple[Step, ...]:
        return (_told(cron_job, _started(status, due, job, decision.replaced)),)

    def taken(existing: Object) -> tuple[Step, ...]:
        """Ours from before a crash: the status must still be written. Another's: leave it, and say so."""
        return made(existing) if is_controlled_by(existing, cron_job) else (End(),)

    return Create(
        JOBS, job, on_exists=taken, then=made,
        created=Note(cron_job, NORMAL, "SuccessfulCreate", "Created job {name}"),
        failed=Note(cron_job, WARNING, "FailedCreate", "Error creating job: {error}"),
    )


def _started(status: Object, due: datetime, job: Object, replaced: Sequence[Object]) -> Object:
    """The status once `job` serves the time that was due, and those that it replaces are gone."""
    active = {reference["uid"]: reference for reference in status.get("active") or ()}
    for other in replaced:
        active.pop(uid_of(other), None)
    for one in _running([job]):
        active.setdefault(uid_of(one), _reference(one))
    found = {key: value for key, value in status.items() if key != "active"}
    found["lastScheduleTime"] = times.text(due)
    if active:
        found["active"] = sorted(active.values(), key=lambda reference: str(reference["name"]))
    return found


def _told(cron_job: Object, status: Object) -> Update:
    return Update(CRON_JOBS, {**cron_job, "status": status}, subresource="status")


def _delete(cron_job: Object, job: Object) -> Delete:
    return Delete(
        JOBS, name_of(job), namespace_of(job), uid=uid_of(job), propagation="Background",
        deleted=Note(cron_job, NORMAL, "SuccessfulDelete", "Deleted job {name}"),
        failed=Note(cron_job, WARNING, "FailedDelete", "Deleted job: {error}"),
    )


def _reference(job: Object) -> Object:
    return {
        "apiVersion": "batch/v1", "kind": "Job", "name": name_of(job), "namespace": namespace_of(job),
        "uid": uid_of(job), "resourceVersion": str(meta(job).get("resourceVersion", "")),
    }


class CronJobReconciler:
    """Keys are CronJobs; a Job concerns the CronJob that made it."""

    def __init__(self, wiring: Wiring) -> None:
        self._cron_jobs = wiring.watch(CRON_JOBS)
        self._jobs = wiring.watch(JOBS, owner_key("CronJob", "batch"))
        index_by_owner(self._jobs)
        self._skew_s = Spread(
            "cronjob_controller_job_creation_skew_duration_seconds",
            "Time between when a cronjob is scheduled to be run, and when the corresponding job is created",
            exponential(1, 2, 10),
        )
        wiring.measure(self._skew_s)

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        cron_job = self._cron_jobs.get(name, namespace)
        if cron_job is None:
            return NOTHING
        decided = plan(cron_job, sorted(owned(self._jobs, cron_job), key=key_of), effects.now())
        return replace(decided, tell=self._measure) if decided.steps else decided

    def _measure(self, account: Account) -> None:
        for write in account.done:
            if isinstance(write, Create):
                due = times.parse(annotations_of(write.obj)[SCHEDULED])
                self._skew_s.observe((effects.now() - due).total_seconds())
