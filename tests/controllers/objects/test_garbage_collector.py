"""The garbage collector: its graph, what it decides, and references that are wrong."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import CONFIG_MAPS, CORE_EVENTS, NAMESPACES, NODES, PODS, REPLICA_SETS
from sampan.apimachinery.resource import Resource
from sampan.client.discovery import Discovered, Discovery
from sampan.controllers.objects import garbage_collector
from sampan.controllers.objects.garbage_collector import Observed, State, plan, plan_orphaning
from sampan.controllers.objects.gc_graph import Graph, Work
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


def named(kind: str, name: str, uid: str, *, version: str = "v1", blocks: bool | None = None) -> dict:
    reference = {"apiVersion": version, "kind": kind, "name": name, "uid": uid}
    return reference if blocks is None else {**reference, "blockOwnerDeletion": blocks}


def child(make, *references: dict, namespace: str = "default") -> dict:
    pod = make.pod("child", namespace=namespace)
    pod["metadata"]["ownerReferences"] = list(references)
    return pod


def test_a_graph_is_the_same_from_both_sides_whatever_the_order_of_events(make) -> None:
    """Nodes list as dependents exactly those that name them, after every event."""

    def pod(uid: str, *owners: str) -> dict:
        found = make.pod(uid)
        found["metadata"]["uid"] = uid
        found["metadata"]["ownerReferences"] = [named("Pod", one, one) for one in owners]
        return found

    up = [pod("1"), pod("2", "1"), pod("3", "1", "2")]
    for events in (up, [*up, pod("4", "2"), "2"], [*up, pod("4", "3"), pod("2", "4")],
                   [pod("4", "2"), *reversed(up), "2"], [pod("3", "1"), pod("3", "2"), pod("3")]):
        graph = Graph()
        for event in events:
            if isinstance(event, str):
                graph.remove(event)
            else:
                graph.observe(PODS, event)
            above = {(owner.uid, uid) for uid, node in graph.nodes.items() for owner in node.owners}
            assert above == {(uid, below) for uid, node in graph.nodes.items() for below in node.dependents}


@pytest.mark.parametrize("wrong", [
    named("ReplicaSet", "rs", "uid-rs", version="apps/v1"), named("ReplicaSet", "other", "uid-rs", version="apps/v1"),
    named("ReplicaSet", "rs", "uid-rs", version="apps/v1beta2"), named("Secret", "rs", "uid-rs"),
])
@pytest.mark.parametrize("child_first", [True, False])
def test_a_reference_with_other_coordinates_is_looked_into(make, wrong, child_first) -> None:
    graph, rs, pod = Graph(), make.replica_set("rs"), child(make, wrong)
    fits = wrong["name"] == "rs" and wrong["apiVersion"] == "apps/v1"
    order = [(PODS, pod), (REPLICA_SETS, rs)] if child_first else [(REPLICA_SETS, rs), (PODS, pod)]
    graph.observe(*order[0])
    assert graph.observe(*order[1]) == ([] if fits else [work("delete", "child")])
    assert graph.is_settled(graph.nodes["uid-child"]) == fits


@pytest.mark.parametrize("child_first", [True, False])
@pytest.mark.parametrize("namespace", ["elsewhere", ""])
def test_a_reference_into_another_namespace_is_reported_as_well(make, child_first, namespace) -> None:
    graph, rs = Graph(), make.replica_set("rs")
    pod = child(make, named("ReplicaSet", "rs", "uid-rs", version="apps/v1"), namespace=namespace)
    order = [(PODS, pod), (REPLICA_SETS, rs)] if child_first else [(REPLICA_SETS, rs), (PODS, pod)]
    graph.observe(*order[0])
    assert set(graph.observe(*order[1])) == {work("delete", "child"), work("report", "child")}
    assert [one.name for one in graph.strays("uid-child")] == ["rs"]


def test_a_cluster_scoped_owner_fits_every_namespace(make) -> None:
    graph = Graph()
    graph.observe(PODS, child(make, named("Node", "n1", "uid-n1")))
    assert graph.observe(NODES, make.node("n1")) == []
    assert graph.is_settled(graph.nodes["uid-child"])


def test_only_references_that_block_are_unblocked(make) -> None:
    """Of a circle of owners that wait for each other."""
    graph, rs = Graph(), make.replica_set("rs")
    pod = child(
        make, named("ReplicaSet", "rs", "uid-rs", blocks=True), named("Pod", "b", "uid-b", blocks=False),
        named("Pod", "c", "uid-c"),
    )
    graph.observe(PODS, going(make.pod("below", pod), "foregroundDeletion"))
    graph.observe(PODS, pod)
    states = {"uid-rs": State.WAITING, "uid-b": State.WAITING, "uid-c": State.GONE}
    unblock, delete = plan(Observed(pod, PODS, states, graph.dependents("uid-child"))).steps
    references = unblock.patch["metadata"]["ownerReferences"]
    assert [one.get("blockOwnerDeletion") for one in references] == [False, False, None]
    assert (delete.propagation, delete.resource_version) == ("Foreground", "")
    assert graph.observe(REPLICA_SETS, rs) != []


def test_what_changed_since_it_was_judged_is_not_deleted(make) -> None:
    pod = make.pod("a", make.replica_set("rs"))
    [delete] = plan(Observed(pod, PODS, {"uid-rs": State.GONE})).steps
    assert delete.resource_version == pod["metadata"]["resourceVersion"]


def test_an_owner_that_stops_blocking_lets_the_waiting_one_look_again(make) -> None:
    graph, rs = Graph(), make.replica_set("rs")
    graph.observe(REPLICA_SETS, going(rs, "foregroundDeletion"))
    graph.observe(PODS, make.pod("a", rs))
    freed = make.pod("a", rs)
    freed["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = False
    assert graph.observe(PODS, freed) == [work("delete", "rs")]


def test_dependents_of_a_resource_that_is_served_no_more_are_looked_at(make) -> None:
    graph, rs = Graph(), make.replica_set("rs")
    graph.observe(REPLICA_SETS, rs)
    graph.observe(PODS, make.pod("a", rs))
    assert graph.forget_resource(REPLICA_SETS) == [work("delete", "a")]



async def test_a_group_that_does_not_answer_is_still_followed_and_one_that_is_gone_is_not(monkeypatch) -> None:
    """GetDeletableResources, GarbageCollectorSync"""
    ended: list[Resource] = []

    class Still:
        def __init__(self, client: object, resource: Resource, collector: object) -> None:
            self.synced = asyncio.Event()
            self.synced.set()
            self.task = SimpleNamespace(cancel=lambda: ended.append(resource))

    verbs = frozenset({"delete", "list", "watch"})
    config_maps = Discovered(CONFIG_MAPS, verbs)
    widgets = Discovered(Resource("gc.example.com", "v1", "widgets", "Widget"), verbs)
    answers = [
        Discovery((config_maps, widgets, Discovered(PODS, frozenset({"get", "list"}))), {}),
        Discovery((config_maps,), {"gc.example.com/v1": "503"}),
        Discovery((config_maps,), {"other.example.com/v1": "503"}),
    ]

    async def discover() -> Discovery:
        return answers.pop(0)

    monkeypatch.setattr(garbage_collector, "_Monitor", Still)
    wiring: Any = SimpleNamespace(client=None, queue=None, measure=lambda *_: None, add_background=lambda _: None)
    collector = garbage_collector.GarbageCollector(wiring)
    collector._discoverer = SimpleNamespace(discover=discover)
    followed = []
    for _ in range(3):
        await collector._resync()
        followed.append([resource.plural for resource in collector._monitors])
    assert followed == [["configmaps", "widgets"], ["configmaps", "widgets"], ["configmaps"]]
    assert ended == [widgets.resource]


def test_a_child_of_an_owner_elsewhere_goes_and_an_event_says_why() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.client.create(NAMESPACES, {"metadata": {"name": "elsewhere"}})
        owner = await lab.client.create(CONFIG_MAPS, {"metadata": {"name": "owner"}}, "elsewhere")
        reference = named("ConfigMap", "owner", owner["metadata"]["uid"])
        await lab.create(CONFIG_MAPS, "child", metadata={"ownerReferences": [reference]})
        await until_gone(lab, "child")
        event = await one_event(lab, "child", "default")
        assert event["reason"] == "OwnerRefInvalidNamespace"
        assert event["message"] == (
            f"ownerRef [v1/ConfigMap, namespace: default, name: owner, uid: {reference['uid']}] does not exist "
            'in namespace "default"'
        )

    on_a_cluster(scenario)


def test_a_cluster_scoped_child_of_something_in_a_namespace_stays() -> None:
    async def scenario(lab: Lab) -> None:
        owner = await lab.create(CONFIG_MAPS, "owner")
        reference = named("ConfigMap", "owner", owner["metadata"]["uid"])
        await lab.client.create(NAMESPACES, {"metadata": {"name": "child", "ownerReferences": [reference]}})
        event = await one_event(lab, "child", "default")
        assert event["message"].endswith('does not exist in namespace ""')
        await asyncio.sleep(60)
        await lab.client.delete(CONFIG_MAPS, "owner", "default")
        await asyncio.sleep(60)
        assert "deletionTimestamp" not in (await lab.client.get(NAMESPACES, "child"))["metadata"]

    on_a_cluster(scenario)


@pytest.mark.parametrize(("version", "kind"), [
    ("unknown.group/v1", "UnknownType"), ("apps/v1beta1", "Deployment"), ("v1", "Unknown"),
])
def test_a_child_of_what_is_not_served_stays(version: str, kind: str) -> None:
    async def scenario(lab: Lab) -> None:
        reference = named(kind, "x", "no-such-uid", version=version)
        await lab.create(CONFIG_MAPS, "child", metadata={"ownerReferences": [reference]})
        missing = named("PersistentVolume", "missing", "missing-uid")
        await lab.create(CONFIG_MAPS, "goes", metadata={"ownerReferences": [missing]})
        await until_gone(lab, "goes")
        await asyncio.sleep(60)
        assert (await lab.get(CONFIG_MAPS, "child"))["metadata"]["ownerReferences"] == [reference]

    on_a_cluster(scenario)


def test_a_wrong_reference_does_not_harm_children_with_a_right_one() -> None:
    """The uid of a living owner under the name of a Secret that does not exist."""

    async def scenario(lab: Lab) -> None:
        owner = await lab.create(CONFIG_MAPS, "owner")
        uid = owner["metadata"]["uid"]
        bad, good = named("Secret", "nothing", uid), named("ConfigMap", "owner", uid)
        await lab.create(CONFIG_MAPS, "bad", metadata={"ownerReferences": [bad]})
        await lab.create(CONFIG_MAPS, "good", metadata={"ownerReferences": [good]})
        await until_gone(lab, "bad")
        await lab.create(CONFIG_MAPS, "late", metadata={"ownerReferences": [good]})
        await lab.patch(CONFIG_MAPS, "good", metadata={"ownerReferences": [good, bad | {"uid": "other"}]})

        async def mended() -> bool:
            return (await lab.get(CONFIG_MAPS, "good"))["metadata"]["ownerReferences"] == [good]

        await lab.until(mended)
        await asyncio.sleep(60)
        assert {"good", "late"} <= {one["metadata"]["name"] for one in await lab.list(CONFIG_MAPS)}
        await lab.client.delete(CONFIG_MAPS, "owner", "default")
        await until_gone(lab, "good")
        await until_gone(lab, "late")

    on_a_cluster(scenario)


async def until_gone(lab: Lab, name: str) -> None:
    async def check() -> bool:
        return name not in {one["metadata"]["name"] for one in await lab.list(CONFIG_MAPS)}

    await lab.until(check, what=f"{name} is gone")


async def one_event(lab: Lab, name: str, namespace: str) -> dict:
    async def events() -> list[dict]:
        found = (await lab.client.list(CORE_EVENTS, namespace))["items"]
        return [one for one in found if one["involvedObject"]["name"] == name]

    async def check() -> bool:
        return bool(await events())

    await lab.until(check, what=f"an event about {name}")
    [event] = await events()
    return event
