"""One look of the Job controller at a Job and its pods: what it makes, deletes, lets go and writes.

The cases are those of upstream's TestControllerSyncJob and TestTrackJobStatusAndRemoveFinalizers, asked of `plan`.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.controllers.jobs.jobs import a_pod, job, look, pods_of

from sampan.apimachinery.object import Object
from sampan.controllers.jobs.job_backoff import Backoff
from sampan.reconcile.plan import Delete, Patch

INDEXED = {"completionMode": "Indexed"}
QUEUE = {"completions": None}
ONLY_FAILED = {"podReplacementPolicy": "Failed"}
DONE = {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
LOST = {"FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded"}
LOSING = {"FailureTarget": "BackoffLimitExceeded"}
PAUSED = {"Suspended": "JobSuspended"}

COUNTS = ("active", "ready", "succeeded", "failed", "terminating")
CASES: dict[str, tuple[Object, str, tuple[int, int, int], tuple[int, ...], Object]] = {
    # name: spec, pods, (made, deleted, let go), counts as above, conditions
    "it starts": ({}, "", (2, 0, 0), (2, 0, 0, 0, 0), {}),
    "a work queue starts": (QUEUE, "", (2, 0, 0), (2, 0, 0, 0, 0), {}),
    "pending pods are pods": ({}, "P P", (0, 0, 0), (2, 0, 0, 0, 0), {}),
    "enough": ({"parallelism": 3}, "A A R", (0, 0, 0), (3, 2, 0, 0, 0), {}),
    "a work queue has enough": (QUEUE, "R R", (0, 0, 0), (2, 0, 0, 0, 0), {}),
    "too few": ({}, "R S", (1, 0, 1), (2, 0, 1, 0, 0), {}),
    "a work queue has too few": (QUEUE, "R", (1, 0, 0), (2, 0, 0, 0, 0), {}),
    "a work queue waits for who goes": (
        {**QUEUE, **ONLY_FAILED, "parallelism": 1}, "R F T", (0, 0, 1), (1, 0, 0, 1, 1), {}),
    "who goes has failed": ({"parallelism": 1, "completions": 1}, "R F T", (0, 0, 2), (1, 0, 0, 2, 1), {}),
    "a work queue counts who goes": ({**QUEUE, "parallelism": 1}, "R F T", (0, 0, 2), (1, 0, 0, 2, 1), {}),
    "more go than should run": (
        {**ONLY_FAILED, "parallelism": 1, "completions": 1}, "R R T T T T", (0, 1, 1), (1, 0, 0, 0, 5), {}),
    "more go than should run, with a failure policy": (
        {"parallelism": 1, "completions": 1, "podFailurePolicy": {"rules": []}}, "R R T T T T", (0, 1, 1),
        (1, 0, 0, 0, 5), {}),
    "too many": ({}, "R R R", (0, 1, 1), (2, 0, 0, 0, 1), {}),
    "too many ready ones": ({}, "A A A", (0, 1, 1), (2, 2, 0, 0, 1), {}),
    "a success ends the waiting": ({}, "R S F", (1, 0, 2), (2, 0, 1, 1, 0), {}),
    "a failure": ({}, "R F", (1, 0, 1), (2, 0, 0, 1, 0), {}),
    "it finishes": ({}, "S S S S S", (0, 0, 5), (0, 0, 5, 0, 0), DONE),
    "a work queue comes to its end": (QUEUE, "R S", (0, 0, 1), (1, 0, 1, 0, 0), {}),
    "a work queue finishes": (QUEUE, "S S", (0, 0, 2), (0, 0, 2, 0, 0), DONE),
    "a work queue finishes in spite of a failure": (QUEUE, "S F", (0, 0, 2), (0, 0, 1, 1, 0), DONE),
    "far too many": ({}, "R R R R R R R R R R", (0, 8, 8), (2, 0, 0, 0, 8), {}),
    "more than are left to do": (
        {"parallelism": 3, "completions": 4}, "R R R S S", (0, 1, 3), (2, 0, 2, 0, 1), {}),
    "successes": ({}, "R R S S", (0, 0, 2), (2, 0, 2, 0, 0), {}),
    "being deleted": ({"deleted": True}, "P R S", (0, 0, 3), (2, 0, 1, 0, 0), {}),
    "a failure too many while it is deleted": (
        {"deleted": True, "backoffLimit": 0}, "F", (0, 0, 1), (0, 0, 0, 1, 0), LOST),
    "ready pods of a failing one": (
        {"completions": 3, "backoffLimit": 0}, "A A F", (0, 2, 3), (0, 0, 0, 3, 2), LOSING),
    "suspended": ({"suspend": True, "completions": 4}, "R R", (0, 2, 2), (0, 0, 0, 0, 2), PAUSED),
    "suspended with ready pods": ({"suspend": True, "completions": 4}, "A A", (0, 2, 2), (0, 0, 0, 0, 2), PAUSED),
    "suspended while it is deleted": ({"suspend": True, "deleted": True}, "R R", (0, 0, 2), (2, 0, 0, 0, 0), {}),
    "finished and suspended": ({"suspend": True, "completions": 2}, "S S", (0, 0, 2), (0, 0, 2, 0, 0), DONE),
    "nothing to do": ({"completions": 0, "parallelism": 1}, "", (0, 0, 0), (0, 0, 0, 0, 0), DONE),
    "nothing to do and suspended": ({"completions": 0, "suspend": True}, "", (0, 0, 0), (0, 0, 0, 0, 0), DONE),
}


@pytest.mark.parametrize("name", CASES)
def test_a_look_at_pods_without_index(make, name) -> None:
    spec, kinds, did, counts, conditions = CASES[name]
    found = look(owner := job(make, **spec), pods_of(make, owner, kinds), make.now)
    assert (len(found.created), len(found.deleted), len(found.released)) == did
    assert found.counts(*COUNTS) == counts
    assert found.conditions == conditions
    assert ("startTime" in found.status) == (not owner["spec"]["suspend"])


BY_INDEX: dict[str, tuple[Object, str, tuple[str, int, int], tuple[int, int, int], str, Object]] = {
    # name: spec, pods, (indexes made, deleted, let go), (active, failed, terminating), completed indexes, conditions
    "it starts": ({}, "", ("0 1", 0, 0), (2, 0, 0), "", {}),
    "who goes without index is waited for": (ONLY_FAILED, "T", ("0", 0, 0), (1, 0, 1), "", {}),
    "who goes without index is not waited for": ({}, "T", ("0 1", 0, 1), (2, 0, 1), "", {}),
    "it completes": ({"completions": 3}, "S0 F1 S1 S2", ("", 0, 4), (0, 1, 0), "0-2", DONE),
    "it fails": ({"completions": 3, "backoffLimit": 0}, "S0 F1 R2", ("", 1, 3), (0, 2, 1), "0", LOSING),
    "an index succeeds twice": ({"completions": 3}, "S0 S1 S1", ("2", 0, 3), (1, 0, 0), "0,1", {}),
    "some run and some are done": (
        {"parallelism": 8, "completions": 20}, "R0 S2 P3 S4 S5 S7 S8 S9", ("1 6 10 11 12 13", 0, 6), (8, 0, 0),
        "2,4,5,7-9", {}),
    "some failed": ({"parallelism": 3, "completions": 4}, "F0 P1 F2", ("0 2", 0, 2), (3, 2, 0), "", {}),
    "pods without index": ({}, "R S F R? S? F? P? S0 R1 R2", ("", 3, 8), (2, 0, 3), "0", {}),
    "an index twice": ({"parallelism": 5}, "S F R? S0 R1 R2 P2", ("", 2, 5), (2, 0, 2), "0", {}),
    "indexes beyond the last": ({}, "S0 R5 S6 P7 F8", ("", 2, 5), (0, 0, 2), "0", {}),
}


@pytest.mark.parametrize("name", BY_INDEX)
def test_a_look_at_pods_with_indexes(make, name) -> None:
    spec, kinds, did, counts, completed, conditions = BY_INDEX[name]
    found = look(owner := job(make, **INDEXED, **spec), pods_of(make, owner, kinds), make.now)
    assert (" ".join(found.indexes), len(found.deleted), len(found.released)) == did
    assert found.counts("active", "failed", "terminating") == counts
    assert found.status.get("completedIndexes", "") == completed
    assert found.conditions == conditions


def test_a_pod_that_is_not_wanted_any_more_is_let_go_before_it_is_deleted_and_is_no_failure(make) -> None:
    for spec in ({"parallelism": 1}, {"suspend": True}, {"completions": 1}):
        kinds = "R R S" if spec.get("completions") else "R R"
        found = look(owner := job(make, **spec), pods_of(make, owner, kinds), make.now)
        gone = found.deleted[0]
        order = [type(step) for step in found.steps if getattr(step, "name", "") == gone]
        assert order == [Patch, Delete], spec
        assert "failed" not in found.status


def test_what_a_failing_job_ends_has_failed_also_where_only_failed_pods_are_replaced(make) -> None:
    owner = job(make, backoffLimit=0, completions=3, **ONLY_FAILED)
    found = look(owner, pods_of(make, owner, "F R T"), make.now)
    assert found.counts("failed", "terminating") == (3, 2)
    written = found.first_status
    assert written["uncountedTerminatedPods"] == {"failed": ["uid-a", "uid-b", "uid-c"]}


def test_at_most_five_hundred_pods_are_written_down_at_once(make) -> None:
    owner = job(make, completions=600)
    owner["status"] = {"uncountedTerminatedPods": {"failed": ["uid-gone", "uid-last"]}}
    pods = [a_pod(make, owner, f"p{n}", "S") for n in range(500)] + [a_pod(make, owner, "last", "F")]
    found = look(owner, pods, make.now)
    assert len(found.released) == 499
    assert found.counts("succeeded", "failed") == (500, 2)
    first = found.first_status
    assert (first["failed"], len(first["uncountedTerminatedPods"]["succeeded"])) == (1, 499)


def test_at_most_five_hundred_indexes_are_released_at_once_and_the_job_ends_with_the_last(make) -> None:
    owner = job(make, completions=501, **INDEXED)
    pods = [a_pod(make, owner, f"p{n}", f"S{n}") for n in range(501)]
    found = look(owner, pods, make.now)
    assert len(found.released) == 500 and "p500" not in found.released
    first = found.first_status
    assert [one["type"] for one in first["conditions"]] == ["SuccessCriteriaMet"]
    assert found.conditions == DONE


@pytest.mark.parametrize(("status", "kinds", "completions", "counts", "indexes"), [
    ({"succeeded": 1, "completedIndexes": "3"}, "R0 R1", 2, (0, 0), ""),
    ({"succeeded": 1, "completedIndexes": "3"}, "R0 S1", 2, (1, 0), "1"),
    ({}, "F1 F3 F3 R5 F", 6, (0, 3), ""),
    ({"succeeded": 5, "failed": 2, "completedIndexes": "0-2,4,6,7"}, "S1 S3 F2 F5", 7, (6, 4), "0-4,6"),
])
def test_indexes_are_counted_with_those_of_before(make, status, kinds, completions, counts, indexes) -> None:
    owner = job(make, completions=completions, parallelism=completions, status=status, **INDEXED)
    found = look(owner, pods_of(make, owner, kinds), make.now)
    assert found.counts("succeeded", "failed") == counts
    assert found.status.get("completedIndexes", "") == indexes


def test_what_was_written_down_as_failed_has_failed_whatever_it_says_later(make) -> None:
    for mode in ("NonIndexed", "Indexed"):
        owner = job(make, completions=2, backoffLimit=0, completionMode=mode)
        owner["status"] = {"uncountedTerminatedPods": {"failed": ["uid-a", "uid-b"]}}
        found = look(owner, pods_of(make, owner, "F0 S1"), make.now)
        assert found.counts("succeeded", "failed") == (0, 2), mode
        assert found.conditions == LOST


def test_the_counts_of_before_and_those_of_now(make) -> None:
    owner = job(make, completions=9, parallelism=1, status={
        "active": 1, "succeeded": 2, "failed": 3,
        "uncountedTerminatedPods": {"succeeded": ["uid-a", "uid-gone"], "failed": ["uid-b", "uid-lost"]},
    })
    found = look(owner, pods_of(make, owner, "S F S F R"), make.now)
    assert found.counts("succeeded", "failed") == (5, 6)
    first = found.first_status
    assert first["uncountedTerminatedPods"] == {"succeeded": ["uid-a", "uid-c"], "failed": ["uid-b", "uid-d"]}
    assert (first["succeeded"], first["failed"]) == (3, 4)


def test_a_job_is_finished_only_when_its_last_pod_is_gone(make) -> None:
    for kind, status in (
        ("Failed", {"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy", "message": "m"}),
        ("Complete", {"type": "SuccessCriteriaMet", "status": "True", "reason": "SuccessPolicy", "message": "m"}),
    ):
        owner = job(make, completions=1, status={
            "conditions": [status], "uncountedTerminatedPods": {"failed": ["uid-a"], "succeeded": ["uid-gone"]},
        })
        [pod] = pods_of(make, owner, "T")
        del pod["metadata"]["finalizers"]
        found = look(owner, [pod], make.now)
        assert found.counts("succeeded", "failed", "terminating") == (1, 1, 1)
        assert kind not in found.conditions and not found.events
        found = look({**owner, "status": found.status}, [], make.now)
        assert found.conditions[kind] == status["reason"]
        assert found.events == [status["reason"] if kind == "Failed" else "Completed"]


def test_conditions_that_somebody_has_made_false_decide_nothing(make) -> None:
    for kind in ("FailureTarget", "SuccessCriteriaMet"):
        by_hand = {"type": kind, "status": "False", "reason": "ConditionAddedManually", "message": "Testing"}
        owner = job(make, completions=1, parallelism=1, status={"conditions": [by_hand]})
        found = look(owner, pods_of(make, owner, "A"), make.now)
        assert found.status["conditions"] == [by_hand]
        assert found.counts("active", "ready") == (1, 1)


def test_a_condition_that_becomes_true_keeps_its_place_and_tells_when(make) -> None:
    false = {"type": "Failed", "status": "False", "reason": "DeadlineExceeded", "message": "m"}
    started = "2026-01-02T03:00:00Z"
    owner = job(make, activeDeadlineSeconds=10, status={"conditions": [false], "startTime": started})
    found = look(owner, [], make.now)
    assert [one["type"] for one in found.status["conditions"]] == ["Failed", "FailureTarget"]
    assert found.status["conditions"][0] == {
        "type": "Failed", "status": "True", "lastProbeTime": make.now_text, "lastTransitionTime": make.now_text,
        "reason": "DeadlineExceeded", "message": "Job was active longer than specified deadline",
    }


def test_what_is_suspended_keeps_its_start_and_what_is_resumed_starts_anew(make) -> None:
    started = "2026-01-02T03:00:00Z"
    owner = job(make, suspend=True, activeDeadlineSeconds=10, status={"startTime": started})
    found = look(owner, pods_of(make, owner, "R R"), make.now)
    assert (found.conditions, found.events, found.status["startTime"]) == (PAUSED, ["Suspended"], started)
    owner["spec"]["suspend"], owner["status"] = False, found.status
    found = look(owner, [], make.now)
    assert (found.conditions, found.events, found.status["startTime"]) == ({}, ["Resumed"], make.now_text)
    assert [(one["status"], one["reason"]) for one in found.status["conditions"]] == [("False", "JobResumed")]
    assert len(found.created) == 2


def test_more_successes_than_asked_for_are_told(make) -> None:
    owner = job(make, completions=1, parallelism=1)
    found = look(owner, pods_of(make, owner, "S S"), make.now)
    assert found.events == ["TooManySucceededPods", "Completed"]
    assert found.status["succeeded"] == 2


@pytest.mark.parametrize(("spec", "kinds", "counts", "conditions"), [
    ({"completions": 1}, "R", (1, 0, 1), {"FailureTarget": "DeadlineExceeded"}),
    ({"completions": 2}, "R S", (1, 1, 1), {"FailureTarget": "DeadlineExceeded"}),
    ({"completions": 1}, "", (0, 0, 0), {"FailureTarget": "DeadlineExceeded", "Failed": "DeadlineExceeded"}),
    ({"completions": 1, "backoffLimit": 0}, "F", (1, 0, 0), LOST),
    ({"completions": 2, "suspend": True}, "", (0, 0, 0), PAUSED),
])
def test_a_deadline_ends_what_is_active_for_too_long(make, spec, kinds, counts, conditions) -> None:
    status = {"startTime": "2026-01-02T03:03:50Z"}
    owner = job(make, parallelism=1, activeDeadlineSeconds=10, status=status, **spec)
    found = look(owner, pods_of(make, owner, kinds), make.now)
    assert found.counts("failed", "succeeded", "terminating") == counts
    assert found.conditions == conditions and found.status["startTime"] == status["startTime"]
    early = look(owner, pods_of(make, owner, kinds), make.now - timedelta(seconds=8))
    assert "DeadlineExceeded" not in early.conditions.values()


@pytest.mark.parametrize(("limit", "restarts", "phase", "lost"), [
    (0, [0], "Running", False), (1, [0], "Running", False), (1, [1], "Running", True), (1, [1], "Pending", True),
    (2, [2], "Running", True), (2, [1, 1], "Running", True), (2, [1, 1], "Pending", True),
    (3, [1, 1], "Running", False),
])
def test_restarts_in_place_are_failures(make, limit, restarts, phase, lost) -> None:
    owner = job(make, backoffLimit=limit, parallelism=len(restarts))
    owner["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    pods = [
        a_pod(make, owner, f"p{n}", phase=phase, containerStatuses=[{"restartCount": count}])
        for n, count in enumerate(restarts)
    ]
    found = look(owner, pods, make.now)
    assert found.counts("active", "failed") == ((0, len(restarts)) if lost else (len(restarts), 0))
    assert found.conditions == (LOSING if lost else {})


@pytest.mark.parametrize(("limit", "kinds", "counts", "conditions"), [
    (0, "R", (1, 0), {}), (1, "F", (1, 1), {}), (1, "F F", (0, 2), LOST), (6, "R F F F F F F", (1, 6), {}),
    (6, "F F F F F F F", (0, 7), LOST),
])
def test_failed_pods_are_counted_up_to_the_limit(make, limit, kinds, counts, conditions) -> None:
    owner = job(make, backoffLimit=limit, parallelism=1, completions=1)
    found = look(owner, pods_of(make, owner, kinds), make.now)
    assert (found.counts("active", "failed"), found.conditions) == (counts, conditions)


def test_a_refused_pod_is_made_later(make) -> None:
    owner = job(make, completions=1, parallelism=1)
    found = look(owner, [], make.now, Backoff(1, make.now))
    assert (found.created, found.again_s) == ([], 10.0)
    assert len(look(owner, [], make.now, Backoff(0, None)).created) == 1
