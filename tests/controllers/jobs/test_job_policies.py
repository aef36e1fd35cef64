"""What a failure means to a Job, what it does about each index, and when enough has succeeded."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.controllers.jobs import jobs
from tests.controllers.jobs.jobs import DISRUPTED, ENDED, a_pod, look, pods_of

from sampan.api.resources import JOBS
from sampan.apimachinery.object import Object
from sampan.controllers.jobs.job import plan
from sampan.controllers.jobs.job_pods import FAILURES, IGNORED_FAILURES, INDEX, TRACKING
from sampan.reconcile.plan import Create, Delete, Patch, Update
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run
from sampan.sim.stages import EXIT_CODE, RUN_SECONDS


def job(make, **spec) -> Object:
    return jobs.job(make, **{"completions": 3, **spec})


def indexed(make, **spec) -> Object:
    defaults = {"completionMode": "Indexed", "backoffLimit": 2**31 - 1, "backoffLimitPerIndex": 1}
    return job(make, **{**defaults, **spec})


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
    assert [one[INDEX] for one in creations(flat(decided))] == ["1"], "the third has to wait for a place"
    assert decided.requeue_after_s == 5.0


@pytest.mark.parametrize(("failures", "made", "again_s"), [
    ({}, "0 1 2", None), ({1: (0, 0)}, "0 2", 10.0), ({1: (0, 0), 2: (0, 10)}, "0 2", 10.0),
    ({0: (1, 0), 1: (0, 0), 2: (2, 0)}, "", 10.0), ({0: (1, 1), 1: (0, 1), 2: (2, 1)}, "", 9.0),
])
def test_indexes_whose_wait_is_over_are_made_and_of_the_others_the_first_is_waited_for(
    make, failures, made, again_s
) -> None:
    """Upstream's TestGetPodCreationInfoForIndependentIndexes; `failures`: how many before, and how long ago."""
    owner = indexed(make, parallelism=3, backoffLimitPerIndex=9)
    pods = [a_pod(make, owner, f"p{index}", f"F{index}", before) for index, (before, _) in failures.items()]
    for pod, (_, ago) in zip(pods, failures.values(), strict=True):
        moment = (make.now - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = moment
    found = look(owner, pods, make.now)
    assert (" ".join(found.indexes), found.again_s) == (made, again_s)


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


MATCHED = "Matched rules at index 0"
MET = {"SuccessCriteriaMet": "SuccessPolicy"}
COMPLETE = {**MET, "Complete": "SuccessPolicy"}
ONE_OF_TWO = {"rules": [{"succeededIndexes": "0,1", "succeededCount": 1}]}
FAIL_DISRUPTED = {"rules": [{"action": "FailJob", "onPodConditions": [DISRUPTED]}]}


def lost(reason: str, final: bool = True) -> dict[str, str]:
    return {"FailureTarget": reason, **({"Failed": reason} if final else {})}


@pytest.mark.parametrize(("spec", "kinds", "known", "counts", "conditions"), [
    # counts: succeeded, failed, terminating
    ({"completions": 3}, "F0 R0 S1 R2", None, (1, 1, 2), MET),
    ({"podFailurePolicy": FAIL_DISRUPTED}, "F0 R0 S1", None, (1, 1, 1), MET),
    ({"backoffLimitPerIndex": 2}, "F0 R0 S1", None, (1, 1, 1), MET),
    ({"backoffLimitPerIndex": 2}, "F0 S1", MET, (1, 1, 0), COMPLETE),
    ({"backoffLimitPerIndex": 3, "completions": 3}, "F0 R1 S1 R2", MET, (1, 1, 2), MET),
    ({"podFailurePolicy": FAIL_DISRUPTED}, "D0 R0 S1", None, (1, 2, 1), lost("PodFailurePolicy", False)),
    ({"backoffLimitPerIndex": 0}, "F0 S1", None, (1, 1, 0), lost("FailedIndexes")),
    ({"backoffLimit": 1}, "F0 F0 S1", None, (1, 2, 0), lost("BackoffLimitExceeded")),
    ({"podFailurePolicy": FAIL_DISRUPTED}, "D0 S1", MET, (1, 1, 0), COMPLETE),
    ({"backoffLimitPerIndex": 0}, "F0 S1", MET, (1, 1, 0), COMPLETE),
    ({"backoffLimit": 0}, "F0 S1", MET, (1, 1, 0), COMPLETE),
    ({"podFailurePolicy": FAIL_DISRUPTED}, "S1", lost("PodFailurePolicy", False), (1, 0, 0), lost("PodFailurePolicy")),
])
def test_success_and_failure_policies_meet(make, spec, kinds, known, counts, conditions) -> None:
    """Upstream's TestSyncJobWithJobSuccessPolicy: what was decided first stays, and before that a failure wins."""
    status = {"conditions": [
        {"type": kind, "status": "True", "reason": reason, "message": MATCHED} for kind, reason in (known or {}).items()
    ]}
    owner = jobs.job(make, completionMode="Indexed", successPolicy=ONE_OF_TWO, status=status, **{
        "completions": 2, "parallelism": 3, "backoffLimit": 2**31 - 1, **spec})
    pods = pods_of(make, owner, kinds.replace("D", "F"))
    for pod, kind in zip(pods, kinds.split(), strict=True):
        pod["status"]["conditions"] += [DISRUPTED] if kind.startswith("D") else []
    found = look(owner, pods, make.now)
    assert found.conditions == conditions
    assert found.counts("succeeded", "failed", "terminating") == counts
    assert found.counts("active", "ready") == (0, 0)


@pytest.mark.parametrize(("rules", "done", "met"), [
    ([{"succeededIndexes": "0-2"}], "", None), ([], "0", None),
    ([{"succeededIndexes": "7-9"}, {"succeededCount": 1}], "0", 1),
    ([{"succeededIndexes": "0-8"}], "0-5", 0), ([{"succeededIndexes": "0-2", "succeededCount": 2}], "0,2", 0),
    ([{"succeededIndexes": "0-2", "succeededCount": 2}], "0", None), ([{"succeededCount": 3}], "0,2", None),
    ([{"succeededIndexes": "4,5"}, {"succeededIndexes": "0"}], "0-1", 1),
])
def test_the_first_rule_that_holds_is_named(make, rules, done, met) -> None:
    owner = jobs.job(make, completionMode="Indexed", completions=6, successPolicy={"rules": rules},
                     status={"completedIndexes": done})
    found = look(owner, [], make.now)
    told = {one["message"] for one in found.status.get("conditions") or () if one["reason"] == "SuccessPolicy"}
    assert told == (set() if met is None else {f"Matched rules at index {met}"})


ON_CODE_3 = {"onExitCodes": {"operator": "In", "values": [3]}}


@pytest.mark.parametrize(("spec", "pods", "counts", "indexes", "conditions"), [
    # pods: kind, failures of the index before, exit code; counts: active, succeeded, failed, terminating
    ({}, [("F0", 0, 1), ("S0", 1, 0), ("S1", 0, 0)], (0, 2, 1, 0), ("0,1", ""),
     {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}),
    ({}, [("F0", 0, 1)], (2, 0, 0, 0), ("", ""), {}),
    ({}, [("F0", 0, 1), ("P0", 1, 0)], (2, 0, 1, 0), ("", ""), {}),
    ({}, [("F0", 1, 1)], (1, 0, 1, 0), ("", "0"), {}),
    ({"podFailurePolicy": {"rules": [{"action": "FailIndex", **ON_CODE_3}]}}, [("F0", 0, 3)], (1, 0, 1, 0), ("", "0"),
     {}),
    ({"podFailurePolicy": {"rules": [{"action": "FailJob", **ON_CODE_3}]}}, [("F0", 0, 3)], (0, 0, 1, 0), ("", ""),
     lost("PodFailurePolicy")),
    ({"podFailurePolicy": {"rules": [{"action": "Ignore", **ON_CODE_3}]}}, [("F0", 0, 3)], (2, 0, 0, 0), ("", ""), {}),
    ({"backoffLimit": 1}, [("F0", 0, 1), ("F1", 0, 1)], (0, 0, 2, 0), ("", ""), lost("BackoffLimitExceeded")),
    ({}, [("F0", 1, 1), ("S1", 0, 0)], (0, 1, 1, 0), ("1", "0"), lost("FailedIndexes")),
    ({"completions": 4, "parallelism": 4, "maxFailedIndexes": 1},
     [("F0", 1, 1), ("S1", 0, 0), ("F2", 1, 1), ("R3", 0, 0)], (0, 1, 3, 1), ("1", "0,2"),
     lost("MaxFailedIndexesExceeded", False)),
])
def test_each_index_has_a_limit_of_its_own(make, spec, pods, counts, indexes, conditions) -> None:
    """Upstream's TestSyncJobWithJobBackoffLimitPerIndex."""
    owner = jobs.job(make, completionMode="Indexed", backoffLimitPerIndex=1, **{
        "completions": 2, "backoffLimit": 2**31 - 1, **spec})
    made = [a_pod(make, owner, f"p{n}", kind, before) for n, (kind, before, _) in enumerate(pods)]
    for pod, (kind, _, code) in zip(made, pods, strict=True):
        if kind[0] == "F":
            pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = code
    found = look(owner, made, make.now)
    assert found.counts("active", "succeeded", "failed", "terminating") == counts
    assert (found.status.get("completedIndexes", ""), found.status["failedIndexes"]) == indexes
    assert found.conditions == conditions


def test_of_several_failed_pods_of_an_index_the_last_is_held(make) -> None:
    owner = indexed(make, backoffLimitPerIndex=9)
    pods = [
        a_pod(make, owner, name, "F0", before) for name, before in (("first", 0), ("third", 2), ("second", 1))
    ]
    found = look(owner, pods, make.now)
    assert sorted(found.released) == ["first", "second"]
    assert next(one["metadata"]["annotations"][FAILURES] for one in found.created) == "3"


CODES = [
    {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [1, 2, 3]}},
    {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [5, 6, 7]}},
]
FOR_MAIN = [{**rule, "onExitCodes": {**rule["onExitCodes"], "containerName": "main"}} for rule in CODES]  # type: ignore[dict-item]
NOT_IN = [{"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [5, 6, 7]}}]
COUNT_FIRST = [
    {"action": "Count", "onExitCodes": {"operator": "In", "values": [1, 2]}},
    {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [2, 3]}},
]
LIMITS = {"type": "ResourceLimitExceeded", "status": "True"}
COUNT_LIMITS = [
    {"action": "Count", "onPodConditions": [LIMITS]}, {"action": "Ignore", "onPodConditions": [DISRUPTED]},
]


@pytest.mark.parametrize(("rules", "limit", "phase", "codes", "found_on_pod", "failed", "why"), [
    (FOR_MAIN, 6, "Failed", {"side": 5, "main": 42}, [], 1, None),
    (CODES, 6, "Running", {"main": 5}, [], 0, None),
    (CODES, 6, "Failed", {"main": 5}, [], 1, "Container main for pod default/p failed with exit code 5 matching "
     "FailJob rule at index 1"),
    (NOT_IN, 6, "Failed", {"main": 42}, [], 1, "Container main for pod default/p failed with exit code 42 matching "
     "FailJob rule at index 0"),
    (NOT_IN, 6, "Failed", {"main": 5}, [], 1, None),
    (CODES, 6, "Failed", {"main": 143, "init:first": 5}, [], 1, "Container first for pod default/p failed with exit "
     "code 5 matching FailJob rule at index 1"),
    (CODES, 0, "Failed", {"one": 2, "two": 6}, [], 0, None),
    (CODES, 0, "Failed", {"main": 1}, [], 0, None),
    (CODES, 0, "Failed", {"main": 10}, [], 1, "Job has reached the specified backoff limit"),
    (COUNT_FIRST, 6, "Failed", {"main": 2}, [], 1, None),
    (COUNT_LIMITS, 6, "Failed", {"main": 0}, [LIMITS, DISRUPTED], 1, None),
    (COUNT_LIMITS, 0, "Failed", {}, [DISRUPTED], 0, None),
    (FAIL_DISRUPTED["rules"], 6, "Failed", {}, [DISRUPTED], 1, "Pod default/p has condition DisruptionTarget matching "
     "FailJob rule at index 0"),
    (FAIL_DISRUPTED["rules"], 6, "Failed", {}, [{**DISRUPTED, "status": "False"}], 1, None),
])
def test_the_failure_policy_judges_a_pod(make, rules, limit, phase, codes, found_on_pod, failed, why) -> None:
    """Upstream's TestSyncJobWithJobPodFailurePolicy and TestMatchPodFailurePolicy."""
    owner = jobs.job(make, completions=1, parallelism=1, backoffLimit=limit, podFailurePolicy={"rules": rules})

    def ended(name: str, code: int) -> Object:
        return {"name": name, "state": {"terminated": {"exitCode": code, "finishedAt": ENDED}}}

    pod = a_pod(
        make, owner, "p", "F", phase=phase, conditions=found_on_pod,
        containerStatuses=[ended(name, code) for name, code in codes.items() if ":" not in name],
        initContainerStatuses=[ended(name[5:], code) for name, code in codes.items() if ":" in name],
    )
    found = look(owner, [pod], make.now)
    assert found.counts("active", "failed") == (0 if why else 1, failed)
    assert {one["message"] for one in found.status.get("conditions") or ()} == ({why} if why else set())


def test_a_pod_that_goes_is_not_judged_before_it_has_ended(make) -> None:
    owner = jobs.job(make, completions=None, parallelism=1, backoffLimit=0, podFailurePolicy={
        "rules": [{"action": "Count", "onPodConditions": [DISRUPTED]}]})
    found = look(owner, pods_of(make, owner, "T"), make.now)
    assert found.counts("active", "failed", "terminating") == (0, 0, 1) and not found.conditions


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
