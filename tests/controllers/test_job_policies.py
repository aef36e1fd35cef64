"""What a failure means to a Job, what it does about each index, and when enough has succeeded."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sampan.api.resources import JOBS
from sampan.apimachinery.object import Object
from sampan.controllers.job import plan
from sampan.controllers.job_pods import FAILURES, IGNORED_FAILURES, INDEX, TRACKING
from sampan.reconcile.plan import Create, Delete, Patch, Update
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run
from sampan.sim.stages import EXIT_CODE, RUN_SECONDS


def job(make, **spec) -> Object:
    defaults = {
        "parallelism": 2, "completions": 3, "backoffLimit": 6, "selector": {"matchLabels": {"app": "web"}},
        "template": make.template(),
    }
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": make.meta("work"), "spec": {**defaults, **spec},
        "status": {},
    }


def indexed(make, **spec) -> Object:
    return job(make, completionMode="Indexed", backoffLimit=2**31 - 1, backoffLimitPerIndex=1, **spec)


def failed(make, owner: Object, name: str, code: int = 1, index: int | None = None, **annotations: str) -> Object:
    if index is not None:
        annotations[INDEX] = str(index)
    pod = make.pod(name, owner, phase="Failed", since="2026-01-02T03:00:00Z", finalizers=[TRACKING],
                   annotations=annotations)
    pod["status"]["containerStatuses"] = [
        {"name": "c", "state": {"terminated": {"exitCode": code, "finishedAt": "2026-01-02T03:00:00Z"}}}
    ]
    return pod


def status_in(writes: list) -> Object:
    [update] = [write for write in writes if isinstance(write, Update)]
    return update.obj["status"]


def reasons(status: Object) -> dict[str, str]:
    return {one["type"]: one["reason"] for one in status.get("conditions") or ()}


def creations(writes: list) -> list[Object]:
    return [write.obj["metadata"]["annotations"] for write in writes if isinstance(write, Create)]


def policy(action: str, **requirement) -> Object:
    return {"rules": [{"action": action, **requirement}]}


def test_an_exit_code_may_fail_the_whole_job(make, flat) -> None:
    codes = {"containerName": "c", "operator": "In", "values": [42]}
    owner = job(make, podFailurePolicy=policy("FailJob", onExitCodes=codes))
    writes = flat(plan(owner, [failed(make, owner, "a", 42), make.pod("b", owner, finalizers=[TRACKING])], make.now))
    assert [write.name for write in writes if isinstance(write, Delete)] == ["b"]
    status = status_in(writes)
    assert reasons(status) == {"FailureTarget": "PodFailurePolicy"}
    text = "Container c for pod default/a failed with exit code 42 matching FailJob rule at index 0"
    assert status["conditions"][0]["message"] == text
    owner["status"] = {**status, "uncountedTerminatedPods": {}}
    assert reasons(status_in(flat(plan(owner, [], make.now))))["Failed"] == "PodFailurePolicy"


def test_a_disruption_may_be_ignored(make, flat) -> None:
    target = {"type": "DisruptionTarget", "status": "True"}
    owner = job(make, backoffLimit=0, podFailurePolicy=policy("Ignore", onPodConditions=[target]))
    pod = failed(make, owner, "a")
    pod["status"]["conditions"].append(target)
    writes = flat(plan(owner, [pod], make.now))
    assert len(creations_of(writes)) == 2 and "failed" not in status_in(writes)["uncountedTerminatedPods"]
    assert [write.name for write in writes if isinstance(write, Patch)] == ["a"]


def creations_of(writes: list) -> list[Create]:
    return [write for write in writes if isinstance(write, Create)]


@pytest.mark.parametrize(("operator", "values", "code", "hit"), [
    ("In", [1, 2], 2, True), ("In", [1], 2, False), ("NotIn", [1], 2, True), ("NotIn", [1], 0, False),
])
def test_exit_codes_match_in_and_not_in_but_never_success(make, flat, operator, values, code, hit) -> None:
    owner = job(make, podFailurePolicy=policy("FailJob", onExitCodes={"operator": operator, "values": values}))
    status = status_in(flat(plan(owner, [failed(make, owner, "a", code)], make.now)))
    assert bool(reasons(status)) == hit


def test_an_index_counts_its_own_failures_and_its_pod_is_kept_until_the_next_exists(make, flat) -> None:
    owner = indexed(make, parallelism=3)
    first = failed(make, owner, "a", index=1)
    writes = flat(plan(owner, [first], make.now))
    assert [(one[INDEX], one[FAILURES]) for one in creations(writes)] == [("0", "0"), ("1", "1"), ("2", "0")]
    assert not [write for write in writes if isinstance(write, Patch)]
    second = make.pod("b", owner, finalizers=[TRACKING], annotations={INDEX: "1", FAILURES: "1"})
    writes = flat(plan(owner, [first, second], make.now))
    assert [write.name for write in writes if isinstance(write, Patch)] == ["a"]
    assert status_in(writes)["uncountedTerminatedPods"] == {"failed": ["uid-a"]}


def test_each_index_waits_after_its_own_failures_only(make, flat) -> None:
    owner = indexed(make, parallelism=2)
    now = make.now - timedelta(minutes=4)
    decided = plan(owner, [failed(make, owner, "a", index=0)], now)
    assert [one[INDEX] for one in creations(flat(decided))] == ["1", "2"]
    assert decided.requeue_after_s == 5.0


def test_an_index_beyond_its_limit_is_given_up_and_the_others_go_on(make, flat) -> None:
    owner = indexed(make)
    writes = flat(plan(owner, [failed(make, owner, "a", index=0, **{FAILURES: "1"})], make.now))
    status = status_in(writes)
    assert status["failedIndexes"] == "0" and not reasons(status)
    assert [one[INDEX] for one in creations(writes)] == ["1", "2"]
    owner["status"] = {"completedIndexes": "1-2", "failedIndexes": "0", "succeeded": 2, "failed": 2}
    assert reasons(status_in(flat(plan(owner, [], make.now))))["Failed"] == "FailedIndexes"


def test_too_many_given_up_indexes_fail_the_job(make, flat) -> None:
    owner = indexed(make, maxFailedIndexes=1, completions=5)
    owner["status"] = {"failedIndexes": "0,3"}
    assert reasons(status_in(flat(plan(owner, [], make.now))))["Failed"] == "MaxFailedIndexesExceeded"


def test_an_index_may_be_given_up_at_once_or_its_failure_ignored(make, flat) -> None:
    codes = {"operator": "In", "values": [7]}
    owner = indexed(make, podFailurePolicy=policy("FailIndex", onExitCodes=codes))
    assert status_in(flat(plan(owner, [failed(make, owner, "a", 7, 0)], make.now)))["failedIndexes"] == "0"
    owner = indexed(make, podFailurePolicy=policy("Ignore", onExitCodes=codes))
    [first, *_] = creations(flat(plan(owner, [failed(make, owner, "a", 7, 0)], make.now)))
    assert (first[INDEX], first[FAILURES], first[IGNORED_FAILURES]) == ("0", "0", "1")


@pytest.mark.parametrize(("rule", "done", "met"), [
    ({"succeededIndexes": "0,2"}, "0-1", False), ({"succeededIndexes": "0,2"}, "0,2", True),
    ({"succeededCount": 2}, "1,4", True), ({"succeededIndexes": "0-3", "succeededCount": 2}, "3-6", False),
])
def test_the_success_policy_says_when_it_is_enough(make, flat, rule, done, met) -> None:
    owner = job(make, completionMode="Indexed", completions=9, successPolicy={"rules": [rule]})
    owner["status"] = {"completedIndexes": done}
    found = reasons(status_in(flat(plan(owner, [make.pod("b", owner, finalizers=[TRACKING],
                                                         annotations={INDEX: "8"})], make.now))))
    assert found == ({"SuccessCriteriaMet": "SuccessPolicy"} if met else {})


def test_the_success_policy_is_the_reason_also_where_all_completions_are_reached(make, flat) -> None:
    rules = {"rules": [{"succeededCount": 3}]}
    owner = job(make, completionMode="Indexed", completions=3, successPolicy=rules)
    owner["status"] = {"completedIndexes": "0-2"}
    assert reasons(status_in(flat(plan(owner, [], make.now)))) == {
        "SuccessCriteriaMet": "SuccessPolicy", "Complete": "SuccessPolicy"}


def test_a_pod_that_goes_is_waited_for_when_only_failed_ones_are_replaced(make, flat) -> None:
    owner = job(make, completions=1, parallelism=1)
    going = make.pod("a", owner, finalizers=[TRACKING], deletionTimestamp=make.now_text)
    now = make.now + timedelta(hours=1)
    assert creations_of(flat(plan(owner, [going], now)))
    owner["spec"]["podReplacementPolicy"] = "Failed"
    writes = flat(plan(owner, [going], now))
    assert not creations_of(writes) and status_in(writes)["terminating"] == 1


def test_another_controllers_job_is_left_alone(make) -> None:
    assert not plan(job(make, managedBy="example.com/queue"), [], make.now)


def test_indexes_fail_and_succeed_on_a_cluster() -> None:
    async def scenario() -> None:
        async with SimCluster(3, 2) as cluster:
            template = {
                "metadata": {"annotations": {RUN_SECONDS: "2", EXIT_CODE: "1"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "work:1"}]},
            }
            await cluster.client.create(JOBS, {
                "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work", "namespace": "default"},
                "spec": {
                    "completions": 4, "parallelism": 4, "completionMode": "Indexed", "backoffLimitPerIndex": 2,
                    "template": template,
                },
            })

            async def over() -> bool:
                return "Failed" in reasons((await cluster.client.get(JOBS, "work", "default")).get("status") or {})

            await cluster.until(over)
            status = (await cluster.client.get(JOBS, "work", "default"))["status"]
            assert (status["failed"], status["failedIndexes"]) == (12, "0-3")
            assert reasons(status)["Failed"] == "FailedIndexes"

    run(scenario())
