"""What a CronJob does at a moment, given when it was made, last served and what still runs.

The cases are those of upstream's TestControllerV2SyncCronJob, TestMostRecentScheduleTime and
TestNextScheduleTimeDuration. The schedule is the full hour, or every hour from the last time on.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sampan.apimachinery.object import Object, name_of
from sampan.controllers.jobs.cron_schedule import Missed, Schedule
from sampan.controllers.jobs.cronjob import SCHEDULED, job_name, plan
from sampan.reconcile.plan import Create, Delete, Note, Update

HOURLY, EVERY = "0 * * * ?", "@every 1h"
SHORT, MEDIUM, LONG = 10, 2 * 3600, 1_000_000


def at(text: str) -> datetime:
    """`10:01` of that Thursday, or `26 10:00` of another day of the month."""
    day, _, time = text.rpartition(" ")
    clock = (time if time.count(":") > 1 else f"{time}:00").rjust(8, "0")
    return datetime.fromisoformat(f"2016-05-{day or '19'}T{clock}").replace(tzinfo=UTC)


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def cron_job(make, schedule: str, created: str, **spec) -> Object:
    template = {"metadata": {"labels": {"a": "b"}, "annotations": {"x": "y"}}, "spec": {"template": make.template()}}
    return {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": make.meta("tick", creationTimestamp=text(at(created))),
        "spec": {"schedule": schedule, "concurrencyPolicy": "Allow", "suspend": False, "jobTemplate": template, **spec},
        "status": {},
    }


def job(make, owner: Object, due: datetime, *, done: bool) -> Object:
    status: Object = {"startTime": text(due)}
    if done:
        condition = {"type": "Complete", "status": "True", "lastTransitionTime": text(due)}
        status |= {"conditions": [condition], "completionTime": text(due)}
    metadata = make.meta(job_name(owner, due), owner, annotations={SCHEDULED: text(due)})
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {}, "status": status}


MINUTE, HOUR = 60.1, 3600.1
CASES: dict[str, tuple[Object, str, str, int, int, list[str], float | None]] = {
    # name: (spec, and what was: made, served, running), now, (made, deleted, told, looked at again)
    "unreadable": ({"schedule": "obvious error"}, "", "9:59", 0, 0, ["UnparseableSchedule"], None),
    "never due": ({"schedule": "59 23 31 2 *"}, "", "9:59", 0, 0, ["InvalidSchedule"], None),
    "no zone": ({"timeZone": "bad timezone"}, "", "9:59", 0, 0, ["UnknownTimeZone"], None),
    "no zone and suspended": (
        {"timeZone": "bad timezone", "suspend": True}, "", "9:59", 0, 0, ["UnknownTimeZone"], None),
    "not yet": ({}, "9:59", "9:59", 0, 0, [], MINUTE),
    "not yet in a zone": ({"timeZone": "America/New_York"}, "9:59", "9:59", 0, 0, [], MINUTE),
    "due": ({}, "9:59", "10:01", 1, 0, [], 3540.1),
    "due in a zone": ({"timeZone": "America/New_York"}, "9:59", "10:01", 1, 0, [], 3540.1),
    "due in the schedule's own zone": (
        {"schedule": "TZ=UTC 0 * * * ?", "timeZone": "America/New_York"}, "9:59", "10:01", 1, 0,
        ["UnsupportedSchedule"], 3540.1),
    "due and suspended": ({"suspend": True}, "9:59", "10:01", 0, 0, [], None),
    "due, too late": ({"startingDeadlineSeconds": SHORT}, "9:59", "10:12", 0, 0, [], 2880.1),
    "due, in time": ({"startingDeadlineSeconds": LONG}, "9:59", "10:01", 1, 0, [], 3540.1),
    "done, not yet": ({}, "8:59 done 9:01", "9:59", 0, 0, [], MINUTE),
    "done, due": ({}, "8:59 done 9:01", "10:01", 1, 0, [], 3540.1),
    "done, due, suspended": ({"suspend": True}, "8:59 done 9:01", "10:01", 0, 0, [], None),
    "done, due, too late": ({"startingDeadlineSeconds": SHORT}, "8:59 done 9:01", "10:01", 0, 0, [], 3540.1),
    "done, due, in time": ({"startingDeadlineSeconds": LONG}, "8:59 done 9:01", "10:01", 1, 0, [], 3540.1),
    "running, not yet": ({}, "8:59 runs 9:01", "9:59", 0, 0, [], MINUTE),
    "running, due, Allow": ({}, "8:59 runs 9:01", "10:01", 1, 0, [], 3540.1),
    "running, due, Forbid": (
        {"concurrencyPolicy": "Forbid"}, "8:59 runs 9:01", "10:01", 0, 0, ["JobAlreadyActive"], 3540.1),
    "running, due, Replace": ({"concurrencyPolicy": "Replace"}, "8:59 runs 9:01", "10:01", 1, 1, [], 3540.1),
    "running, due, suspended": ({"suspend": True}, "8:59 runs 9:01", "10:01", 0, 0, [], None),
    "running, due, too late": ({"startingDeadlineSeconds": SHORT}, "8:59 runs 9:01", "10:01", 0, 0, [], 3540.1),
    "a week later": ({}, "8:59 done 9:01", "26 10:00", 1, 0, ["TooManyMissedTimes"], HOUR),
    "a week later, any of it in time": (
        {"startingDeadlineSeconds": LONG}, "8:59 done 9:01", "26 10:00", 1, 0, ["TooManyMissedTimes"], HOUR),
    "a week later, hours in time": (
        {"startingDeadlineSeconds": MEDIUM}, "8:59 done 9:01", "26 10:00", 1, 0, [], HOUR),
    "a week later, just in time": ({"startingDeadlineSeconds": SHORT}, "8:59 done 9:01", "26 10:00", 1, 0, [], HOUR),
    "every hour, not yet": ({"schedule": EVERY}, "9:59", "10:00", 0, 0, [], 3540.1),
    "every hour, due": ({"schedule": EVERY}, "8:59", "9:59", 1, 0, [], HOUR),
    "every hour, too late": (
        {"schedule": EVERY, "startingDeadlineSeconds": SHORT}, "8:59", "9:59:11", 0, 0, [], 3589.1),
    "every hour, in time": ({"schedule": EVERY, "startingDeadlineSeconds": LONG}, "8:59", "9:59:09", 1, 0, [], 3591.1),
    "every hour, done, not yet": ({"schedule": EVERY}, "8:59 done 9:59", "10:00", 0, 0, [], 3540.1),
    "every hour, done, due": ({"schedule": EVERY}, "8:59 done 9:59", "11:00", 1, 0, [], 3540.1),
    "every hour, done, too late": (
        {"schedule": EVERY, "startingDeadlineSeconds": SHORT}, "8:59 done 9:59", "10:59:11", 0, 0, [], 3589.1),
    "every hour, running, not yet": ({"schedule": EVERY}, "8:59 runs 9:59", "10:00", 0, 0, [], 3540.1),
    "every hour, running, due": ({"schedule": EVERY}, "8:59 runs 8:59", "10:01", 1, 0, [], 3480.1),
    "every hour, a week later": (
        {"schedule": EVERY}, "9:01 done 10:01", "26 10:00", 1, 0, ["TooManyMissedTimes"], MINUTE),
    "every hour, a week later, too late": (
        {"schedule": EVERY, "startingDeadlineSeconds": SHORT}, "9:01 done 10:01", "26 10:01:11", 0, 0, [], 3589.1),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_done_at_a_moment(make, name) -> None:
    spec, before, now, made, deleted, told, again_s = CASES[name]
    created, *rest = before.split() or ["9:59"]
    owner, jobs = cron_job(make, **{"schedule": HOURLY, "created": created, **spec}), []
    if rest:
        state, served = rest
        jobs = [job(make, owner, at(served), done=state == "done")]
        owner["status"] = {"lastScheduleTime": text(at(served))}
    decided = plan(owner, jobs, at(now))
    creations = [step.obj for step in decided.steps if isinstance(step, Create)]
    assert (len(creations), len([step for step in decided.steps if isinstance(step, Delete)])) == (made, deleted)
    assert [note.reason for note in decided.notes] == told
    assert decided.requeue_after_s == (None if again_s is None else pytest.approx(again_s))
    for one in creations:
        [reference] = one["metadata"]["ownerReferences"]
        assert (reference["kind"], reference["name"], reference["controller"]) == ("CronJob", "tick", True)
        assert one["metadata"]["labels"] == {"a": "b"} and one["metadata"]["annotations"]["x"] == "y"


def test_a_job_that_is_there_already_is_the_one_that_is_due(make) -> None:
    """Made, but before a crash: no other is made, none is told to be in the way, and the status catches up."""
    for policy in ("Allow", "Forbid", "Replace"):
        owner = cron_job(make, HOURLY, "8:59", concurrencyPolicy=policy)
        decided = plan(owner, [job(make, owner, at("10:00"), done=False)], at("10:01"))
        [update] = decided.steps
        assert isinstance(update, Update) and not decided.notes
        assert update.obj["status"]["lastScheduleTime"] == text(at("10:00"))
        assert [one["name"] for one in update.obj["status"]["active"]] == [job_name(owner, at("10:00"))]


def test_a_clock_that_went_back_makes_nothing_twice(make) -> None:
    owner = cron_job(make, HOURLY, "8:59", concurrencyPolicy="Forbid")
    owner["status"] = {"lastScheduleTime": text(at("10:00"))}
    decided = plan(owner, [job(make, owner, at("10:00"), done=True)], at("9:59"))
    assert not [step for step in decided.steps if isinstance(step, Create)]


def test_old_jobs_go_also_where_new_ones_are_refused(make) -> None:
    owner = cron_job(make, HOURLY, "7:59", successfulJobsHistoryLimit=1)
    owner["status"] = {"lastScheduleTime": text(at("9:00"))}
    jobs = [job(make, owner, at(due), done=True) for due in ("8:00", "9:00")]
    kinds = [type(step) for step in plan(owner, jobs, at("10:01")).steps]
    assert kinds.index(Delete) < kinds.index(Create)


def test_a_refused_or_forgotten_job_is_told_in_upstreams_words(make) -> None:
    owner = cron_job(make, HOURLY, "8:59", concurrencyPolicy="Replace")
    decided = plan(owner, [job(make, owner, at("9:00"), done=False)], at("10:01"))
    created = next(step for step in decided.steps if isinstance(step, Create))
    deleted = next(step for step in decided.steps if isinstance(step, Delete))
    notes = [created.created, created.failed, deleted.deleted, deleted.failed]
    assert [(one.reason, one.message) for one in notes if isinstance(one, Note)] == [
        ("SuccessfulCreate", "Created job {name}"), ("FailedCreate", "Error creating job: {error}"),
        ("SuccessfulDelete", "Deleted job {name}"), ("FailedDelete", "Deleted job: {error}"),
    ]
    assert name_of(created.obj) == job_name(owner, at("10:00"))


@pytest.mark.parametrize(("schedule", "since", "now", "latest", "count"), [
    ("0 * * * *", "9:00", "9:30", None, 0), ("0 * * * *", "9:00", "10:10", "10:00", 1),
    ("0 * * * *", "9:00", "12:30", "12:00", 3), ("*/1 * * * *", "9:00", "9:59:59", "9:59", 59),
    ("0 6 * * 1-5", "20 06:00", "23 06:30", "23 06:00", 1), ("@every 1h", "9:30", "9:59", None, 0),
    ("@every 1h", "9:30", "12:31", "12:30", 3), ("59 23 29 2 *", "9:00", "10:00", None, 0),
])
def test_the_latest_of_the_times_that_were_missed(schedule, since, now, latest, count) -> None:
    wanted = None if latest is None else Missed(at(latest), count)
    assert Schedule.parse(schedule).missed(at(since), at(now)) == wanted


@pytest.mark.parametrize(("schedule", "since", "now", "following"), [
    ("0 * * * *", "9:00", "10:10", "11:00"), ("0 * * * *", "9:00", "9:00", "10:00"),
    ("@every 1h", "9:30", "10:00", "10:30"), ("@every 1h", "9:30", "10:30", "11:30"),
    ("@every 5m", "9:31", "12:00", "12:01"), ("@every 1h", "10:00", "9:30", "11:00"),
])
def test_the_time_to_look_again(schedule, since, now, following) -> None:
    assert Schedule.parse(schedule).following(at(since), at(now)) == at(following)
