"""Node IPAM: subnets of one range or of two, and what becomes of them."""

from __future__ import annotations

import re

import pytest

from sampan.api.resources import NODES
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.nodes import node_ipam
from sampan.controllers.nodes.node_ranges import ranges_of
from sampan.reconcile.plan import NOTHING
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.loop import run
from sampan.sim.node import node_specs

DUAL = "10.244.0.0/16,fd00:1::/48"


def ranges(cidr: str = "10.244.0.0/16", **sizes: int):
    return ranges_of(ControllerManagerConfig(cluster_cidr=cidr, **sizes))


def test_nodes_get_the_lowest_free_subnet(make) -> None:
    taken = ["10.244.0.0/24", "10.244.2.0/24"]
    [patch] = node_ipam.plan(make.node(), taken, ranges()).steps
    assert patch.patch["spec"] == {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"]}
    assert node_ipam.plan(make.node(podCIDR="10.244.9.0/24"), taken, ranges()) == NOTHING


def test_a_subnet_that_has_just_become_free_is_given_last(make) -> None:
    """From the one after the last that was given on, and round."""
    [whole] = whole_range = ranges("10.244.0.0/22")
    taken: list[str] = []

    def give(start: int) -> str | None:
        steps = node_ipam.plan(make.node(), taken, whole_range, {whole: start}).steps
        return steps[0].patch["spec"]["podCIDR"] if steps else None

    assert [give(start) for start in range(4)] == [f"10.244.{number}.0/24" for number in range(4)]
    taken += ["10.244.0.0/24", "10.244.3.0/24"]
    assert [give(start) for start in range(4)] == [f"10.244.{number}.0/24" for number in (1, 1, 2, 1)]
    taken += ["10.244.2.0/23", "10.244.1.128/25"]
    assert [give(start) for start in range(4)] == [None] * 4
    assert [whole.number_of(subnet) for subnet in whole.subnets_from(2)] == [2, 3, 0, 1]


def test_on_a_cluster_the_subnet_of_a_deleted_node_is_not_the_next_one() -> None:
    async def play() -> None:
        controllers = ControllerManagerConfig(cluster_cidr="10.244.0.0/16")
        async with SimCluster(3, config=SimConfig(node_specs(1), controllers=controllers)) as cluster:

            async def subnet_of(name: str) -> str:
                await cluster.client.create(NODES, {"metadata": {"name": name}})
                found: list[str] = []

                async def check() -> bool:
                    node = await cluster.client.get(NODES, name)
                    found[:] = node["spec"].get("podCIDRs", ())
                    return bool(found)

                await cluster.until(check)
                return found[0]

            first = await subnet_of("a")
            await cluster.client.delete(NODES, "a")
            assert await subnet_of("b") != first

    run(play())


@pytest.mark.parametrize(("cidr", "taken"), [
    ("10.244.0.0/24", ["10.244.0.0/24"]), ("10.244.0.0/16,fd00::/64", ["fd00::/64"]),
])
def test_a_full_range_is_told_and_nothing_is_given_of_another(make, cidr, taken) -> None:
    decided = node_ipam.plan(make.node(), taken, ranges(cidr))
    assert [note.reason for note in decided.notes] == ["CIDRNotAvailable"] and decided.requeue_after_s
    assert not decided.steps


@pytest.mark.parametrize(("cidr", "taken", "given"), [
    (DUAL, [], ["10.244.0.0/24", "fd00:1::/64"]),
    (DUAL, ["10.244.0.0/24", "fd00:1::/64"], ["10.244.1.0/24", "fd00:1:0:1::/64"]),
    (DUAL, ["10.244.0.0/24"], ["10.244.1.0/24", "fd00:1::/64"]),
    ("fd00:1::/48,10.244.0.0/16", [], ["fd00:1::/64", "10.244.0.0/24"]),
    (DUAL, ["10.244.0.0/23", "fd00:1::/62"], ["10.244.2.0/24", "fd00:1:0:4::/64"]),
])
def test_in_a_dual_stack_cluster_a_node_gets_one_of_each(make, cidr, taken, given) -> None:
    [patch] = node_ipam.plan(make.node(), taken, ranges(cidr)).steps
    assert patch.patch["spec"] == {"podCIDR": given[0], "podCIDRs": given}


def test_sizes_are_those_of_the_family_or_the_one_given(make) -> None:
    found = ranges(DUAL, node_cidr_mask_size_ipv4=26, node_cidr_mask_size_ipv6=60)
    [patch] = node_ipam.plan(make.node(), [], found).steps
    assert patch.patch["spec"]["podCIDRs"] == ["10.244.0.0/26", "fd00:1::/60"]
    [patch] = node_ipam.plan(make.node(), [], ranges(node_cidr_mask_size=20)).steps
    assert patch.patch["spec"]["podCIDRs"] == ["10.244.0.0/20"]


@pytest.mark.parametrize(("cidr", "sizes", "message"), [
    ("", {}, "--cluster-cidr must be set"),
    ("10.0.0.0/16,10.1.0.0/16", {}, "an IPv4 and an IPv6 range"),
    ("10.0.0.0/16,fd00::/48,10.1.0.0/16", {}, "at most two ranges, found 3"),
    (DUAL, {"node_cidr_mask_size": 24}, "is for single-stack clusters"),
    ("10.244.0.0/25", {}, "a node's mask of 24 bits does not fit into --cluster-cidr 10.244.0.0/25"),
    ("fd00::/32", {}, "--cluster-cidr fd00::/32 has more than 2^16 subnets of 64 bits"),
])
def test_ranges_that_make_no_sense_are_refused(cidr, sizes, message) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ranges(cidr, **sizes)


def test_on_a_cluster_every_node_gets_its_own_and_none_of_the_services() -> None:
    async def play() -> None:
        controllers = ControllerManagerConfig(cluster_cidr=DUAL, service_cidr="10.244.0.0/23,fd00:1::/62")
        async with SimCluster(3, config=SimConfig(node_specs(3), controllers=controllers)) as cluster:

            async def all_have() -> bool:
                nodes = (await cluster.client.list(NODES))["items"]
                found = sorted(tuple(one["spec"].get("podCIDRs", ())) for one in nodes)
                return found == [(f"10.244.{n + 2}.0/24", f"fd00:1:0:{n + 4:x}::/64") for n in range(3)]

            await cluster.until(all_have)

    run(play())
