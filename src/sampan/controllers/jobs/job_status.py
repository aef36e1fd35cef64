"""A Job's status: its counts, its times and its conditions, and the Events that tell what changed in them.

A decision is written twice: at once as FailureTarget or SuccessCriteriaMet, and as Failed or Complete when every pod is
gone and counted. Suspended comes with the first suspension and is never removed, only made False; whoever is resumed
starts anew, as far as `activeDeadlineSeconds` is concerned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sampan.apimachinery.object import Object, dig, is_being_deleted, uid_of
from sampan.client.events import NORMAL, WARNING
from sampan.controllers import conditions, times
from sampan.controllers.conditions import Condition
from sampan.controllers.jobs.job_tally import Record, Tally
from sampan.controllers.pods import is_ready
from sampan.reconcile.plan import Note

COMPLETE, FAILED, SUSPENDED = "Complete", "Failed", "Suspended"
EARLY = {FAILED: "FailureTarget", COMPLETE: "SuccessCriteriaMet"}
"""The condition that comes before the final one."""


@dataclass(slots=True)
class Report:
    """The status to write, the Events to record in any case, and the one when it is written."""

    status: Object = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    done: Note | None = None


def is_over(job: Object) -> bool:
    """Complete or failed."""
    return any(_is_true(_find(job, kind)) for kind in (COMPLETE, FAILED))


def is_suspended(status: Object) -> bool:
    """Whether it was when the status was written."""
    return _is_true(conditions.find(status.get("conditions") or (), SUSPENDED))


def decided(job: Object) -> Condition | None:
    """What the Job will end as, if that has been decided before."""
    for final in (COMPLETE, FAILED):
        found = _find(job, EARLY[final])
        if found is not None and _is_true(found):
            return Condition(final, True, found.get("reason", ""), found.get("message", ""))
    return None


def report(job: Object, tally: Tally, record: Record, verdict: Condition | None, now: datetime) -> Report:
    """The status once what is written down has been done: pods that are ended are on their way out."""
    known = job.get("status") or {}
    active = [pod for pod in tally.active if uid_of(pod) not in record.ended]
    told = Report({**record.status, "ready": sum(map(is_ready, active))})
    status = told.status
    status["terminating"] = len(tally.terminating) + len(tally.active) - len(active)
    if active:
        status["active"] = len(active)
    suspended = bool(dig(job, "spec", "suspend"))
    if known.get("startTime") or not suspended:
        status["startTime"] = known.get("startTime") or times.text(now)
    found: list[Object] = list(known.get("conditions") or ())
    if verdict is None and not is_being_deleted(job):
        found = _with_suspension(job, found, told, now)
    if verdict is not None:
        found = with_condition(found, Condition(EARLY[verdict.type], True, verdict.reason, verdict.message), now)
        if record.settled and not status["terminating"] and not active:
            found = with_condition(found, verdict, now)
            _finish(job, verdict, told, now)
    if found:
        status["conditions"] = found
    return told


def with_condition(found: list[Object], new: Condition, now: datetime) -> list[Object]:
    """`found` with `new` in its place, or at the end; what never was true does not come as false."""
    known, status = conditions.find(found, new.type), "True" if new.status else "False"
    if known is None and not new.status:
        return found
    document = {"type": new.type, "status": status, "reason": new.reason, "message": new.message}
    if known is not None and document.items() <= known.items():
        return found
    document = {
        "type": new.type, "status": status, "lastProbeTime": times.text(now), "lastTransitionTime": times.text(now),
        "reason": new.reason, "message": new.message,
    }
    if known is None:
        return [*found, document]
    return [document if one is known else one for one in found]


def _with_suspension(job: Object, found: list[Object], told: Report, now: datetime) -> list[Object]:
    suspended = bool(dig(job, "spec", "suspend"))
    word = "Suspended" if suspended else "Resumed"
    changed = with_condition(found, Condition(SUSPENDED, suspended, f"Job{word}", f"Job {word.lower()}"), now)
    if changed is not found:
        told.notes.append(Note(job, NORMAL, word, f"Job {word.lower()}"))
        if not suspended:
            told.status["startTime"] = times.text(now)
    return changed


def _finish(job: Object, verdict: Condition, told: Report, now: datetime) -> None:
    if verdict.type == FAILED:
        told.done = Note(job, WARNING, verdict.reason, verdict.message)
        return
    told.status["completionTime"] = times.text(now)
    told.done = Note(job, NORMAL, "Completed", "Job completed")
    completions = dig(job, "spec", "completions")
    if completions is not None and told.status.get("succeeded", 0) > int(completions):
        text = "Too many succeeded pods running after completion count reached"
        told.notes.append(Note(job, WARNING, "TooManySucceededPods", text))


def _find(job: Object, kind: str) -> Object | None:
    return conditions.find(dig(job, "status", "conditions", default=()), kind)


def _is_true(condition: Object | None) -> bool:
    return condition is not None and condition.get("status") == "True"
