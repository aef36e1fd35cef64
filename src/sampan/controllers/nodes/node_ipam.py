"""Node IPAM: gives every node its part of the cluster's pod ranges, as `spec.podCIDRs` (the first also `podCIDR`).

Observed: the nodes and what they have. Desired: each has one subnet of every range: one of a single-stack cluster, one
of each family of a dual-stack cluster. A node without any gets the next free ones in one write, unless it is going;
what nodes already have is never changed, whatever it is, and is free again when its node is gone. The next ones are
those after the last that were given, so that a subnet that has just become free, to which others may still have
connections, is the last to be given again. Addresses of Services are not given to nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network

from sampan.api.resources import NODES
from sampan.apimachinery.object import Object, dig, is_being_deleted, name_of
from sampan.client.events import NORMAL
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.nodes.node_ranges import NodeRange, network_of, ranges_of
from sampan.reconcile.controller import Wiring
from sampan.reconcile.measures import Reading, Spread, Tally, exponential
from sampan.reconcile.plan import NOTHING, Note, Patch, Plan

RETRY_S = 30.0


def plan(
    node: Object, taken: Iterable[str], ranges: Sequence[NodeRange], following: Mapping[NodeRange, int] | None = None
) -> Plan:
    """Give `node` subnets if it has none. `taken` are those of all nodes, and what else must not be given away;
    `following` is the number of the subnet of each range with which to begin."""
    if _cidrs(node) or is_being_deleted(node):
        return NOTHING
    used = [network_of(text) for text in taken]
    subnets = [next_free(used, one, (following or {}).get(one, 0)) for one in ranges]
    found = [str(subnet) for subnet in subnets if subnet is not None]
    if len(found) < len(subnets):
        return Plan(notes=(_told(node, "CIDRNotAvailable"),), requeue_after_s=RETRY_S)
    patch = {"spec": {"podCIDR": found[0], "podCIDRs": found}}
    failed = _told(node, "CIDRAssignmentFailed")
    return Plan((Patch(NODES, name_of(node), "", patch, failed=failed, missing_ok=True),))


def _told(node: Object, what: str) -> Note:
    return Note(node, NORMAL, what, f"Node {name_of(node)} status is now: {what}")


def next_free(
    used: Iterable[IPv4Network | IPv6Network], whole: NodeRange, start: int
) -> IPv4Network | IPv6Network | None:
    """The first subnet of a range, from number `start` on and round, that overlaps nothing that is used."""
    same_family = [one for one in used if one.version == whole.network.version]
    exact = {one for one in same_family if one.prefixlen == whole.mask_size}
    other = [one for one in same_family if one.prefixlen != whole.mask_size]
    for subnet in whole.subnets_from(start):
        if subnet not in exact and not any(subnet.overlaps(one) for one in other):
            return subnet
    return None


class Occupancy:
    """How much of the ranges is taken, by nodes and by Services, for Prometheus."""

    def __init__(self, ranges: Sequence[NodeRange]) -> None:
        self._taken: dict[NodeRange, Counter[int]] = {one: Counter() for one in ranges}
        self._allocations, self._releases = (
            Tally(f"node_ipam_controller_cidrset_cidrs_{what}s_total",
                  f"Counter measuring total number of CIDR {what}s.", ("clusterCIDR",))
            for what in ("allocation", "release")
        )
        self._tries = Spread(
            "node_ipam_controller_cidrset_allocation_tries_per_request",
            "Number of endpoints added on each Service sync", exponential(1, 5, 5), ("clusterCIDR",),
        )
        self.measures = (self._allocations, self._releases, self._tries, Reading(
            "node_ipam_controller_cidrset_usage_cidrs", "Gauge measuring percentage of allocated CIDRs.",
            ("clusterCIDR",), lambda: {(str(one.network),): len(taken) / one.size for one, taken in self._taken.items()}
        ), Reading(
            "node_ipam_controller_cirdset_max_cidrs", "Maximum number of CIDRs that can be allocated.",
            ("clusterCIDR",), lambda: {(str(one.network),): float(one.size) for one in self._taken},
        ))

    def changed(self, old: Object | None, new: Object | None) -> None:
        """A node appears, gets its subnets, or goes."""
        before, after = (set(_cidrs(node)) if node is not None else set() for node in (old, new))
        self.occupy(after - before)
        self._release(before - after)

    def occupy(self, cidrs: Iterable[str]) -> None:
        """These are taken. Subnets that were taken before count once."""
        for one, numbers in self._numbers(cidrs):
            new = [number for number in numbers if number not in self._taken[one]]
            self._taken[one].update(numbers)
            self._allocations.add(str(one.network), amount=float(len(new)))

    def tried(self, whole: NodeRange, tries: int) -> None:
        """So many subnets were taken before a free one was found."""
        self._tries.observe(float(tries), str(whole.network))

    def _release(self, cidrs: Iterable[str]) -> None:
        for one, numbers in self._numbers(cidrs):
            taken = self._taken[one]
            taken.subtract(numbers)
            free = [number for number in numbers if taken[number] <= 0]
            for number in free:
                del taken[number]
            self._releases.add(str(one.network), amount=float(len(free)))

    def _numbers(self, cidrs: Iterable[str]) -> Iterable[tuple[NodeRange, range]]:
        for text in cidrs:
            for one in self._taken:
                if numbers := one.numbers_in(network_of(text)):
                    yield one, numbers


class NodeIPAMReconciler:
    """One worker, and a memory of what was just given away, so that no subnet is given twice."""

    def __init__(self, wiring: Wiring, config: ControllerManagerConfig) -> None:
        self._ranges = ranges_of(config)
        self._kept = [text for text in config.service_cidr.split(",") if text]
        self._nodes = wiring.watch(NODES)
        self._given: dict[str, Sequence[str]] = {}
        self._following: dict[NodeRange, int] = {}
        self._occupancy = Occupancy(self._ranges)
        self._occupancy.occupy(self._kept)
        wiring.hear(NODES, self._occupancy.changed)
        wiring.measure(*self._occupancy.measures)

    async def reconcile(self, key: str) -> Plan:
        present = self._nodes.get_by_key(key)
        if present is None or _cidrs(present) or is_being_deleted(present):
            return NOTHING  # as nearly always: nodes change all the time
        nodes = {name_of(node): node for node in self._nodes.list()}
        self._given = {name: subnets for name, subnets in self._given.items() if name in nodes}
        taken = [cidr for one in nodes.values() for cidr in _cidrs(one)]
        taken += [subnet for name, subnets in self._given.items() if name != key for subnet in subnets]
        decided = plan(present, [*taken, *self._kept], self._ranges, self._following)
        for step in decided.steps:
            if isinstance(step, Patch):
                self._given[key] = step.patch["spec"]["podCIDRs"]
                for one, subnet in zip(self._ranges, self._given[key], strict=True):
                    number = one.number_of(network_of(subnet))
                    self._occupancy.tried(one, (number - self._following.get(one, 0)) % one.size)
                    self._following[one] = (number + 1) % one.size
        return decided


def _cidrs(node: Object) -> list[str]:
    return list(dig(node, "spec", "podCIDRs", default=())) or list(filter(None, [dig(node, "spec", "podCIDR")]))
