"""Node IPAM: gives every node its part of the cluster's pod range, as `spec.podCIDR`.

Each node gets the lowest free subnet of the configured size. What nodes already have is never changed. A subnet is free
again when its node is gone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from sampan.api.resources import NODES
from sampan.apimachinery.object import Object, dig, name_of
from sampan.client.events import NORMAL
from sampan.controllers.config import ControllerManagerConfig
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Note, Patch, Plan

RETRY_S = 30.0


def plan(node: Object, taken: Iterable[str], cluster_cidr: str, mask_size: int) -> Plan:
    """Give `node` a subnet if it has none. `taken` are those of all nodes."""
    if dig(node, "spec", "podCIDR"):
        return NOTHING
    subnet = first_free(taken, cluster_cidr, mask_size)
    if subnet is None:
        text = f"Node {name_of(node)} status is now: CIDRNotAvailable"
        return Plan(notes=(Note(node, NORMAL, "CIDRNotAvailable", text),), requeue_after_s=RETRY_S)
    patch = {"spec": {"podCIDR": subnet, "podCIDRs": [subnet]}}
    return Plan((Patch(NODES, name_of(node), "", patch, missing_ok=True),))


def first_free(taken: Iterable[str], cluster_cidr: str, mask_size: int) -> str | None:
    """The lowest subnet that overlaps none of `taken`."""
    used = [ipaddress.ip_network(text) for text in taken]
    exact = {str(network) for network in used if network.prefixlen == mask_size}
    other = [network for network in used if network.prefixlen != mask_size]
    for subnet in ipaddress.ip_network(cluster_cidr).subnets(new_prefix=mask_size):
        if str(subnet) not in exact and not any(_overlap(subnet, network) for network in other):
            return str(subnet)
    return None


def _overlap(
    a: ipaddress.IPv4Network | ipaddress.IPv6Network, b: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    return a.version == b.version and a.overlaps(b)


class NodeIPAMReconciler:
    """One worker, and a memory of what was just given away, so that no subnet is given twice."""

    def __init__(self, wiring: Wiring, config: ControllerManagerConfig) -> None:
        self._config = config
        self._nodes = wiring.watch(NODES)
        self._given: dict[str, str] = {}

    async def reconcile(self, key: str) -> Plan:
        nodes = {name_of(node): node for node in self._nodes.list()}
        self._given = {name: subnet for name, subnet in self._given.items() if name in nodes}
        node = nodes.get(key)
        if node is None:
            return NOTHING
        taken = [cidr for one in nodes.values() for cidr in _cidrs(one)]
        taken += [subnet for name, subnet in self._given.items() if name != key]
        decided = plan(node, taken, self._config.cluster_cidr, self._config.node_cidr_mask_size)
        for step in decided.steps:
            if isinstance(step, Patch):
                self._given[key] = step.patch["spec"]["podCIDR"]
        return decided


def _cidrs(node: Object) -> list[str]:
    return list(dig(node, "spec", "podCIDRs", default=())) or list(filter(None, [dig(node, "spec", "podCIDR")]))
