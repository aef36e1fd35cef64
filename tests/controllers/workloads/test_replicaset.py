from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, name_of
from sampan.controllers.pods import DELETION_COST, deletion_order
from sampan.controllers.workloads.replicaset import REPLICATION_CONTROLLER, Observed, plan, status_of
from sampan.reconcile.plan import Create, Delete, Outcome, Parallel, Patch, Update, Verify


def test_missing_pods_are_created_from_the_template(make) -> None:
    owner = make.replica_set(replicas=3)
    [step] = plan(Observed(owner, (make.pod("a", owner),)), make.now).steps
    assert isinstance(step, Parallel) and step.slow_start
    assert len(step.writes) == 2
    create = step.writes[0]
    assert isinstance(create, Create)
    assert create.obj["metadata"]["generateName"] == "web-1-"
    assert create.obj["metadata"]["labels"] == {"app": "web"}
    assert create.obj["metadata"]["ownerReferences"] == [{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "uid-web-1", "controller": True,
        "blockOwnerDeletion": True,
    }]
    assert create.created.message == "Created pod: {name}"


def test_never_more_than_500_at_a_time(make) -> None:
    [step] = plan(Observed(make.replica_set(replicas=2000), ()), make.now).steps
    assert len(step.writes) == 500


def test_failed_and_terminating_pods_are_replaced(make) -> None:
    owner = make.replica_set(replicas=2)
    pods = (make.pod("a", owner, phase="Failed"), make.pod("b", owner, deletionTimestamp=make.now_text))
    [step] = plan(Observed(owner, pods), make.now).steps
    assert len(step.writes) == 2


def test_surplus_pods_are_deleted_by_uid(make) -> None:
    owner = make.replica_set(replicas=1)
    pods = (make.pod("a", owner, ready=True), make.pod("b", owner))
    [step] = plan(Observed(owner, pods), make.now).steps
    [delete] = step.writes
    assert isinstance(delete, Delete)
    assert (delete.name, delete.uid, delete.deleted.reason) == ("b", "uid-b", "SuccessfulDelete")


def test_a_set_that_is_being_deleted_is_left_alone(make) -> None:
    owner = make.replica_set(replicas=3)
    owner["metadata"]["deletionTimestamp"] = make.now_text
    assert not plan(Observed(owner, (make.pod("orphan"),)), make.now).steps


def test_orphans_are_adopted_after_a_look_at_the_server(make) -> None:
    owner = make.replica_set(replicas=1)
    verify, adopt = plan(Observed(owner, (make.pod("orphan"),)), make.now).steps
    assert isinstance(verify, Verify) and verify.uid == "uid-web-1"
    assert isinstance(adopt, Patch)
    assert adopt.patch["metadata"]["uid"] == "uid-orphan"
    assert adopt.patch["metadata"]["ownerReferences"][0]["uid"] == "uid-web-1"


def test_a_pod_that_matches_no_longer_is_released_and_replaced(make) -> None:
    owner = make.replica_set(replicas=1)
    release, create = plan(Observed(owner, (make.pod("a", owner, labels={"app": "debug"}),)), make.now).steps
    assert release.patch["metadata"]["ownerReferences"] == [{"$patch": "delete", "uid": "uid-web-1"}]
    assert len(create.writes) == 1


def test_pods_of_others_are_ignored(make) -> None:
    owner, other = make.replica_set(replicas=1), make.replica_set("other")
    [step] = plan(Observed(owner, (make.pod("a", other),)), make.now).steps
    assert len(step.writes) == 1


def test_the_status_counts(make) -> None:
    owner = make.replica_set(replicas=3, minReadySeconds=60)
    pods = [
        make.pod("a", owner, ready=True), make.pod("b", owner, ready=True, since="2026-01-02T03:04:00Z"),
        make.pod("c", owner),
    ]
    assert status_of(owner, pods, make.now) == {
        "replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": 2, "availableReplicas": 1, "observedGeneration": 1,
    }


def test_it_looks_again_when_a_ready_pod_will_be_available(make) -> None:
    owner = make.replica_set(replicas=1, minReadySeconds=60)
    pod = make.pod("a", owner, ready=True, since="2026-01-02T03:04:00Z")
    assert plan(Observed(owner, (pod,)), make.now).requeue_after_s == 55


def test_a_failure_is_told_in_the_status_and_forgotten_after(make) -> None:
    owner = make.replica_set(replicas=1)
    decided = plan(Observed(owner, ()), make.now)
    [update] = decided.finally_(Outcome(error=errors.Forbidden("exceeded quota")))
    assert isinstance(update, Update) and update.subresource == "status"
    assert update.obj["status"]["conditions"] == [{
        "type": "ReplicaFailure", "status": "True", "lastTransitionTime": make.now_text, "reason": "FailedCreate",
        "message": "exceeded quota",
    }]
    [update] = plan(Observed(update.obj, ()), make.now).finally_(Outcome())
    assert "conditions" not in update.obj["status"]


def test_an_unchanged_status_is_not_written(make) -> None:
    owner = make.replica_set(replicas=0)
    owner["status"] = {"replicas": 0, "observedGeneration": 1, "terminatingReplicas": 0}
    assert plan(Observed(owner, ()), make.now).finally_(Outcome()) == ()


def test_the_least_useful_pods_are_deleted_first(make) -> None:
    def restarted(pod, count):
        pod["status"]["containerStatuses"] = [{"restartCount": count}]
        return pod

    pods = [
        make.pod("long-ready", ready=True, since="2026-01-01T03:00:00Z", node="n2"),
        make.pod("just-ready", ready=True, since="2026-01-02T03:04:00Z", node="n2"),
        make.pod("cheap", ready=True, annotations={"controller.kubernetes.io/pod-deletion-cost": "-5"}, node="n3"),
        make.pod("crowded", ready=True, since="2026-01-01T03:00:00Z", node="n1"),
        restarted(make.pod("not-ready-restarted", node="n4"), 3),
        make.pod("not-ready", node="n4"),
        make.pod("unknown", phase="Unknown"), make.pod("pending", phase="Pending"),
        make.pod("unassigned", phase="Pending", node=""),
    ]
    related = [*pods, make.pod("sibling", ready=True), make.pod("sibling-2", ready=True)]
    assert [name_of(pod) for pod in deletion_order(pods, related, make.now)] == [
        "unassigned", "pending", "unknown", "not-ready-restarted", "not-ready", "cheap", "crowded", "just-ready",
        "long-ready",
    ]


def test_among_equals_the_one_whose_sidecar_restarted_more_goes_first(make) -> None:
    def with_sidecar(name: str, count: int):
        pod = make.pod(name)
        pod["spec"]["initContainers"] = [{"name": "side", "restartPolicy": "Always"}]
        pod["status"]["initContainerStatuses"] = [{"name": "side", "restartCount": count}]
        return pod

    pods = [with_sidecar("a", 1), with_sidecar("b", 4)]
    assert [name_of(pod) for pod in deletion_order(pods, pods, make.now)] == ["b", "a"]


def test_pods_on_their_way_out_are_told_but_not_counted(make) -> None:
    owner = make.replica_set(replicas=1)
    pods = (make.pod("a", owner), make.pod("b", owner, deletionTimestamp=make.now_text))
    [update] = plan(Observed(owner, pods), make.now).finally_(Outcome())
    assert (update.obj["status"]["replicas"], update.obj["status"]["terminatingReplicas"]) == (1, 1)


def test_a_pod_that_has_finished_is_not_adopted(make) -> None:
    owner = make.replica_set(replicas=0)
    assert not plan(Observed(owner, (make.pod("orphan", phase="Succeeded"),)), make.now).steps


AGES = {"now": 0, "2 h": 2, "5 h": 5, "8 h": 8, "a month": 31 * 24}


def ranked(make, name: str, rank: int, **pod: Any) -> Object:
    """A pod on a node of its own, which it shares with as many others as `rank` says (one less)."""
    facts = {"phase": "Running", "ready": "", "created": "", "restarts": 0, "cost": "", "node": name, **pod}

    def moment(age: str) -> str:
        return (make.now - timedelta(hours=AGES[age])).strftime("%Y-%m-%dT%H:%M:%SZ")

    annotations = {DELETION_COST: facts["cost"]} if facts["cost"] else {}
    found = make.pod(name, node=facts["node"], phase=facts["phase"], annotations=annotations, uid="")
    found["metadata"]["creationTimestamp"] = moment(facts["created"]) if facts["created"] else None
    condition = {"type": "Ready", "status": "True" if facts["ready"] else "False"}
    if facts["ready"] not in ("", "some time"):
        condition["lastTransitionTime"] = moment(facts["ready"])
    found["status"]["conditions"] = [condition]
    found["status"]["containerStatuses"] = [{"restartCount": facts["restarts"]}]
    return dict(found) | {"rank": rank}


UNSCHEDULED = {"phase": "Pending", "node": ""}
PENDING, UNKNOWN, UNREADY, READY = {"phase": "Pending"}, {"phase": "Unknown"}, {}, {"ready": "some time"}
READY_NOW, READY_LONG = {"ready": "now", "created": "now"}, {"ready": "a month", "created": "a month"}
RESTARTED = {**READY_NOW, "restarts": 9001}
OLD_BUT_READY_NOW = {"ready": "now", "created": "a month"}
CHEAP, DEAR = {**OLD_BUT_READY_NOW, "cost": "10"}, {**OLD_BUT_READY_NOW, "cost": "100"}
TWO_HOURS, FIVE_HOURS, EIGHT_HOURS = ({"ready": age, "created": "a month"} for age in ("2 h", "5 h", "8 h"))


@pytest.mark.parametrize(("first", "rank", "second", "other_rank"), [
    (UNSCHEDULED, 1, PENDING, 2), (UNSCHEDULED, 2, PENDING, 1), (PENDING, 1, UNKNOWN, 2), (UNKNOWN, 1, UNREADY, 2),
    (UNREADY, 1, READY, 1), (READY, 1, READY_NOW, 1), (READY_NOW, 2, READY, 1), (READY_NOW, 1, READY_LONG, 1),
    (READY_NOW, 2, READY_LONG, 1), (RESTARTED, 1, READY_NOW, 1), (READY_NOW, 2, RESTARTED, 1),
    (READY_NOW, 1, OLD_BUT_READY_NOW, 1), (OLD_BUT_READY_NOW, 2, READY_NOW, 1), (CHEAP, 2, DEAR, 1),
    (TWO_HOURS, 1, FIVE_HOURS, 1),
])
def test_which_of_two_pods_is_deleted_first(make, first, rank, second, other_rank) -> None:
    """Upstream's TestSortingActivePodsWithRanks and TestGetPodsToDelete."""
    pods = [ranked(make, "first", rank, **first), ranked(make, "second", other_rank, **second)]
    others = [
        make.pod(f"beside-{n}", node=name_of(pod)) for pod in pods for n in range(pod["rank"] - 1)
    ]
    for candidates in (pods, pods[::-1]):
        assert [name_of(pod) for pod in deletion_order(candidates, [*pods, *others], make.now)] == ["first", "second"]


@pytest.mark.parametrize(("one", "other"), [
    (UNSCHEDULED, UNSCHEDULED), (PENDING, PENDING), (UNREADY, UNREADY), (READY_LONG, READY_LONG),
    ({**UNSCHEDULED, "created": "5 h"}, {**UNSCHEDULED, "created": "8 h"}), (FIVE_HOURS, EIGHT_HOURS),
])
def test_pods_of_about_one_age_are_equal_and_their_uids_decide(make, one, other) -> None:
    pods = [ranked(make, "a", 1, **one), ranked(make, "b", 1, **other)]
    for order in (("1", "2"), ("2", "1")):
        for pod, uid in zip(pods, order, strict=True):
            pod["metadata"]["uid"] = uid
        assert [pod["metadata"]["uid"] for pod in deletion_order(pods, pods, make.now)] == ["1", "2"]


@pytest.mark.parametrize("written", ["dear", "+1", "01", "--5", "1.5", str(2**31)])
def test_what_is_no_cost_costs_nothing(make, written) -> None:
    pods = [ranked(make, "a", 1, **READY_NOW, cost=written), ranked(make, "b", 1, **READY_NOW, cost="-1")]
    assert [name_of(pod) for pod in deletion_order(pods, pods, make.now)] == ["b", "a"]


def test_the_first_failure_is_told_until_all_is_well(make) -> None:
    owner = make.replica_set(replicas=2)
    failed = [{"type": "ReplicaFailure", "status": "True", "reason": "FailedDelete", "message": "first",
               "lastTransitionTime": "2026-01-02T00:00:00Z"}]
    owner["status"] = {"conditions": failed}
    [update] = plan(Observed(owner, ()), make.now).finally_(Outcome(error=errors.Forbidden("second")))
    assert update.obj["status"]["conditions"] == failed
    [update] = plan(Observed(owner, ()), make.now).finally_(Outcome())
    assert "conditions" not in update.obj["status"]


def test_nothing_is_told_where_it_is_not_known_whose_the_pods_are(make) -> None:
    owner = make.replica_set(replicas=1)
    decided = plan(Observed(owner, (make.pod("orphan"),)), make.now)
    [_, adoption] = decided.steps
    assert isinstance(adoption, Patch)
    assert decided.finally_(Outcome(error=errors.NotFound("gone"), failed=adoption)) == ()


@pytest.mark.parametrize(("pods", "wanted"), [
    ([{}], 1), ([{"phase": "Succeeded"}], 0), ([{"labels": {"app": "other"}}], 0), ([{"owned": False}], 0),
])
def test_which_pods_are_on_their_way_out(make, pods, wanted) -> None:
    owner = make.replica_set(replicas=0)
    going = tuple(
        make.pod(f"p{n}", owner if fields.get("owned", True) else None, deletionTimestamp=make.now_text,
                 **{key: value for key, value in fields.items() if key != "owned"})
        for n, fields in enumerate(pods)
    )
    [update] = plan(Observed(owner, going), make.now).finally_(Outcome())
    assert update.obj["status"]["terminatingReplicas"] == wanted


def test_a_replication_controller_tells_of_no_pods_on_their_way_out(make) -> None:
    owner = make.replica_set(replicas=0) | {"apiVersion": "v1", "kind": "ReplicationController"}
    owner["spec"]["selector"] = {"app": "web"}
    going = make.pod("p", owner, deletionTimestamp=make.now_text)
    [update] = plan(Observed(owner, (going,)), make.now, REPLICATION_CONTROLLER).finally_(Outcome())
    assert "terminatingReplicas" not in update.obj["status"]
