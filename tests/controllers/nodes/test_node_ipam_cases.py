"""Node IPAM, case by case as upstream's tests of its range allocator and its sets of subnets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from ipaddress import ip_network

import pytest
from prometheus_client import CollectorRegistry
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import NODES
from sampan.apimachinery.object import Object
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.manager import ControllerManager
from sampan.controllers.nodes.node_ipam import Occupancy, next_free, plan
from sampan.controllers.nodes.node_ranges import NodeRange, network_of, ranges_of
from sampan.reconcile.measures import families
from sampan.reconcile.plan import NOTHING


def ranges(cidr: str, *sizes: int) -> tuple[NodeRange, ...]:
    """The ranges, the size of a node's subnet in each given in their order."""
    networks = [network_of(one) for one in cidr.split(",")]
    by_family = {f"node_cidr_mask_size_ipv{one.version}": size for one, size in zip(networks, sizes, strict=True)}
    return ranges_of(ControllerManagerConfig(cluster_cidr=cidr, **by_family))  # type: ignore[arg-type]


def given(make, whole: Sequence[NodeRange], taken: Sequence[str] = ()) -> list[str] | None:
    """What a new node gets; None: nothing, as its event says."""
    decided = plan(make.node(), taken, whole)
    if not decided.steps:
        [note] = decided.notes
        assert (note.type, note.reason) == ("Normal", "CIDRNotAvailable")
        assert note.message == "Node n1 status is now: CIDRNotAvailable"
        return None
    return list(decided.steps[0].patch["spec"]["podCIDRs"])


@pytest.mark.parametrize(("cidr", "sizes", "taken", "wanted"), [
    ("127.123.234.0/24", [30], [], ["127.123.234.0/30"]),
    ("127.123.234.0/24", [30], ["127.123.234.0/26"], ["127.123.234.64/30"]),
    ("127.123.234.0/24", [30], ["127.123.234.0/26", *(f"127.123.234.{at}/30" for at in (64, 68, 72, 80))],
     ["127.123.234.76/30"]),
    ("127.123.234.0/8,ace:cab:deca::/84", [24, 98], ["127.123.234.0/26"], ["127.0.0.0/24", "ace:cab:deca::/98"]),
    ("ace:cab:deca::/84,127.123.234.0/8", [98, 24], ["127.0.0.0/26"], ["ace:cab:deca::/98", "127.0.1.0/24"]),
    ("10.10.0.0/22", [24], ["10.10.0.0/24", "10.10.2.0/24"], ["10.10.1.0/24"]),
    ("127.123.234.0/28", [30], [f"127.123.234.{at}/30" for at in (0, 4, 8, 12)], None),
    ("127.123.234.0/28", [30], [f"127.123.234.{at}/30" for at in (0, 8, 12)], ["127.123.234.4/30"]),
    ("10.0.0.0/24,fd00::/64", [24, 64], ["fd00::/64"], None),
], ids=[
    "the first", "after the services", "what is left", "dual, v4 first", "dual, v6 first", "no double counting",
    "full", "released", "one of two full",
])
def test_what_a_new_node_gets(make, cidr, sizes, taken, wanted) -> None:
    assert given(make, ranges(cidr, *sizes), taken) == wanted


@pytest.mark.parametrize("had", [
    ["10.10.0.1/24"], ["10.10.0.1/24", "a00::/86"], ["172.10.0.1/24"], ["172.10.0.1/24", "a00::/86"],
    ["10.10.0.1/24", "cdd::/86"], ["010.010.0.0/24"],
], ids=["bits of a host", "two", "of another range", "bad v4", "bad v6", "zeros in front"])
def test_what_a_node_has_already_stays_and_is_not_given_again(make, had) -> None:
    """Upstream's controller manager does not start where a node has a subnet of no range; here all goes on."""
    assert plan(make.node(podCIDR=had[0], podCIDRs=had), had, ranges("10.10.0.0/16", 24)) == NOTHING
    free = "10.10.0.0/24" if had[0].startswith("172") else "10.10.1.0/24"
    assert given(make, ranges("10.10.0.0/16", 24), had) == [free]


def test_a_node_that_is_going_gets_nothing(make) -> None:
    node = make.node()
    node["metadata"] |= {"deletionTimestamp": make.now_text, "finalizers": ["example.com/held"]}
    assert plan(node, [], ranges("10.10.0.0/16", 24)) == NOTHING


@pytest.mark.parametrize(("cidr", "size", "number", "subnet"), [
    ("127.123.3.0/16", 24, 0, "127.123.0.0/24"), ("127.123.0.0/16", 24, 15, "127.123.15.0/24"),
    ("192.168.5.219/28", 32, 5, "192.168.5.213/32"), ("127.0.0.0/8", 16, 123, "127.123.0.0/16"),
    ("2001:db8:1234:3::/48", 64, 0, "2001:db8:1234::/64"), ("2001:db8:1234::/48", 64, 15, "2001:db8:1234:f::/64"),
    ("2001:db8:85a3::8a2e:370:7334/50", 63, 6425, "2001:db8:85a3:3232::/63"), ("be00::/8", 16, 0xef, "beef::/16"),
    ("2001:db8:85a3::8a2e:370:7334/32", 48, 6425, "2001:db8:1919::/48"), ("beef::/16", 24, 0x97, "beef:9700::/24"),
    ("2001:db8:1234:ff00::370:7334/56", 72, 6425, "2001:db8:1234:ff19:1900::/72"),
    ("2001:db8:1234:ff00::370:7334/80", 96, 6425, "2001:db8:1234:ff00:0:1919::/96"),
])
def test_subnets_are_numbered(cidr, size, number, subnet) -> None:
    [whole] = ranges(cidr, size)
    assert next(whole.subnets_from(number)) == ip_network(subnet)
    assert whole.number_of(ip_network(subnet)) == number


@pytest.mark.parametrize(("cidr", "size", "other", "numbers"), [
    ("127.0.0.0/8", 16, "127.0.0.0/8", (0, 256)), ("2001:beef:1200::/40", 48, "2001:beef:1200::/40", (0, 256)),
    ("127.0.0.0/8", 16, "127.0.0.0/2", (0, 256)), ("2001:beef:1200::/40", 48, "2001:beef:1234::/34", (0, 256)),
    ("127.0.0.0/8", 16, "127.0.0.0/16", (0, 1)), ("127.0.0.0/8", 32, "127.0.0.0/16", (0, 65536)),
    ("2001:beef:1200::/48", 64, "2001:beef:1200::/48", (0, 65536)), ("127.0.0.0/7", 16, "127.0.0.0/15", (256, 258)),
    ("2001:beef:7f00::/39", 48, "2001:beef:7f00::/47", (256, 258)), ("127.0.0.0/7", 15, "127.0.0.0/15", (128, 129)),
    ("127.0.0.0/7", 18, "127.0.0.0/15", (1024, 1032)), ("2001:beef:7f00::/39", 50, "2001:beef:7f00::/47", (1024, 1032)),
    ("192.168.0.0/16", 24, "127.168.224.0/24", (0, 0)), ("beef::/16", 24, "2001:db00::/24", (0, 0)),
    ("10.0.0.0/16", 24, "fd00::/64", (0, 0)), ("10.0.0.0/16", 24, "10.0.3.128/25", (3, 4)),
])
def test_which_subnets_another_network_takes(cidr, size, other, numbers) -> None:
    [whole] = ranges(cidr, size)
    assert whole.numbers_in(network_of(other)) == range(*numbers)


@pytest.mark.parametrize(("cidr", "size"), [
    ("127.123.234.0/30", 30), ("beef:1234::/30", 30), ("127.123.234.0/16", 24), ("beef:1234::/16", 24),
])
def test_a_whole_range_is_given_once_and_again_when_it_is_free(cidr, size) -> None:
    [whole] = ranges(cidr, size)

    def all_that_is_free(*taken: str) -> list[str]:
        used = [network_of(one) for one in taken]
        while (subnet := next_free(used, whole, 0)) is not None:
            used.append(subnet)
        return [str(one) for one in used[len(taken):]]

    once = all_that_is_free()
    assert len(once) == len(set(once)) == whole.size and all_that_is_free() == once
    half = once[whole.size // 2:]
    assert all_that_is_free(*half, half[0]) == once[:whole.size // 2]


@pytest.mark.parametrize(("cidr", "size", "message"), [
    ("beef:1234::/32", 49, "beef:1234::/32 has more than 2^16 subnets of 49 bits"),
    ("10.0.0.0/26", 24, "a node's mask of 24 bits does not fit into --cluster-cidr 10.0.0.0/26"),
])
def test_sizes_that_do_not_fit_are_refused_and_others_are_not(cidr, size, message) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ranges(cidr, size)
    assert [one.size for one in ranges("127.0.0.0/8,2001:beef:1234:369b::/60", 32, 64)] == [1 << 24, 16]
    assert ranges("10.0.0.0/21", 24)[0].size == 8


@pytest.mark.parametrize("text", ["invalid", "10.0.0.0", "10.0.0.0/33", "10.0.0/24", ""])
def test_what_is_no_range_is_refused(text) -> None:
    with pytest.raises(ValueError, match=r".+"):
        network_of(text)


class Figures:
    """What Prometheus would read of one range."""

    def __init__(self, cidr: str, size: int) -> None:
        self.whole = ranges(cidr, size)
        self.occupancy = Occupancy(self.whole)
        registry = CollectorRegistry()
        registry.register(self)  # type: ignore[arg-type]
        self._registry = registry

    def collect(self):  # type: ignore[no-untyped-def]
        return families(self.occupancy.measures)

    def has(self, name: str) -> float:
        labels = {"clusterCIDR": str(self.whole[0].network)}
        return self._registry.get_sample_value(f"node_ipam_controller_{name}", labels) or 0.0

    def all(self) -> tuple[float, float, float]:
        """Used, allocated and released so far."""
        used = self.has("cidrset_usage_cidrs") * self.whole[0].size
        allocated, released = (self.has(f"cidrset_cidrs_{what}s_total") for what in ("allocation", "release"))
        return used, allocated, released


def node(*cidrs: str) -> Object:
    return {"metadata": {"name": "n"}, "spec": {"podCIDRs": list(cidrs)} if cidrs else {}}


def test_what_is_taken_twice_counts_once_until_nobody_has_it() -> None:
    figures = Figures("10.42.0.0/16", 24)
    changed = figures.occupancy.changed
    for new, wanted in (
        ("10.42.5.0/24", (1, 1, 0)), ("10.42.9.0/24", (2, 2, 0)), ("10.42.8.0/22", (5, 5, 0)),
        ("10.42.9.0/24", (5, 5, 0)),
    ):
        changed(None, node(new))
        assert figures.all() == wanted
    for old, wanted in (("10.42.9.0/24", (5, 5, 0)), ("10.42.8.0/22", (2, 5, 3)), ("10.42.9.0/24", (1, 5, 4))):
        changed(node(old), None)
        assert figures.all() == wanted
    changed(node("10.42.5.0/24"), node("10.42.5.0/24"))
    changed(None, node("192.168.0.0/24"))
    assert figures.all() == (1, 5, 4)


def test_how_much_of_a_range_is_used_and_how_far_it_was_to_a_free_subnet() -> None:
    figures = Figures("10.0.0.0/16", 24)
    for number in range(256):
        figures.occupancy.changed(node(), node(f"10.0.{number}.0/24"))
    assert figures.all() == (256, 256, 0)
    for number in range(256):
        figures.occupancy.changed(node(f"10.0.{number}.0/24"), None)
    figures.occupancy.occupy(["10.0.0.0/16"])
    assert figures.all() == (256, 512, 256) and figures.has("cirdset_max_cidrs") == 256.0
    figures.occupancy.tried(figures.whole[0], 128)
    assert figures.has("cidrset_allocation_tries_per_request_sum") == 128.0
    six = Figures("2001:db8::/48", 64)
    six.occupancy.occupy(["2001:db8::/48", "10.0.0.0/16"])
    assert six.all() == (65536, 65536, 0)


def test_on_a_cluster_a_node_with_a_subnet_of_its_own_does_not_keep_others_from_theirs() -> None:
    async def scenario(lab: Lab) -> None:
        for name, cidrs in (("own", ["192.168.7.9/24"]), ("odd", ["10.244.0.1/24"]), ("new", [])):
            await lab.client.create(NODES, {"metadata": {"name": name}, "spec": {"podCIDRs": cidrs}})

        async def has() -> bool:
            return (await lab.client.get(NODES, "new"))["spec"].get("podCIDRs") == ["10.244.1.0/24"]

        await lab.until(has)

    on_a_cluster(scenario, nodes=0, controllers="node-ipam-controller")


def test_figures_of_a_cluster_count_services_nodes_and_tries() -> None:
    async def scenario(lab: Lab) -> None:
        config = ControllerManagerConfig(
            controllers="node-ipam-controller", cluster_cidr="10.42.0.0/16", service_cidr="10.42.0.0/22",
        )
        manager = ControllerManager(lab.cluster.client_of("system:masters", "system:masters"), config)
        running = asyncio.ensure_future(manager.run())
        registry = CollectorRegistry()
        registry.register(manager)

        def figures() -> tuple[float | None, ...]:
            names = (
                "usage_cidrs", "cidrs_allocations_total", "cidrs_releases_total", "allocation_tries_per_request_sum",
            )
            labels = {"clusterCIDR": "10.42.0.0/16"}
            return tuple(registry.get_sample_value(f"node_ipam_controller_cidrset_{name}", labels) for name in names)

        async def until(*wanted: float | None) -> None:
            async def check() -> bool:
                return figures() == wanted

            await lab.until(check, within_s=60.0, what=f"{wanted}")

        await lab.client.create(NODES, {"metadata": {"name": "a"}})
        await lab.client.create(NODES, {"metadata": {"name": "b"}})
        await until(6 / 256, 6.0, None, 4.0)
        await lab.client.delete(NODES, "a")
        await until(5 / 256, 6.0, 1.0, 4.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    on_a_cluster(scenario, nodes=0, controllers="serviceaccount-controller")
