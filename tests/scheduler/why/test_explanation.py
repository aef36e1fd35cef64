"""What would help: each plugin's remedy, the node that needs the least, and the proof that it is enough."""

from __future__ import annotations

from typing import Any

import pytest
from tests.scheduler.conftest import World

from sampan.scheduler.pod_info import parse
from sampan.scheduler.why.explanation import Explanation, explain, summary

ZONE = "topology.kubernetes.io/zone"


def explained(world: World, **pod: Any) -> Explanation:
    return explain(world.framework, world.snapshot, parse(world.pod(**pod)))


def helps(found: Explanation) -> list[str]:
    assert found.smallest is not None
    return [remedy.text for remedy in found.smallest.remedies]


def test_missing_room_is_named_with_the_pod_that_holds_it(world: World) -> None:
    world.node("a", cpu="2")
    world.run("a", name="big", cpu="1500m")
    world.run("a", name="small", cpu="100m")
    found = explained(world, cpu="1")
    assert helps(found) == ["600m cpu more: 1 asked, 400m of 2 free; default/big holds as much"]
    assert found.is_confirmed


def test_the_node_that_lacks_least_is_recommended(world: World) -> None:
    world.node("far", cpu="2")
    world.node("near", cpu="4")
    world.run("far", cpu="2")
    world.run("near", cpu="3500m")
    found = explained(world, cpu="1")
    assert found.smallest is not None
    assert found.smallest.node == "near"


def test_all_that_is_wrong_with_a_node_is_told(world: World) -> None:
    world.node("a", cpu="1", memory="1Gi", taints=[{"key": "dedicated", "value": "db", "effect": "NoSchedule"}])
    found = explained(world, cpu="2", memory="2Gi", nodeSelector={"disk": "ssd"})
    [verdict] = found.verdicts
    assert [refusal.plugin for refusal in verdict.refusals] == ["TaintToleration", "NodeAffinity", "NodeResourcesFit"]
    assert helps(found) == [
        "tolerate dedicated=db:NoSchedule", "the label disk=ssd on the node", "1 cpu more: 2 asked, 1 of 1 free",
        "1Gi memory more: 2Gi asked, 1Gi of 1Gi free",
    ]
    assert found.is_confirmed


def test_a_cordoned_node_is_to_be_uncordoned_once(world: World) -> None:
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    world.node("a", unschedulable=True, taints=[taint])
    found = explained(world)
    assert helps(found) == ["kubectl uncordon a"]
    assert found.is_confirmed


@pytest.mark.parametrize(("expression", "labels", "remedy"), [
    ({"key": "zone", "operator": "In", "values": ["a", "b"]}, {}, "the label zone=a on the node"),
    ({"key": "gpu", "operator": "Exists"}, {}, "the label gpu= on the node"),
    ({"key": "old", "operator": "DoesNotExist"}, {"old": "y"}, "the node without the label old"),
    ({"key": "zone", "operator": "NotIn", "values": ["a"]}, {"zone": "a"}, "the node without the label zone"),
    ({"key": "cores", "operator": "Gt", "values": ["8"]}, {"cores": "8"}, "the label cores=9 on the node"),
])
def test_affinity_asks_for_labels(world: World, expression: Any, labels: dict[str, str], remedy: str) -> None:
    world.node("a", labels=labels)
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    found = explained(world, affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})
    assert helps(found) == [remedy]
    assert found.is_confirmed


def test_of_several_terms_the_nearest_counts(world: World) -> None:
    world.node("a", labels={"x": "1"})
    terms = [
        {"matchExpressions": [{"key": key, "operator": "In", "values": ["2"]} for key in keys]}
        for keys in (("p", "q"), ("r",))
    ]
    required = {"nodeSelectorTerms": terms}
    found = explained(world, affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})
    assert helps(found) == ["the label r=2 on the node"]


def test_a_taken_port_names_its_holder(world: World) -> None:
    world.node("a")
    ports = [{"name": "main", "image": "i", "ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "TCP"}]}]
    world.run("a", name="web", containers=ports)
    found = explained(world, containers=ports)
    assert helps(found) == ["host port 8080/TCP, which default/web has"]
    assert not found.is_confirmed


def spread(skew: int) -> list[Any]:
    selector = {"matchLabels": {"app": "web"}}
    return [{"maxSkew": skew, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}]


def test_spread_tells_the_skew_that_would_do(world: World) -> None:
    world.node("a", labels={ZONE: "a"})
    world.node("b", labels={ZONE: "b"}, cpu="1")
    world.run("b", cpu="1")
    for n in range(2):
        world.run("a", name=f"web-{n}", labels={"app": "web"})
    found = explained(world, cpu="1", labels={"app": "web"}, topologySpreadConstraints=spread(1))
    by_node = {verdict.node: [r.text for r in verdict.remedies] for verdict in found.verdicts}
    assert by_node["a"] == [f"maxSkew 3 instead of 1 over {ZONE}, or more of these pods outside of a"]
    assert by_node["b"] == ["1 cpu more: 1 asked, 0 of 1 free; default/pod-0 holds as much"]
    assert found.is_confirmed


def anti(app: str) -> Any:
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def test_anti_affinity_names_who_is_in_the_way(world: World) -> None:
    world.node("a")
    world.run("a", name="web", labels={"app": "web"})
    found = explained(world, affinity=anti("web"))
    assert helps(found) == ["kubernetes.io/hostname=a without default/web (its own rule keeps it from these)"]


def test_the_rule_of_another_pod_is_told_too(world: World) -> None:
    world.node("a")
    world.run("a", name="loner", affinity=anti("web"))
    found = explained(world, labels={"app": "web"})
    assert helps(found) == ["kubernetes.io/hostname=a without default/loner (kept away by the rule of these)"]


def test_affinity_tells_whom_it_misses(world: World) -> None:
    world.node("a", labels={ZONE: "a"})
    term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": ZONE}
    found = explained(world, affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})
    assert helps(found) == [f"a pod with app=db in {ZONE}=a"]


def test_nodes_that_read_alike_are_told_once(world: World) -> None:
    for n in range(5):
        world.node(f"n{n}", cpu="1")
    [(nodes, refusals)] = summary(explained(world, cpu="2"))
    assert nodes == ("n0", "n1", "n2", "n3", "n4")
    assert [refusal.reason for refusal in refusals] == ["Insufficient cpu"]


def test_a_gated_pod_waits_for_its_gates(world: World) -> None:
    found = explained(world, schedulingGates=[{"name": "quota"}])
    assert found.rejection is not None
    assert found.rejection.message == "waiting for scheduling gates: [quota]"


def test_looking_changes_nothing(world: World) -> None:
    world.node("a", cpu="1", labels={ZONE: "a"})
    before = world.snapshot.node("a")
    assert before is not None
    document = before.node
    explained(world, cpu="2", nodeSelector={"disk": "ssd"})
    after = world.snapshot.node("a")
    assert after is not None
    assert after.node is document
    assert world.why(cpu="2").startswith("0/1 nodes are available: 1 Insufficient cpu.")
