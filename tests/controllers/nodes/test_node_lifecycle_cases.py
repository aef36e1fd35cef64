"""Node lifecycle, case by case as upstream's own tests of it: health by status and Lease, zones, turns, writes.

Health and turns are asked of the pure parts; whole stories are played by the control loop on a cluster without
kubelets, where the test is the kubelet of every node.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from tests.controllers.lab import Lab, on_a_cluster

from sampan import effects
from sampan.api.resources import CORE_EVENTS, LEASES, NODES, PODS
from sampan.apimachinery.object import Object, dig, name_of
from sampan.controllers import times
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.manager import ControllerManager
from sampan.controllers.nodes import node_lifecycle
from sampan.controllers.nodes.node_lifecycle import Observed, begins_eviction, needs_eviction, next_health, plan
from sampan.controllers.nodes.node_zones import (
    EXCLUDED,
    EvictionQueues,
    Zone,
    all_lost,
    metric_label,
    rate_of,
    zone_of,
    zones_of,
)

CONFIG = ControllerManagerConfig(large_cluster_size=20)
BETA, TOPOLOGY = "failure-domain.beta.kubernetes.io/", "topology.kubernetes.io/"
T, F, U = "True", "False", "Unknown"


def zoned(make, name: str, ready: str, zone: str = "z", **labels: str) -> Object:
    node = make.node(name, ready or T)
    node["metadata"]["labels"] = {TOPOLOGY + "zone": zone, **labels}
    if not ready:
        node["status"] = {}
    return node


# zones

NORMAL, PARTLY, LOST = "normal", "partly", "lost"


def state(zone: Zone) -> str:
    return LOST if zone.is_lost else PARTLY if rate_of(zone, CONFIG) == 0.0 else NORMAL


@pytest.mark.parametrize(("before", "after"), [
    ([("z", T, NORMAL)], [("z", T, NORMAL)]),
    ([("a", U, LOST), ("b", U, LOST)], [("a", U, LOST), ("b", T, NORMAL)]),
    ([("z", "", LOST)] * 4, [("z", U, PARTLY)] * 3 + [("z", T, PARTLY)]),
    ([("z", U, NORMAL)] * 2 + [("z", T, NORMAL)] * 3, [("z", U, PARTLY)] * 3 + [("z", T, PARTLY)] * 2),
    ([("z", U, NORMAL)] * 2 + [("z", T, NORMAL)], [("z", U, LOST)] * 3),
    ([("a", U, LOST), ("b", T, NORMAL)], [("a", U, LOST), ("b", T, NORMAL)]),
    ([("a", U, LOST), ("b", F, LOST)], [("a", U, LOST), ("b", U, LOST)]),
    ([("z", T, NORMAL)], [("z", "", LOST)]),
], ids=[
    "new node", "one zone comes back", "nodes without status", "too many are lost", "two lost nodes are normal",
    "one zone of two", "both zones", "the condition is gone",
])
def test_how_a_zone_is_follows_from_its_nodes(make, before, after) -> None:
    for moment in (before, after):
        nodes = [zoned(make, f"n{number}", ready, zone) for number, (zone, ready, _) in enumerate(moment)]
        found = {name: state(zone) for name, zone in zones_of(nodes).items()}
        assert found == {f"/{zone}": wanted for zone, _, wanted in moment}


def test_nodes_that_are_excluded_from_disruption_count_neither_way(make) -> None:
    lost, control_plane = zoned(make, "n", U), zoned(make, "control-plane", T, **{EXCLUDED: ""})
    assert zones_of([lost, control_plane]) == {"/z": Zone(1, 1)} and all_lost(zones_of([lost, control_plane]))
    assert zones_of([control_plane]) == {} and not all_lost({})
    assert zones_of([zoned(make, "master-abc", T)]) == {"/z": Zone(1, 0)}


@pytest.mark.parametrize(("labels", "zone"), [
    ({}, "/"), ({TOPOLOGY + "region": "r", TOPOLOGY + "zone": "z"}, "r/z"), ({BETA + "region": "r"}, "r/"),
    ({BETA + "zone": "old", TOPOLOGY + "zone": "new", TOPOLOGY + "region": "r"}, "r/old"),
])
def test_a_zone_is_told_by_older_and_present_labels(labels, zone) -> None:
    assert zone_of({"metadata": {"name": "n", "labels": labels}}) == zone


# turns


def waits(queues: EvictionQueues, now: float, *nodes: str) -> list[float]:
    return [queues.wait_s("z", node, now) for node in nodes]


def test_nodes_take_turns_in_the_order_in_which_they_were_lost() -> None:
    queues = EvictionQueues(0.1)
    for node in ("first", "second", "third", "first"):
        queues.join("z", node)
    assert waits(queues, 100.0, "first", "second", "third", "unheard of") == [0.0, 10.0, 20.0, math.inf]
    queues.spend("z", 100.0)
    assert waits(queues, 104.0, "first", "second") == [6.0, 16.0]
    queues.leave("first")
    assert waits(queues, 104.0, "first", "second", "third") == [math.inf, 6.0, 16.0]
    queues.leave("second")
    assert waits(queues, 110.0, "third") == [0.0]
    queues.join("z", "first")
    assert waits(queues, 110.0, "third", "first") == [0.0, 10.0]
    for number in range(20):
        queues.join("z", f"later-{number}")
    assert waits(queues, 110.0, "later-5", "later-6") == [70.0, math.inf]


def test_a_node_that_moves_to_another_zone_waits_there() -> None:
    queues = EvictionQueues(0.1)
    queues.join("z", "a")
    queues.join("z", "b")
    queues.join("other", "a")
    assert waits(queues, 0.0, "a", "b") == [math.inf, 0.0] and queues.wait_s("other", "a", 0.0) == 0.0


@pytest.mark.parametrize(("spent_at", "rates", "wait_s"), [
    (None, [], 0.0), (90.0, [], 0.0), (95.0, [], 5.0), (95.0, [0.1], 5.0),
    (None, [0.01], 0.0), (95.0, [0.01], 100.0), (95.0, [0.5], 2.0), (None, [0.0], math.inf), (None, [0.0, 0.1], 10.0),
])
def test_a_new_pace_counts_from_when_it_is_set_if_somebody_waits(spent_at, rates, wait_s) -> None:
    """As upstream's limiter of one token: full before, it is full after; else, or where nobody might go, empty."""
    queues = EvictionQueues(0.1)
    queues.join("z", "a")
    if spent_at is not None:
        queues.spend("z", spent_at)
    for rate in rates:
        queues.set_rate("z", rate, 100.0)
    assert waits(queues, 100.0, "a") == [wait_s]


def test_a_node_may_have_begun_when_the_pace_is_taken_away() -> None:
    """Its taint was being written when the last node of the cluster was lost. Found by the simulator."""
    queues = EvictionQueues(0.1)
    queues.join("z", "a")
    queues.set_rate("z", 0.0, 100.0)
    queues.spend("z", 100.1)
    assert waits(queues, 200.0, "a") == [math.inf]
    queues.set_rate("z", 0.1, 200.0)
    assert waits(queues, 200.0, "a") == [10.0]


# health


def lease(at: str) -> Object | None:
    return {"spec": {"renewTime": f"2026-01-02T{at}.000000Z"}} if at else None


def heard(make, at: str) -> Object:
    """A node whose status was written then; empty: never."""
    node = make.node()
    if at:
        node["status"]["conditions"][0]["lastHeartbeatTime"] = f"2026-01-02T{at}Z"
    else:
        node["status"] = {}
    return node


@pytest.mark.parametrize(("first", "second", "is_alive"), [
    (("03:00:00", ""), ("03:00:00", ""), False), (("03:00:00", ""), ("03:01:00", ""), True),
    (("", "03:00:00"), ("", "03:01:00"), True), (("", "03:00:00"), ("", "03:00:00"), False),
    (("03:00:00", "03:00:00"), ("03:00:00", "03:01:00"), True),
    (("03:00:00", "03:00:00"), ("03:01:00", "03:00:00"), True),
    (("03:00:00", "03:00:00"), ("03:00:00", "03:00:00"), False), (("03:00:00", ""), ("03:00:00", "03:00:00"), True),
    (("03:00:00", "03:00:00"), ("03:00:00", ""), False), (("03:00:00", "03:01:00"), ("03:00:00", "03:00:00"), True),
    (("03:00:00", ""), ("", ""), True), (("", ""), ("03:00:00", ""), True), (("", ""), ("", ""), False),
], ids=[
    "silent", "status", "no status, lease renewed", "no status, lease expired", "lease renewed", "status only",
    "neither", "lease appears", "lease deleted", "lease renewed by a clock that was set back", "condition removed",
    "first status", "never",
])
def test_what_is_a_sign_of_life(make, first, second, is_alive) -> None:
    known = next_health(None, heard(make, first[0]), lease(first[1]), 100.0)
    after = next_health(known, heard(make, second[0]), lease(second[1]), 3700.0)
    assert (after.at == 3700.0) is is_alive and (is_alive or after.at == known.at)


def test_a_lease_that_vanished_is_not_new_when_it_is_back(make) -> None:
    known = next_health(None, heard(make, "03:00:00"), lease("03:05:00"), 1.0)
    gone = next_health(known, heard(make, "03:00:00"), None, 2.0)
    assert next_health(gone, heard(make, "03:00:00"), lease("03:05:00"), 3.0).at == 1.0
    assert next_health(gone, heard(make, "03:00:00"), lease("03:05:01"), 3.0).at == 3.0


def test_only_a_node_that_was_never_heard_of_is_as_old_as_its_creation(make) -> None:
    old = (effects.now() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for status, renewed, age_s in (("", "", 3600.0), ("", "03:00:00", 0.0), ("03:00:00", "", 0.0)):
        node = heard(make, status)
        node["metadata"]["creationTimestamp"] = old
        assert 5000.0 - next_health(None, node, lease(renewed), 5000.0).at == pytest.approx(age_s, abs=5.0)


@pytest.mark.parametrize(("ready", "silent_s", "is_written"), [
    (T, 50.0, False), (T, 50.1, True), (F, 50.1, True), (U, 3600.0, False), ("", 60.0, False), ("", 60.1, True),
])
def test_a_node_becomes_unknown_after_its_grace_time(make, ready, silent_s, is_written) -> None:
    node = zoned(make, "n", ready)
    steps = [step for step in plan(Observed(node, (), silent_s), CONFIG, make.now).steps if hasattr(step, "obj")]
    assert bool(steps) is is_written


def test_conditions_that_the_kubelet_never_had_are_as_old_as_the_node(make) -> None:
    node = make.node()
    node["status"] = {"capacity": {"cpu": "10"}, "conditions": node["status"]["conditions"][:1]}
    [update] = plan(Observed(node, (), 3600.0), CONFIG, make.now).steps
    ready, *others = update.obj["status"]["conditions"]
    assert (ready["reason"], ready["lastHeartbeatTime"]) == ("NodeStatusUnknown", "2026-01-02T03:00:00Z")
    assert [one["type"] for one in others] == ["MemoryPressure", "DiskPressure", "PIDPressure"]
    for one in others:
        assert one["reason"] == "NodeStatusNeverUpdated" and one["message"] == "Kubelet never posted node status."
        assert one["lastHeartbeatTime"] == node["metadata"]["creationTimestamp"]
    assert {one["lastTransitionTime"] for one in (ready, *others)} == {make.now_text}
    assert update.obj["status"]["capacity"] == {"cpu": "10"}


# taints


@pytest.mark.parametrize(("type", "status", "key"), [
    ("NetworkUnavailable", T, "network-unavailable"), ("MemoryPressure", T, "memory-pressure"),
    ("DiskPressure", T, "disk-pressure"), ("PIDPressure", T, "pid-pressure"), ("MemoryPressure", U, None),
    ("Ready", F, "not-ready"), ("Ready", U, "unreachable"),
])
def test_each_condition_is_a_taint(make, type, status, key) -> None:
    node = make.node()
    node["status"]["conditions"] = [{"type": "Ready", "status": T}] if type != "Ready" else []
    node["status"]["conditions"].append({"type": type, "status": status})
    wanted = node_lifecycle.wanted_taints(node, Observed(node, (), 0.0, may_evict=False), make.now)
    assert [(taint["key"], taint["effect"]) for taint in wanted] == (
        [(f"node.kubernetes.io/{key}", "NoSchedule")] if key else []
    )


def test_only_the_first_taint_that_evicts_needs_a_turn(make) -> None:
    other = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    for ready, taints, needs in ((U, [], True), (F, [], True), (T, [], False), (F, [other], False)):
        node = make.node(ready=ready, taints=list(taints))
        assert needs_eviction(node) is needs
        decided = plan(Observed(node, (), 0.0, may_evict=needs), CONFIG, make.now)
        assert begins_eviction(decided, node) is needs


# stories


class Fleet:
    """Nodes whose kubelets are the test. Every node but those that were told to fall silent is alive."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.ready = lab, dict[str, str]()

    async def add(self, *names: str, zone: str = "z", ready: str = T) -> None:
        for name in names:
            labels = {TOPOLOGY + "zone": zone}
            await self.lab.client.create(NODES, {"metadata": {"name": name, "labels": labels}})
            self.ready[name] = ready
        await self._beat()

    async def _beat(self) -> None:
        """Each kubelet reports, as its node is."""
        moment = times.text(effects.now())
        for name, ready in self.ready.items():
            conditions = [
                {"type": type, "status": status, "lastHeartbeatTime": moment, "lastTransitionTime": moment}
                for type, status in (("Ready", ready), *((f"{what}Pressure", F) for what in ("Memory", "Disk", "PID")))
            ]
            change = {"status": {"conditions": conditions}}
            await self.lab.client.patch(NODES, name, change, type="strategic", subresource="status")

    async def live(self, seconds: float) -> None:
        for _ in range(int(seconds // 5)):
            await self._beat()
            await asyncio.sleep(5)

    async def taints(self) -> dict[str, str]:
        """Of each node that evicts its pods, why."""
        return {
            name_of(node): taint["key"].removeprefix("node.kubernetes.io/")
            for node in (await self.lab.client.list(NODES))["items"]
            for taint in dig(node, "spec", "taints", default=()) if taint["effect"] == "NoExecute"
        }


def test_a_node_that_falls_silent_is_tainted_and_its_taint_goes_with_its_silence() -> None:
    async def scenario(lab: Lab) -> None:
        fleet = Fleet(lab)
        await fleet.add("a", "b")
        await fleet.live(20)
        assert await fleet.taints() == {}
        del fleet.ready["a"]
        await fleet.live(70)
        assert await fleet.taints() == {"a": "unreachable"}
        fleet.ready["a"] = F
        await fleet.live(10)
        assert await fleet.taints() == {"a": "not-ready"}
        fleet.ready["a"] = T
        await fleet.live(10)
        assert await fleet.taints() == {}

    on_a_cluster(scenario, nodes=0, controllers="node-lifecycle-controller")


def test_lost_nodes_of_a_zone_follow_each_other_every_ten_seconds_and_a_swap_takes_no_turn() -> None:
    async def scenario(lab: Lab) -> None:
        fleet = Fleet(lab)
        await fleet.add("a", "b", "c", "well-1", "well-2", "well-3", "well-4")
        await fleet.live(10)
        for name in ("c", "a", "b"):
            fleet.ready[name] = F
            await fleet._beat()
            await asyncio.sleep(0.5)
        seen: list[tuple[set[str], float]] = []
        for _ in range(60):
            tainted = set(await fleet.taints())
            if not seen or seen[-1][0] != tainted:
                seen.append((tainted, effects.monotonic()))
            await asyncio.sleep(0.5)
        assert [found for found, _ in seen] == [{"c"}, {"a", "c"}, {"a", "b", "c"}]
        gaps = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(seen)]
        assert all(8.0 <= gap <= 11.0 for gap in gaps), gaps
        del fleet.ready["c"]
        await fleet.live(80)
        assert await fleet.taints() == {"a": "not-ready", "b": "not-ready", "c": "unreachable"}

    on_a_cluster(scenario, nodes=0, controllers="node-lifecycle-controller")


def test_when_every_node_is_lost_nobody_is_evicted_and_when_one_is_back_the_others_have_time() -> None:
    async def scenario(lab: Lab) -> None:
        fleet = Fleet(lab)
        await fleet.add("a1", "a2", zone="a")
        await fleet.add("b", zone="b")
        await fleet.live(10)
        for name in ("a1", "a2"):
            fleet.ready[name] = F
        await fleet.live(30)
        assert await fleet.taints() == {"a1": "not-ready", "a2": "not-ready"}
        fleet.ready["b"] = F
        await fleet.live(30)
        assert await fleet.taints() == {}
        fleet.ready["b"] = T
        await fleet._beat()
        await asyncio.sleep(8)
        assert await fleet.taints() == {}
        await fleet.live(20)
        assert len(await fleet.taints()) >= 1 and set(await fleet.taints()) <= {"a1", "a2"}

    on_a_cluster(scenario, nodes=0, controllers="node-lifecycle-controller")


def test_ready_pods_of_a_silent_node_are_marked_once_and_told() -> None:
    async def scenario(lab: Lab) -> None:
        fleet = Fleet(lab)
        await fleet.add("a", "b")
        await fleet.live(5)
        container = {"name": "c", "image": "i"}
        for name, node in (("on-a", "a"), ("too", "a"), ("starting", "a"), ("on-b", "b")):
            await lab.create(PODS, name, spec={"containers": [container], "nodeName": node})
        await lab.make_ready("on-a", "too", "on-b")
        await fleet.live(20)
        del fleet.ready["a"]
        await fleet.live(120)
        states = {
            name: [one["status"] for one in dig(pod, "status", "conditions", default=()) if one["type"] == "Ready"]
            for name, pod in (await lab.pods()).items()
        }
        assert states == {"on-a": [F], "too": [F], "starting": [], "on-b": [T]}
        told = [
            (one["involvedObject"]["name"], one["type"], one["message"], one.get("count", 1))
            for one in await lab.list(CORE_EVENTS)
            if one["reason"] == "NodeNotReady" and one["involvedObject"]["kind"] == "Pod"
        ]
        assert sorted(told) == [(name, "Warning", "Node is not ready", 1) for name in ("on-a", "too")]

    on_a_cluster(scenario, nodes=0, controllers="node-lifecycle-controller,serviceaccount-controller")


def test_a_node_without_status_whose_lease_is_renewed_is_left_alone() -> None:
    async def scenario(lab: Lab) -> None:
        for name in ("silent", "renewing"):
            await lab.client.create(NODES, {"metadata": {"name": name}})

        async def renew() -> None:
            moment = effects.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            await lab.client.patch(LEASES, "renewing", {"spec": {"renewTime": moment}}, "kube-node-lease", type="merge")

        await lab.client.create(LEASES, {
            "metadata": {"name": "renewing", "namespace": "kube-node-lease"}, "spec": {"holderIdentity": "renewing"},
        })
        for _ in range(20):
            await renew()
            await asyncio.sleep(5)
        assert not (await lab.client.get(NODES, "renewing")).get("status", {}).get("conditions")
        assert (await lab.client.get(NODES, "silent"))["status"]["conditions"]

    on_a_cluster(scenario, nodes=0, controllers="node-lifecycle-controller")


def test_the_silence_of_a_node_counts_anew_when_not_all_are_lost_any_more() -> None:
    async def scenario(lab: Lab) -> None:
        fleet = Fleet(lab)
        await fleet.add("a", "quiet", ready=F)
        await fleet.live(10)
        del fleet.ready["quiet"]
        await fleet.live(40)
        fleet.ready["a"] = T

        async def ready() -> str:
            found = (await lab.client.get(NODES, "quiet"))["status"]["conditions"]
            return str(next(one["status"] for one in found if one["type"] == "Ready"))

        await fleet.live(40)
        assert await ready() == F
        await fleet.live(25)
        assert await ready() == U

    on_a_cluster(scenario, nodes=0, controllers="node-lifecycle-controller")


def test_a_node_that_is_deleted_while_it_waits_keeps_nobody_waiting() -> None:
    async def scenario(lab: Lab) -> None:
        fleet = Fleet(lab)
        await fleet.add("a", "b", "c", "well-1", "well-2", "well-3", "well-4")
        await fleet.live(10)
        for name in ("a", "b", "c"):
            fleet.ready[name] = F
            await fleet._beat()
            await asyncio.sleep(0.5)
        del fleet.ready["b"]
        await lab.client.delete(NODES, "b")
        await fleet.live(25)
        assert await fleet.taints() == {"a": "not-ready", "c": "not-ready"}

    on_a_cluster(scenario, nodes=0, controllers="node-lifecycle-controller")


def test_evictions_follow_the_pace_to_the_second_and_are_counted_without_swaps() -> None:
    async def scenario(lab: Lab) -> None:
        config = ControllerManagerConfig(controllers="node-lifecycle-controller", node_eviction_per_s=1.0)
        manager = ControllerManager(lab.cluster.client_of("system:masters", "system:masters"), config)
        running = asyncio.ensure_future(manager.run())
        registry = CollectorRegistry()
        registry.register(manager)

        def counted() -> float | None:
            return registry.get_sample_value("node_collector_evictions_total", {"zone": metric_label("/z")})

        fleet = Fleet(lab)
        lost = ("a", "b", "c")
        await fleet.add(*lost, "well-1", "well-2", "well-3", "well-4")
        await fleet.live(15)
        assert counted() == 0.0
        fleet.ready |= dict.fromkeys(lost, F)
        await fleet._beat()
        await asyncio.sleep(4)
        assert set(await fleet.taints()) == set(lost) and counted() == 3.0
        del fleet.ready["a"]
        await fleet.live(70)
        assert (await fleet.taints())["a"] == "unreachable" and counted() == 3.0
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    on_a_cluster(scenario, nodes=0, controllers="serviceaccount-controller")
