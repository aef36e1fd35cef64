from __future__ import annotations

from sampan.apimachinery import errors
from sampan.apimachinery.object import name_of
from sampan.controllers.pods import deletion_order
from sampan.controllers.replicaset import Observed, plan, status_of
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
