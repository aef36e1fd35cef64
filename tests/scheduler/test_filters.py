"""Which nodes a pod may run on, and what is said about the others."""

from __future__ import annotations

from typing import Any

import pytest

GI = 1024**3


def test_without_nodes_nothing_can_be_placed(world: Any) -> None:
    assert world.why() == "no nodes available to schedule pods"


def test_the_message_counts_nodes_by_reason(world: Any) -> None:
    world.node("a", taints=[{"key": "dedicated", "value": "db", "effect": "NoSchedule"}])
    world.node("b", cpu="1")
    world.node("c", cpu="1", memory="1Gi")
    assert world.why(cpu="2", memory="2Gi") == (
        "0/3 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint(s), "
        "2 Insufficient cpu."
    )


def test_requests_of_pods_that_are_there_count(world: Any) -> None:
    world.node("a", cpu="2")
    world.run("a", cpu="1500m")
    assert world.where(cpu="500m") == "a"
    assert world.why(cpu="501m") == "0/1 nodes are available: 1 Insufficient cpu."


def test_a_full_node_takes_no_more_pods(world: Any) -> None:
    world.node("a", pods="1")
    world.run("a")
    assert world.why() == "0/1 nodes are available: 1 Too many pods."


def test_extended_resources_count_like_others(world: Any) -> None:
    world.node("a", **{"example.com/gpu": "1"})
    world.node("b")
    gpu = {"name": "main", "resources": {"requests": {"example.com/gpu": "1"}}}
    assert world.possible(containers=[gpu]) == {"a"}


def test_a_cordoned_node_takes_only_what_tolerates_it(world: Any) -> None:
    world.node("a", unschedulable=True)
    assert world.why() == "0/1 nodes are available: 1 node(s) were unschedulable."
    assert world.where(tolerations=[{"operator": "Exists"}]) == "a"


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Equal", "value": "other"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, False),
    ],
)
def test_tolerations(world: Any, toleration: dict[str, str], tolerated: bool) -> None:
    world.node("a", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    assert bool(world.where(tolerations=[toleration])) is tolerated


def test_node_selector_and_affinity_must_both_hold(world: Any) -> None:
    world.node("a", labels={"disk": "ssd", "zone": "1"})
    world.node("b", labels={"disk": "ssd", "zone": "2"})
    world.node("c", labels={"disk": "hdd", "zone": "1"})
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["1", "3"]}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    assert world.possible(nodeSelector={"disk": "ssd"}) == {"a", "b"}
    assert world.possible(nodeSelector={"disk": "ssd"}, affinity=affinity) == {"a"}
    assert world.why(nodeSelector={"disk": "nvme"}) == (
        "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
    )


@pytest.mark.parametrize(
    ("expression", "nodes"),
    [
        ({"key": "n", "operator": "In", "values": ["1", "5"]}, {"a", "b"}),
        ({"key": "n", "operator": "NotIn", "values": ["1"]}, {"b", "c"}),
        ({"key": "n", "operator": "Exists"}, {"a", "b"}),
        ({"key": "n", "operator": "DoesNotExist"}, {"c"}),
        ({"key": "n", "operator": "Gt", "values": ["3"]}, {"b"}),
        ({"key": "n", "operator": "Lt", "values": ["3"]}, {"a"}),
    ],
)
def test_node_selector_operators(world: Any, expression: dict[str, Any], nodes: set[str]) -> None:
    world.node("a", labels={"n": "1"})
    world.node("b", labels={"n": "5"})
    world.node("c")
    terms = [{"matchExpressions": [expression]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    assert world.possible(affinity={"nodeAffinity": required}) == nodes


def test_a_pod_that_names_its_node_by_field_looks_at_no_other(world: Any) -> None:
    for name in "abc":
        world.node(name)
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    assert world.where(affinity=affinity) == "b"
    decision = world.decide(affinity=affinity, cpu="100")
    assert decision.diagnosis.message == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


def test_host_ports_conflict_by_address_protocol_and_port(world: Any) -> None:
    def ports(port: int, protocol: str = "TCP", address: str = "") -> list[dict[str, Any]]:
        entry = {"containerPort": 80, "hostPort": port, "protocol": protocol, "hostIP": address}
        return [{"name": "main", "ports": [entry]}]

    world.node("a")
    world.run("a", containers=ports(80, "TCP", "10.0.0.1"))
    assert world.where(containers=ports(81)) == "a"
    assert world.where(containers=ports(80, "UDP")) == "a"
    assert world.where(containers=ports(80, "TCP", "10.0.0.2")) == "a"
    expected = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    assert world.why(containers=ports(80, "TCP", "10.0.0.1")) == expected
    assert world.why(containers=ports(80)) == expected


def anti_affinity(app: str, key: str = "kubernetes.io/hostname", **term: Any) -> dict[str, Any]:
    required = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key, **term}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [required]}}


def affinity(app: str, key: str = "zone", **term: Any) -> dict[str, Any]:
    required = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key, **term}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [required]}}


def test_anti_affinity_keeps_pods_apart_in_both_directions(world: Any) -> None:
    for name in "ab":
        world.node(name)
    world.run("a", labels={"app": "db"}, affinity=anti_affinity("web"))
    assert world.possible(labels={"app": "web"}) == {"b"}
    assert world.possible(labels={"app": "other"}, affinity=anti_affinity("db")) == {"b"}
    world.run("b", labels={"app": "db"}, affinity=anti_affinity("web"))
    assert world.why(labels={"app": "web"}) == (
        "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules."
    )
    assert world.why(affinity=anti_affinity("db")) == (
        "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
    )


def test_affinity_finds_its_topology_and_the_first_of_a_group_may_go_anywhere(world: Any) -> None:
    for name, zone in (("a", "1"), ("b", "1"), ("c", "2")):
        world.node(name, labels={"zone": zone})
    world.node("d")
    assert world.possible(labels={"app": "web"}, affinity=affinity("web")) == {"a", "b", "c"}
    assert world.why(affinity=affinity("web")) == (
        "0/4 nodes are available: 4 node(s) didn't match pod affinity rules."
    )
    world.run("a", labels={"app": "web"})
    assert world.possible(affinity=affinity("web")) == {"a", "b"}


def test_affinity_looks_at_the_namespaces_it_names(world: Any) -> None:
    world.namespaces = {"default": {}, "other": {"team": "x"}}
    for name in "ab":
        world.node(name, labels={"zone": name})
    world.run("a", labels={"app": "web"}, namespace="other")
    assert world.possible(affinity=affinity("web")) == set()
    assert world.possible(affinity=affinity("web", namespaces=["other"])) == {"a"}
    assert world.possible(affinity=affinity("web", namespaceSelector={"matchLabels": {"team": "x"}})) == {"a"}
    assert world.possible(affinity=affinity("web", namespaceSelector={})) == {"a"}


def spread(key: str, skew: int = 1, **more: Any) -> list[dict[str, Any]]:
    return [{
        "topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}, **more,
    }]


def test_hard_topology_spread_limits_the_skew(world: Any) -> None:
    for name, zone in (("a", "1"), ("b", "1"), ("c", "2")):
        world.node(name, labels={"zone": zone})
    world.node("d")
    world.run("a", labels={"app": "web"})
    web = {"app": "web"}
    assert world.possible(labels=web, topologySpreadConstraints=spread("zone")) == {"c"}
    assert world.possible(labels=web, topologySpreadConstraints=spread("zone", 2)) == {"a", "b", "c"}
    assert world.possible(labels=web, topologySpreadConstraints=spread("zone", minDomains=3)) == {"c"}
    zone = {"zone": "1"}
    assert world.possible(labels=web, topologySpreadConstraints=spread("zone"), nodeSelector=zone) == {"a", "b"}
    ignoring = spread("zone", nodeAffinityPolicy="Ignore")
    assert world.why(labels=web, topologySpreadConstraints=ignoring, nodeSelector=zone) == (
        "0/4 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, "
        "2 node(s) didn't match pod topology spread constraints."
    )
    message = world.why(labels=web, topologySpreadConstraints=spread("rack"))
    assert message == (
        "0/4 nodes are available: 4 node(s) didn't match pod topology spread constraints (missing required label)."
    )


def test_gated_pods_are_not_queued(world: Any) -> None:
    from sampan.scheduler.pod_info import parse

    status = world.framework.pre_enqueue(parse(world.pod(schedulingGates=[{"name": "a"}, {"name": "b"}])))
    assert status.plugin == "SchedulingGates"
    assert status.message == "waiting for scheduling gates: [a b]"
    assert world.framework.pre_enqueue(parse(world.pod())) is None
