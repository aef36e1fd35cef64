"""Which of the nodes that fit is best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from sampan.scheduler.plugins.image_locality import normalized

MB = 1024 * 1024


def test_the_emptier_node_is_better(world: Any) -> None:
    world.node("a")
    world.node("b")
    world.run("a", cpu="2", memory="4Gi")
    assert world.where(cpu="100m", memory="100Mi") == "b"


def test_pods_without_requests_spread_too(world: Any) -> None:
    for name in "abc":
        world.node(name)
    for n in range(9):
        world.run(world.where(name=f"p{n}"), name=f"p{n}")
    assert Counter(len(node.pods) for node in world.snapshot.nodes()) == {3: 3}


def test_balance_of_cpu_and_memory_decides_between_equally_empty_nodes(world: Any) -> None:
    world.node("a", cpu="10", memory="10Gi")
    world.node("b", cpu="10", memory="10Gi")
    world.run("a", cpu="4", memory="1Gi")
    world.run("b", cpu="1", memory="4Gi")
    assert world.where(cpu="3", memory="0") == "b"


def test_soft_taints_cost(world: Any) -> None:
    world.node("a", taints=[{"key": "k", "effect": "PreferNoSchedule"}])
    world.node("b")
    world.run("b", cpu="1")
    assert world.where() == "b"
    assert world.where(tolerations=[{"key": "k", "operator": "Exists"}]) == "a"


def test_preferred_node_affinity_draws(world: Any) -> None:
    world.node("a", labels={"disk": "ssd"})
    world.node("b")
    wish = {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}
    preferred = [{"weight": 10, "preference": wish}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    world.run("a", cpu="1")
    assert world.where() == "b"
    assert world.where(affinity=affinity) == "a"


def test_a_large_image_that_is_there_draws(world: Any) -> None:
    world.node("a", images=[{"names": ["app:latest", "app@sha256:x"], "sizeBytes": 900 * MB}])
    world.node("b")
    containers = [{"name": "main", "image": "app"}]
    assert {world.where(containers=containers) for _ in range(10)} == {"a"}


@pytest.mark.parametrize(
    ("image", "name"),
    [("app", "app:latest"), ("app:1", "app:1"), ("host:5000/app", "host:5000/app:latest"),
     ("host:5000/app:2", "host:5000/app:2")],
)
def test_an_image_without_a_tag_is_the_latest(image: str, name: str) -> None:
    assert normalized(image) == name


def test_preferred_pod_affinity_draws_and_repels(world: Any) -> None:
    for name in "ab":
        world.node(name)
    world.run("a", labels={"app": "cache"})
    term = {"labelSelector": {"matchLabels": {"app": "cache"}}, "topologyKey": "kubernetes.io/hostname"}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}
    assert world.where(affinity={"podAffinity": preferred}) == "a"
    assert world.where(affinity={"podAntiAffinity": preferred}) == "b"


def test_pods_of_a_service_spread_by_default(world: Any) -> None:
    """Host b is emptier, but a has no pod of the service yet."""
    world.node("a", cpu="100", memory="100Gi")
    world.node("b", cpu="100", memory="100Gi")
    world.run("a", cpu="4", memory="4Gi")
    for _ in range(3):
        world.run("b", labels={"app": "web"})
    assert world.where(labels={"app": "web"}) == "b"
    world.services = [{"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}}}]
    assert world.where(labels={"app": "web"}) == "a"


def test_soft_spread_counts_zones(world: Any) -> None:
    for name, zone in (("a", "1"), ("b", "1"), ("c", "2")):
        world.node(name, labels={"zone": zone})
    for node in ("a", "a"):
        world.run(node, labels={"app": "web"})
    constraint = {
        "topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    assert world.where(labels={"app": "web"}, topologySpreadConstraints=[constraint]) == "c"


def test_ties_are_broken_by_the_seeded_chance(make_world: Callable[[], Any]) -> None:
    world = make_world()
    for n in range(10):
        world.node(f"n{n}")
    assert len({world.where() for _ in range(50)}) > 5
