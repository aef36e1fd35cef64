from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from sampan import effects
from sampan.api.resources import CRON_JOBS, JOBS
from sampan.apimachinery.object import Object, name_of, uid_of
from sampan.controllers import times
from sampan.controllers.jobs import ttl_after_finished
from sampan.controllers.jobs.cron_schedule import BadSchedule, Schedule, UnknownTimeZone
from sampan.controllers.jobs.cronjob import SCHEDULED, plan
from sampan.reconcile.plan import Create, Delete, Update
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def cron_job(make, schedule: str = "*/5 * * * *", **spec) -> Object:
    defaults = {
        "schedule": schedule, "concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1, "jobTemplate": {"spec": {"template": make.template()}},
    }
    return {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": make.meta("tick"), "spec": {**defaults, **spec},
        "status": {},
    }


def job(make, owner: Object, name: str, over: str = "", **status) -> Object:
    if over:
        moment = "2026-01-02T03:02:00Z"
        status["conditions"] = [{"type": over, "status": "True", "lastTransitionTime": moment}]
    metadata = make.meta(name, owner, annotations={SCHEDULED: "2026-01-02T03:00:00Z"})
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {}, "status": status}


def creations(decided) -> list[Object]:
    return [step.obj for step in decided.steps if isinstance(step, Create)]


def status_after(decided, made: Object) -> Object:
    """The status that is written once the Job is there: as `made`."""
    [create] = [step for step in decided.steps if isinstance(step, Create)]
    assert decided.steps[-1] is create
    [update] = create.then(made)
    assert isinstance(update, Update) and update.subresource == "status"
    assert create.on_exists(made) == (update,), "so it is when a crash came between the two writes"
    return update.obj["status"]


def reasons(decided) -> list[str]:
    return [note.reason for note in decided.notes]


def test_nothing_is_made_before_the_first_time_and_it_looks_again_then(make) -> None:
    decided = plan(cron_job(make), [], at("2026-01-02T03:04:00"))
    assert not decided.steps and decided.requeue_after_s == 60.1


def test_a_job_is_named_after_its_time_and_served_once(make) -> None:
    owner, now = cron_job(make), at("2026-01-02T03:05:00")
    decided = plan(owner, [], now)
    [made] = creations(decided)
    assert name_of(made) == f"tick-{int(now.timestamp()) // 60}"
    assert made["metadata"]["annotations"][SCHEDULED] == "2026-01-02T03:05:00Z"
    owner["status"] = status_after(decided, job(make, owner, name_of(made)))
    assert owner["status"]["lastScheduleTime"] == "2026-01-02T03:05:00Z"
    assert not creations(plan(owner, [], now + timedelta(seconds=30)))


def test_of_many_missed_times_only_the_last_is_served(make) -> None:
    decided = plan(cron_job(make, "* * * * *"), [], at("2026-01-02T05:00:30"))
    assert [one["metadata"]["annotations"][SCHEDULED] for one in creations(decided)] == ["2026-01-02T05:00:00Z"]
    assert reasons(decided) == ["TooManyMissedTimes"]


def test_a_time_past_its_deadline_is_let_go(make) -> None:
    owner = cron_job(make, "0 * * * *", startingDeadlineSeconds=60)
    owner["metadata"]["creationTimestamp"] = "2026-01-02T02:30:00Z"
    assert not creations(plan(owner, [], at("2026-01-02T03:02:00")))
    assert creations(plan(owner, [], at("2026-01-02T03:00:59")))


@pytest.mark.parametrize(("policy", "made", "deleted", "told"), [
    ("Allow", 1, 0, []), ("Forbid", 0, 0, ["JobAlreadyActive"]), ("Replace", 1, 1, []),
])
def test_the_concurrency_policy_decides_while_a_job_still_runs(make, policy, made, deleted, told) -> None:
    owner = cron_job(make, concurrencyPolicy=policy)
    decided = plan(owner, [job(make, owner, "tick-1")], at("2026-01-02T03:05:01"))
    assert len(creations(decided)) == made and reasons(decided) == told
    assert len([step for step in decided.steps if isinstance(step, Delete)]) == deleted


def test_a_job_that_was_made_but_not_noted_is_not_replaced_by_itself(make) -> None:
    owner = cron_job(make, concurrencyPolicy="Replace")
    [created] = creations(plan(owner, [], at("2026-01-02T03:05:01")))
    decided = plan(owner, [job(make, owner, created["metadata"]["name"])], at("2026-01-02T03:05:01"))
    assert [step for step in decided.steps if isinstance(step, Delete)] == []


def test_one_write_tells_of_a_new_job_and_of_those_that_it_replaces(make) -> None:
    owner = cron_job(make, concurrencyPolicy="Replace")
    earlier = job(make, owner, "tick-1")
    owner["status"] = {"active": [{"uid": uid_of(earlier), "name": "tick-1"}]}
    decided = plan(owner, [earlier], at("2026-01-02T03:05:01"))
    made = job(make, owner, "tick-2")
    status = status_after(decided, made)
    assert [one["uid"] for one in status["active"]] == [uid_of(made)]
    owner["status"] = status
    assert not plan(owner, [made], at("2026-01-02T03:05:02"))  # whom it replaced is no missing Job


def test_a_job_that_ended_before_it_was_noted_is_not_active(make) -> None:
    owner = cron_job(make)
    decided = plan(owner, [], at("2026-01-02T03:05:01"))
    [created] = creations(decided)
    assert "active" not in status_after(decided, job(make, owner, name_of(created), "Complete"))


def test_changes_of_an_active_job_are_not_written(make) -> None:
    owner = cron_job(make)
    running = job(make, owner, "tick-1")
    known = {"uid": uid_of(running), "name": "tick-1", "resourceVersion": "1"}
    owner["status"] = {"lastScheduleTime": "2026-01-02T03:05:00Z", "active": [known]}
    running["metadata"]["resourceVersion"] = "2"
    assert not plan(owner, [running], at("2026-01-02T03:05:02"))


def test_a_suspended_one_observes_but_makes_nothing(make) -> None:
    owner = cron_job(make, suspend=True)
    running = job(make, owner, "tick-1")
    owner["status"] = {"active": [{"uid": "uid-gone", "name": "gone"}, {"uid": "uid-done", "name": "done"}]}
    done = job(make, owner, "done", "Complete", completionTime="2026-01-02T03:02:00Z")
    decided = plan(owner, [running, done], make.now)
    assert reasons(decided) == ["MissingJob", "SawCompletedJob"] and not creations(decided)
    [update] = decided.steps
    assert [one["name"] for one in update.obj["status"]["active"]] == ["tick-1"]
    assert update.obj["status"]["lastSuccessfulTime"] == "2026-01-02T03:02:00Z"


def test_history_beyond_the_limits_is_deleted_oldest_first(make) -> None:
    owner = cron_job(make, suspend=True, successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0)
    jobs = [job(make, owner, f"tick-{n}", "Complete", startTime=f"2026-01-02T03:0{n}:00Z") for n in (3, 1, 2)]
    jobs.append(job(make, owner, "tick-4", "Failed"))
    deleted = [step.name for step in plan(owner, jobs, make.now).steps if isinstance(step, Delete)]
    assert deleted == ["tick-1", "tick-2", "tick-4"]


def test_an_unknown_zone_is_told(make) -> None:
    decided = plan(cron_job(make, timeZone="Mars/Olympus"), [], make.now)
    assert reasons(decided) == ["UnknownTimeZone"] and not creations(decided)


@pytest.mark.parametrize(("text", "zone", "after", "due"), [
    ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00", "2026-03-30T00:30:00"),  # 02:30 does not exist on the 29th
    ("0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00", "2026-03-29T01:00:00"),
    ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),  # exists twice on the 25th
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00", "2026-10-25T01:30:00"),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:30:00", "2026-10-26T01:30:00"),
    ("*/30 * * * *", "America/New_York", "2026-11-01T05:30:00", "2026-11-01T06:00:00"),
    ("30 2 * * *", "Europe/Berlin", "2026-07-01T12:00:00", "2026-07-02T00:30:00"),
    ("30 2 * * *", "America/New_York", "2026-07-01T12:00:00", "2026-07-02T06:30:00"),
    ("@hourly", None, "2026-07-01T12:00:00", "2026-07-01T13:00:00"),
    ("@every 1h30m", None, "2026-07-01T12:00:00", "2026-07-01T13:30:00"),
    ("0 12 ? * 1", None, "2026-07-01T12:00:00", "2026-07-06T12:00:00"),
])
def test_schedules_and_zones(text, zone, after, due) -> None:
    assert Schedule.parse(text, zone).after(at(after)) == at(due)


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(UnknownTimeZone, match="unknown time zone X"):
        Schedule.parse("@daily", "X")
    for text in ("61 * * * *", "@every soon", "nonsense"):
        with pytest.raises(BadSchedule):
            Schedule.parse(text)


def test_a_finished_job_is_deleted_when_its_time_is_over(make) -> None:
    done = job(make, cron_job(make), "tick-1", "Complete")
    assert not ttl_after_finished.plan(done, make.now)
    done["spec"]["ttlSecondsAfterFinished"] = 130
    assert ttl_after_finished.plan(done, make.now).requeue_after_s == 5.0
    wrong = make.now - timedelta(hours=1)  # a clock that is put right while nobody looks
    assert ttl_after_finished.plan(done, wrong).requeue_after_s == ttl_after_finished.LONGEST_S < 3600
    [deletion] = ttl_after_finished.plan(done, make.now + timedelta(seconds=5)).steps
    assert (deletion.name, deletion.propagation) == ("tick-1", "Foreground")


def test_a_cronjob_in_its_zone_on_a_cluster() -> None:
    async def scenario() -> None:
        async with SimCluster(5, 1) as cluster:
            template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "work:1"}]}}
            await cluster.client.create(CRON_JOBS, {
                "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick", "namespace": "default"},
                "spec": {
                    "schedule": "0 * * * *", "timeZone": "Asia/Kolkata",
                    "jobTemplate": {"spec": {"ttlSecondsAfterFinished": 600, "template": template}},
                },
            })
            began = effects.now()
            seen: dict[str, str] = {}

            while effects.now() - began <= timedelta(hours=2):
                await asyncio.sleep(120)
                for one in (await cluster.client.list(JOBS, "default"))["items"]:
                    seen[name_of(one)] = one["metadata"]["annotations"][SCHEDULED]
            assert len(seen) == 2 and all(text.endswith(":00:00+05:30") for text in seen.values())
            found = (await cluster.client.get(CRON_JOBS, "tick", "default"))["status"]
            assert times.parse(found["lastSuccessfulTime"]) > times.parse(found["lastScheduleTime"])
            assert not (await cluster.client.list(JOBS, "default"))["items"]

    run(scenario())
