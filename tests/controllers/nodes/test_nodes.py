"""Node lifecycle and taint eviction."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import CORE_EVENTS, NODES, PODS
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.nodes import node_lifecycle, taint_eviction
from sampan.controllers.nodes.node_lifecycle import Observed, wanted_taints
from sampan.controllers.nodes.node_zones import Zone, all_lost, rate_of, zones_of
from sampan.reconcile.plan import NOTHING, Delete, Patch

CONFIG = ControllerManagerConfig()
EARLIER = "2026-01-02T03:02:05Z"


def keys(taints: list[dict]) -> list[tuple[str, str]]:
    return [(taint["key"].removeprefix("node.kubernetes.io/"), taint["effect"]) for taint in taints]


def test_a_live_node_is_only_looked_at_again(make) -> None:
    decided = node_lifecycle.plan(Observed(make.node(), (), 49.0), CONFIG, make.now)
    assert not decided.steps and decided.requeue_after_s == 5.0


def test_a_silent_node_becomes_unknown(make) -> None:
    decided = node_lifecycle.plan(Observed(make.node(), (), 51.0), CONFIG, make.now)
    [update] = decided.steps
    assert {one["status"] for one in update.obj["status"]["conditions"]} == {"Unknown"}
    assert update.obj["status"]["conditions"][0]["reason"] == "NodeStatusUnknown"
    assert update.obj["status"]["conditions"][0]["message"] == "Kubelet stopped posting node status."
    assert [note.reason for note in decided.notes] == ["NodeNotReady"]


def test_a_node_that_never_said_anything_gets_longer(make) -> None:
    node = make.node()
    node["status"] = {}
    assert not node_lifecycle.plan(Observed(node, (), 51.0), CONFIG, make.now).notes
    [update] = node_lifecycle.plan(Observed(node, (), 61.0), CONFIG, make.now).steps
    assert update.obj["status"]["conditions"][0]["reason"] == "NodeStatusNeverUpdated"


def test_an_unknown_node_is_tainted_and_its_pods_are_not_ready(make) -> None:
    pods = (make.pod("a", ready=True), make.pod("b"))
    patch, marks = node_lifecycle.plan(Observed(make.node(ready="Unknown"), pods, 50.0), CONFIG, make.now).steps
    assert keys(patch.patch["spec"]["taints"]) == [("unreachable", "NoSchedule"), ("unreachable", "NoExecute")]
    [mark] = marks.writes
    assert (mark.done.reason, mark.done.message) == ("NodeNotReady", "Node is not ready")
    assert isinstance(mark, Patch) and mark.name == "a" and mark.subresource == "status"


def test_a_kubelet_that_says_its_node_is_not_ready_speaks_for_its_pods(make) -> None:
    [patch] = node_lifecycle.plan(Observed(make.node(ready="False"), (make.pod("a", ready=True),), 1.0), CONFIG,
                                  make.now).steps
    assert keys(patch.patch["spec"]["taints"]) == [("not-ready", "NoSchedule"), ("not-ready", "NoExecute")]


def test_a_taint_follows_from_one_bad_state_to_the_other_at_once(make) -> None:
    """Whatever the pace of the zone: pods of the node are going anyway."""
    for before, ready, after in (("unreachable", "False", "not-ready"), ("not-ready", "Unknown", "unreachable")):
        node = make.node(ready=ready, taints=[{"key": f"node.kubernetes.io/{before}", "effect": "NoExecute"}])
        found = keys(wanted_taints(node, Observed(node, (), 1.0, may_evict=False), make.now))
        assert found == [(after, "NoSchedule"), (after, "NoExecute")]


def test_a_node_that_is_back_loses_our_taints_and_keeps_others(make) -> None:
    other = {"key": "example.com/dedicated", "value": "db", "effect": "NoSchedule"}
    taints = [other, *(
        {"key": "node.kubernetes.io/unreachable", "effect": effect} for effect in ("NoSchedule", "NoExecute")
    )]
    node = make.node(taints=taints)
    assert wanted_taints(node, Observed(node, (), 0.0), make.now) == [other]


def test_pressure_and_cordon_are_taints(make) -> None:
    node = make.node(unschedulable=True)
    node["status"]["conditions"][1]["status"] = "True"
    assert keys(wanted_taints(node, Observed(node, (), 0.0), make.now)) == [
        ("memory-pressure", "NoSchedule"), ("unschedulable", "NoSchedule"),
    ]


def test_nothing_is_evicted_while_no_node_is_heard_of(make) -> None:
    node = make.node(ready="Unknown")
    observed = Observed(node, (), 99.0, all_silent=True)
    assert keys(wanted_taints(node, observed, make.now)) == [("unreachable", "NoSchedule")]


def test_evictions_begin_one_node_at_a_time(make) -> None:
    node = make.node(ready="Unknown")
    waiting = Observed(node, (), 99.0, may_evict=False)
    assert keys(wanted_taints(node, waiting, make.now)) == [("unreachable", "NoSchedule")]


def test_a_zone_that_lost_most_of_its_nodes_slows_down_or_stops(make) -> None:
    assert [rate_of(zone, CONFIG) for zone in (Zone(4, 2), Zone(5, 3), Zone(100, 60), Zone(100, 54))] == [
        0.1, 0.0, 0.01, 0.1,
    ]


def test_a_zone_lost_as_a_whole_is_evacuated_unless_every_zone_is(make) -> None:
    def node(name: str, zone: str, ready: str) -> dict:
        found = make.node(name, ready)
        found["metadata"]["labels"] = {"topology.kubernetes.io/zone": zone}
        return found

    lost = [node(f"a{number}", "a", "Unknown") for number in range(4)]
    zones = zones_of([*lost, node("b", "b", "True")])
    assert zones == {"/a": Zone(4, 4), "/b": Zone(1, 0)}
    assert rate_of(zones["/a"], CONFIG) == 0.1 and not all_lost(zones)
    assert all_lost(zones_of(lost))


def unreachable(make, added: str = EARLIER) -> dict:
    taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": added}
    return make.node(ready="Unknown", taints=[taint])


def tolerating(pod: dict, seconds: int | None) -> dict:
    toleration = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    if seconds is not None:
        toleration["tolerationSeconds"] = seconds
    pod["spec"]["tolerations"] = [toleration]
    return pod


def test_a_pod_that_does_not_tolerate_goes_at_once(make) -> None:
    patch, delete = taint_eviction.plan(make.pod("a"), unreachable(make), make.now).steps
    assert patch.patch["status"]["conditions"][0]["reason"] == "DeletionByTaintManager"
    assert isinstance(delete, Delete) and delete.uid == "uid-a"


def test_a_pod_stays_for_its_toleration_seconds(make) -> None:
    pod = tolerating(make.pod("a"), 300)
    decided = taint_eviction.plan(pod, unreachable(make), make.now)
    assert not decided.steps and decided.requeue_after_s == 180.0
    assert len(taint_eviction.plan(tolerating(pod, 120), unreachable(make), make.now).steps) == 2


def test_a_taint_that_does_not_say_since_when_counts_from_when_it_was_seen(make) -> None:
    node = make.node(taints=[{"key": "k", "effect": "NoExecute"}])
    pod = make.pod("a")
    pod["spec"]["tolerations"] = [{"key": "k", "operator": "Exists", "tolerationSeconds": 60}]
    waiting = taint_eviction.waits(pod, node, make.now)
    assert taint_eviction.plan(pod, node, make.now).requeue_after_s == 60.0
    assert taint_eviction.plan(pod, node, make.now + timedelta(seconds=59), waiting).requeue_after_s == 1.0
    assert len(taint_eviction.plan(pod, node, make.now + timedelta(seconds=60), waiting).steps) == 2


def test_a_toleration_without_time_is_for_ever(make) -> None:
    assert taint_eviction.plan(tolerating(make.pod("a"), None), unreachable(make), make.now) == NOTHING


def test_of_each_taint_the_first_toleration_that_answers_it_counts(make) -> None:
    pod = tolerating(make.pod("a"), 300)
    pod["spec"]["tolerations"].insert(0, {"operator": "Exists"})
    assert taint_eviction.plan(pod, unreachable(make), make.now) == NOTHING


def with_tolerations(make, **seconds: int | None) -> dict:
    """A pod that answers these taints: for so long, or for ever (None)."""
    pod = make.pod("a")
    pod["spec"]["tolerations"] = [
        {"key": key, "operator": "Exists", **({} if time is None else {"tolerationSeconds": time})}
        for key, time in seconds.items()
    ]
    return pod


def tainted(make, *keys: str, effect: str = "NoExecute") -> dict:
    return make.node(taints=[{"key": key, "effect": effect} for key in keys])


@pytest.mark.parametrize(("tolerated", "tainting", "after_s"), [
    ({}, ("one",), 0), ({"one": 100}, ("one",), 100), ({"one": None}, ("one",), None), ({"two": None}, ("one",), 0),
    ({"one": 100}, ("one", "two"), 0), ({"one": 1, "two": 100}, ("one", "two"), 1), ({"one": 0}, ("one",), 0),
    ({"one": -5}, ("one",), 0), ({"one": None, "two": 60}, ("one", "two"), 60), ({}, (), None),
])
def test_when_a_pod_has_to_go(make, tolerated, tainting, after_s) -> None:
    found = taint_eviction.waits(with_tolerations(make, **tolerated), tainted(make, *tainting), make.now)
    assert (found and (found.until - make.now).total_seconds()) == after_s
    harmless = tainted(make, *tainting, effect="NoSchedule")
    assert taint_eviction.waits(with_tolerations(make, **tolerated), harmless, make.now) is None


def test_a_pod_that_waits_gains_nothing_by_a_longer_toleration(make) -> None:
    node, later = tainted(make, "one"), make.now + timedelta(seconds=5)
    waiting = taint_eviction.waits(with_tolerations(make, one=10), node, make.now)
    longer = taint_eviction.waits(with_tolerations(make, one=100), node, later, waiting)
    assert longer is not None and longer.until == make.now + timedelta(seconds=10)
    assert taint_eviction.waits(with_tolerations(make, one=None), node, later, waiting) is None
    assert len(taint_eviction.plan(with_tolerations(make), node, later, waiting).steps) == 2


def test_a_pod_whose_shortest_time_was_for_a_taint_that_is_gone_has_the_next_one(make) -> None:
    pod = with_tolerations(make, one=10, two=100)
    waiting = taint_eviction.waits(pod, tainted(make, "one", "two"), make.now)
    assert waiting is not None and (waiting.until - make.now).total_seconds() == 10
    left = taint_eviction.waits(pod, tainted(make, "two"), make.now + timedelta(seconds=5), waiting)
    assert left is not None and (left.until - make.now).total_seconds() == 100


def test_on_a_cluster_pods_go_one_by_one_and_those_that_may_stay_are_told() -> None:
    async def scenario(lab: Lab) -> None:
        async def nodes() -> list[str]:
            return sorted(one["metadata"]["name"] for one in (await lab.client.list(NODES))["items"])

        async def there() -> bool:
            return bool(await nodes())

        await lab.until(there)
        node = (await nodes())[0]
        container = {"name": "c", "image": "i"}
        for name, tolerations in (("now", []), ("soon", [30]), ("later", [300]), ("never", [None])):
            listed = [
                {"key": "t", "operator": "Exists", "effect": "NoExecute",
                 **({} if one is None else {"tolerationSeconds": one})} for one in tolerations
            ]
            await lab.create(PODS, name, spec={"containers": [container], "nodeName": node, "tolerations": listed})
        await lab.running(4)
        await lab.client.patch(NODES, node, {"spec": {"taints": [{"key": "t", "effect": "NoExecute"}]}})

        async def left(*names: str) -> None:
            async def check() -> bool:
                return set(await lab.pods()) == set(names)

            await lab.until(check, what=f"only {names}")

        await left("soon", "later", "never")
        await left("later", "never")
        await lab.client.patch(NODES, node, {"spec": {"taints": None}}, type="merge")
        found: set[tuple[str, str, str]] = set()

        async def told() -> bool:
            found.update(
                (one["involvedObject"]["name"], one["type"], one["message"]) for one in await lab.list(CORE_EVENTS)
                if one["reason"] == "TaintManagerEviction"
            )
            return len(found) == 3

        await lab.until(told)
        assert found == {
            ("now", "Normal", "Marking for deletion Pod default/now"),
            ("soon", "Normal", "Marking for deletion Pod default/soon"),
            ("later", "Normal", "Cancelling deletion of Pod default/later"),
        }
        await asyncio.sleep(300)
        await left("later", "never")

    on_a_cluster(scenario)


def test_no_taint_no_eviction(make) -> None:
    assert taint_eviction.plan(make.pod("a"), make.node(), make.now) == NOTHING


@pytest.mark.parametrize(("labels", "added"), [
    ({"kubernetes.io/os": "linux", "beta.kubernetes.io/os": "linux"}, {}),
    ({"kubernetes.io/os": "linux"}, {"beta.kubernetes.io/os": "linux"}),
    ({"kubernetes.io/arch": "amd64", "beta.kubernetes.io/arch": "arm64"}, {"beta.kubernetes.io/arch": "amd64"}),
    ({"beta.kubernetes.io/os": "linux"}, {}),
    ({}, {}),
])
def test_the_older_names_of_labels_follow_the_present_ones(make, labels, added) -> None:
    node = make.node()
    node["metadata"]["labels"] = labels
    steps = node_lifecycle.plan(Observed(node, (), 0.0), CONFIG, make.now).steps
    assert [step.patch["metadata"]["labels"] for step in steps] == ([added] if added else [])


def test_a_change_of_labels_begins_no_eviction(make) -> None:
    node = make.node()
    node["metadata"]["labels"] = {"kubernetes.io/os": "linux"}
    decided = node_lifecycle.plan(Observed(node, (), 0.0), CONFIG, make.now)
    assert decided.steps and not node_lifecycle.begins_eviction(decided, node)


def test_a_node_without_a_kubelet_is_unknown_after_its_time_and_its_end_is_told_with_its_uid() -> None:
    async def scenario(lab: Lab) -> None:
        made = await lab.client.create(NODES, {"metadata": {"name": "ghost"}})

        async def reasons() -> dict[str, dict]:
            found = (await lab.client.list(CORE_EVENTS, "default"))["items"]
            return {one["reason"]: one for one in found if one["involvedObject"]["name"] == "ghost"}

        async def is_unknown() -> bool:
            found = (await lab.client.get(NODES, "ghost")).get("status", {}).get("conditions", ())
            return {one["reason"] for one in found if one["status"] == "Unknown"} == {"NodeStatusNeverUpdated"}

        await asyncio.sleep(CONFIG.node_monitor_grace_s + 5)
        assert not await is_unknown()
        await lab.until(is_unknown, within_s=20)
        await lab.client.delete(NODES, "ghost")

        async def told() -> bool:
            return {"RegisteredNode", "RemovingNode"} <= (await reasons()).keys()

        await lab.until(told)
        for event in (await reasons()).values():
            assert event["involvedObject"]["uid"] == made["metadata"]["uid"] and event["type"] == "Normal"
        assert (await reasons())["RemovingNode"]["message"] == "Node ghost event: Removing Node ghost from Controller"

    on_a_cluster(scenario)
