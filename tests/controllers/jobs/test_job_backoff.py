"""When a pod of a Job ended, and how long the next one waits; the cases of upstream's backoff_utils_test.go."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.controllers.jobs.jobs import DISRUPTED, a_pod, job, look

from sampan.apimachinery.object import Object
from sampan.controllers.jobs.job_backoff import Backoff, Failures, finished_at, index_wait_s
from sampan.controllers.jobs.job_pods import FAILURES, IGNORED_FAILURES, TRACKING, Attempt, attempt_of


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def ended(moment: datetime | None) -> Object:
    return {"state": {"terminated": {"finishedAt": text(moment)} if moment else {}}}


def pod_that(make, phase: str, at: datetime, name: str = "p") -> Object:
    return dict(make.pod(name, phase=phase) | {"status": {"phase": phase, "containerStatuses": [ended(at)]}})


@pytest.mark.parametrize(("successes", "failures", "counted"), [
    ([], [], 0), ([], [0], 1), ([], [0, -1], 2), ([0], [-2, -1], 0), ([-2], [0, -4, -3, -1], 2), ([0], [0], 0),
    ([0], [], 0),
])
def test_failures_after_the_last_success_count(make, successes, failures, counted) -> None:
    def at(seconds: int) -> datetime:
        return make.now + timedelta(seconds=seconds)

    pods = [pod_that(make, "Succeeded", at(s), f"s{s}") for s in successes]
    pods += [pod_that(make, "Failed", at(s), f"f{s}") for s in failures]
    assert Failures().backoff(job(make), pods) == Backoff(counted, at(max(failures)) if counted else None)


def test_failures_are_remembered_until_a_success_or_the_job_is_forgotten(make) -> None:
    memory, owner = Failures(), job(make)
    first, second = (pod_that(make, "Failed", make.now + timedelta(seconds=n), f"f{n}") for n in (0, 1))
    assert memory.backoff(owner, [first]).failures == 1
    assert memory.backoff(owner, [second]) == Backoff(2, make.now + timedelta(seconds=1))
    done = pod_that(make, "Succeeded", make.now + timedelta(seconds=2), "s")
    assert memory.backoff(owner, [done, second]).failures == 0
    assert memory.backoff(owner, [second]).failures == 0, "the success was before we last looked"
    memory.forget(frozenset())
    assert len(memory) == 0


def test_a_pod_that_is_deleted_while_it_runs_has_failed_and_delays_the_next(make) -> None:
    owner = job(make, parallelism=1, completions=1)
    going = a_pod(make, owner, "a", "T", conditions=[])
    going["metadata"] |= {"deletionTimestamp": text(make.now + timedelta(seconds=25)), "deletionGracePeriodSeconds": 30}
    found = look(owner, [going], make.now)
    assert (found.created, found.again_s) == ([], 5.0)
    memory = Failures()
    assert memory.backoff(owner, [{**going, "metadata": {**going["metadata"], "finalizers": [TRACKING]}}]).failures == 1
    released = {**going, "metadata": {key: one for key, one in going["metadata"].items() if key != "finalizers"}}
    assert memory.backoff(owner, [released]).failures == 1
    assert Failures().backoff(owner, [released]).failures == 0, "who was let go uncounted is no failure"


def test_failures_that_are_ignored_delay_the_next_pod_too(make) -> None:
    rule = {"action": "Ignore", "onPodConditions": [DISRUPTED]}
    owner = job(make, parallelism=1, completions=1, backoffLimit=0, podFailurePolicy={"rules": [rule]})
    pod = a_pod(make, owner, "a", "F", conditions=[DISRUPTED])
    del pod["status"]["containerStatuses"]
    assert len(look(owner, [pod], make.now).created) == 1
    pod["metadata"] |= {"deletionTimestamp": make.now_text, "finalizers": [TRACKING]}
    found = look(owner, [pod], make.now)
    assert (found.created, found.again_s, found.counts("failed")) == ([], 10.0, (0,))


RUNNING: Object = {"state": {"running": {}}}


@pytest.mark.parametrize(("containers", "inits", "ready", "metadata", "wanted"), [
    ([-1, 0, -2], [], None, {}, 0),
    ([-1, "running", -2], [], None, {"deletionTimestamp": 0}, 0),
    (["running"], [], None, {"deletionTimestamp": 0}, 0),
    (["running"], [], None, {"deletionTimestamp": 0, "deletionGracePeriodSeconds": 30}, -30),
    ([None], [], ("False", 0), {}, 0),
    ([None], [], ("True", -30), {"deletionTimestamp": 0}, 0),
    ([None], [], None, {"creationTimestamp": 0}, 0),
    ([-1], [0], None, {}, 0),
])
def test_when_a_pod_ended(make, containers, inits, ready, metadata, wanted) -> None:
    def status(one: int | str | None) -> Object:
        return RUNNING if one == "running" else ended(None if one is None else make.now + timedelta(seconds=int(one)))

    pod = make.pod("p", phase="Failed")
    pod["status"] = {
        "phase": "Failed", "containerStatuses": list(map(status, containers)),
        "initContainerStatuses": list(map(status, inits)), "conditions": [],
    }
    if ready is not None:
        truth, since = ready
        condition = {"type": "Ready", "status": truth, "lastTransitionTime": text(make.now + timedelta(seconds=since))}
        pod["status"]["conditions"] = [condition]
    for key, value in metadata.items():
        pod["metadata"][key] = text(make.now + timedelta(seconds=value)) if key.endswith("Timestamp") else value
    assert finished_at(pod) == make.now + timedelta(seconds=wanted)


@pytest.mark.parametrize(("failures", "elapsed", "wait"), [
    (0, 0, 0), (1, 0, 10), (1, 1, 9), (1, 10, 0), (1, 11, 0), (3, 0, 40), (6, 0, 320), (7, 0, 600), (40, 0, 600),
])
def test_the_wait_doubles_up_to_ten_minutes(make, failures, elapsed, wait) -> None:
    now = make.now + timedelta(seconds=elapsed)
    assert Backoff(failures, make.now if failures else None).wait_s(now) == wait


def test_a_failure_from_the_future_delays_nobody_for_an_hour(make) -> None:
    later = Backoff(1, make.now + timedelta(hours=1))
    assert later.wait_s(make.now) == 0.0
    assert later.wait_s(make.now + timedelta(hours=1)) == 10.0


@pytest.mark.parametrize(("failures", "ignored", "wait"), [(2, 0, 40), (1, 1, 40), (0, 0, 10)])
def test_an_index_waits_after_its_failures_those_that_were_ignored_included(make, failures, ignored, wait) -> None:
    pod = pod_that(make, "Failed", make.now)
    pod["metadata"]["annotations"] = {FAILURES: str(failures), IGNORED_FAILURES: str(ignored)}
    assert index_wait_s(pod, Attempt(failures + 1, ignored), make.now) == wait


@pytest.mark.parametrize("written", ["", "many", "-1", "3.5", str(2**31)])
def test_what_is_no_number_of_failures_counts_as_none(make, written) -> None:
    pod = make.pod("p", annotations={FAILURES: written, IGNORED_FAILURES: "2"})
    assert attempt_of(pod) == Attempt(0, 2)
