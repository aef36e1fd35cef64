from __future__ import annotations

from sampan.api.resources import PODS, REPLICA_SETS
from sampan.controllers.garbage_collector import Observed, State, plan, plan_orphaning
from sampan.controllers.gc_graph import Graph, Work
from sampan.reconcile.plan import NOTHING, Delete, Patch


def work(verb: str, name: str) -> Work:
    return Work(verb, f"uid-{name}")


def going(obj: dict, *finalizers: str) -> dict:
    metadata = {**obj["metadata"], "deletionTimestamp": "2026-01-02T03:04:05Z", "finalizers": list(finalizers)}
    return {**obj, "metadata": metadata}


def test_a_gone_owner_makes_its_dependents_suspicious(make) -> None:
    graph, rs = Graph(), make.replica_set("rs")
    assert graph.observe(REPLICA_SETS, rs) == []
    assert graph.observe(PODS, make.pod("a", rs)) == []
    assert graph.remove("uid-rs") == [work("delete", "a")]


def test_an_owner_nobody_has_seen_is_asked_for(make) -> None:
    graph, rs = Graph(), make.replica_set("rs")
    assert graph.observe(PODS, make.pod("a", rs)) == [work("delete", "a")]
    assert not graph.is_settled(graph.nodes["uid-a"])
    graph.observe(REPLICA_SETS, rs)
    assert graph.is_settled(graph.nodes["uid-a"])


def test_virtual_owners_vanish_with_their_last_dependent(make) -> None:
    graph = Graph()
    graph.observe(PODS, make.pod("a", make.replica_set("rs")))
    graph.remove("uid-a")
    assert graph.nodes == {}


def test_foreground_deletion_looks_at_dependents_then_at_the_owner(make) -> None:
    graph, rs = Graph(), make.replica_set("rs")
    graph.observe(REPLICA_SETS, rs)
    graph.observe(PODS, make.pod("a", rs))
    assert graph.observe(REPLICA_SETS, going(rs, "foregroundDeletion")) == [work("delete", "a"), work("delete", "rs")]
    assert graph.remove("uid-a") == [work("delete", "rs")]


def test_orphaning_is_noticed_once(make) -> None:
    graph, rs = Graph(), make.replica_set("rs")
    graph.observe(REPLICA_SETS, rs)
    assert graph.observe(REPLICA_SETS, going(rs, "orphan")) == [work("orphan", "rs")]
    assert graph.observe(REPLICA_SETS, going(rs, "orphan")) == []


def test_an_owner_in_another_namespace_does_not_count(make) -> None:
    graph, rs = Graph(), make.replica_set("rs")
    rs["metadata"]["namespace"] = "other"
    graph.observe(REPLICA_SETS, rs)
    graph.observe(PODS, make.pod("a", rs))
    assert not graph.is_settled(graph.nodes["uid-a"])


def test_without_owners_left_the_object_is_deleted(make) -> None:
    pod = make.pod("a", make.replica_set("rs"))
    [delete] = plan(Observed(pod, PODS, {"uid-rs": State.GONE})).steps
    assert isinstance(delete, Delete)
    assert (delete.name, delete.uid, delete.propagation) == ("a", "uid-a", "Background")


def test_the_policy_follows_the_finalizers(make) -> None:
    pod = make.pod("a", make.replica_set("rs"), finalizers=["orphan"])
    [delete] = plan(Observed(pod, PODS, {"uid-rs": State.GONE})).steps
    assert delete.propagation == "Orphan"


def test_a_solid_owner_keeps_the_object_and_gone_ones_are_dropped(make) -> None:
    pod = make.pod("a", make.replica_set("rs"))
    pod["metadata"]["ownerReferences"].append(
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "uid-gone"}
    )
    assert plan(Observed(pod, PODS, {"uid-rs": State.SOLID, "uid-gone": State.SOLID})) == NOTHING
    [patch] = plan(Observed(pod, PODS, {"uid-rs": State.SOLID, "uid-gone": State.GONE})).steps
    assert isinstance(patch, Patch)
    assert [one["uid"] for one in patch.patch["metadata"]["ownerReferences"]] == ["uid-rs"]
    assert patch.patch["metadata"]["resourceVersion"] == pod["metadata"]["resourceVersion"]


def test_a_waiting_owner_deletes_its_dependents(make) -> None:
    pod = make.pod("a", make.replica_set("rs"))
    [delete] = plan(Observed(pod, PODS, {"uid-rs": State.WAITING})).steps
    assert delete.propagation == "Background"


def test_the_owner_goes_when_no_dependent_blocks_it(make) -> None:
    graph, rs = Graph(), make.replica_set("rs")
    graph.observe(REPLICA_SETS, going(rs, "foregroundDeletion", "example.com/other"))
    graph.observe(PODS, make.pod("a", rs))
    live, node = going(rs, "foregroundDeletion", "example.com/other"), graph.nodes["uid-rs"]
    assert plan(Observed(live, REPLICA_SETS, {}, graph.dependents("uid-rs"), node)) == NOTHING
    graph.remove("uid-a")
    [patch] = plan(Observed(live, REPLICA_SETS, {}, graph.dependents("uid-rs"), node)).steps
    assert patch.patch["metadata"]["finalizers"] == ["example.com/other"]


def test_orphaning_lets_dependents_go_first(make) -> None:
    graph, rs = Graph(), make.replica_set("rs")
    graph.observe(REPLICA_SETS, rs)
    graph.observe(PODS, make.pod("a", rs))
    dependent, owner = plan_orphaning(going(rs, "orphan"), REPLICA_SETS, graph.dependents("uid-rs")).steps
    assert (dependent.name, dependent.patch["metadata"]["ownerReferences"]) == ("a", None)
    assert (owner.name, owner.patch["metadata"]["finalizers"]) == ("rs", None)


def test_what_is_going_anyway_is_left_alone(make) -> None:
    pod = going(make.pod("a", make.replica_set("rs")), "example.com/x")
    assert plan(Observed(pod, PODS, {"uid-rs": State.GONE})) == NOTHING
