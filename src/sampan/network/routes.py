"""Routes to other nodes' pods: a node's pod CIDRs lie behind the node's own address, since all nodes share one link.

`desired` decides, purely, from Node objects; `apply` makes the kernel's table so. Our routes carry a protocol number of
their own, so stale ones of an earlier run are known and removed, and nobody else's are touched.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from sampan.apimachinery.object import Object, dig, name_of

Routes: TypeAlias = dict[str, str]
"""Destination CIDR to gateway address."""

PROTOCOL = 83
"""Marks our routes in `ip route show proto 83`; unassigned in iproute2's rt_protos."""


def desired(nodes: Iterable[Object], own_node: str) -> Routes:
    """The routes that the node `own_node` needs to reach the pods of all others."""
    routes: Routes = {}
    for node in nodes:
        if name_of(node) == own_node:
            continue
        gateways = _internal_addresses(node)
        for cidr in pod_cidrs(node):
            gateway = gateways.get(ipaddress.ip_network(cidr).version)
            if gateway:
                routes[cidr] = gateway
    return routes


def pod_cidrs(node: Object) -> list[str]:
    """`spec.podCIDRs`, or `spec.podCIDR` where only that is set; empty until the node was given one."""
    single = dig(node, "spec", "podCIDR")
    return list(dig(node, "spec", "podCIDRs", default=[]) or ([single] if single else []))


def difference(current: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[Routes, Routes]:
    """What to set (new or with another gateway) and what to remove."""
    put = {cidr: gateway for cidr, gateway in wanted.items() if current.get(cidr) != gateway}
    return put, {cidr: gateway for cidr, gateway in current.items() if cidr not in wanted}


def apply(wanted: Mapping[str, str]) -> tuple[Routes, Routes]:
    """Make our routes in the calling thread's namespace equal to `wanted`; what was set, what was removed.

    Blocks for some milliseconds. A lone node has nothing to route and never loads the netlink library for it.
    """
    if not wanted and not _has_gateways():
        return {}, {}
    from pyroute2 import IPRoute

    with IPRoute() as table:
        put, remove = difference(_ours(table), wanted)
        for cidr in remove:
            table.route("del", dst=cidr, proto=PROTOCOL, family=_family(cidr))
        for cidr, gateway in put.items():
            table.route("replace", dst=cidr, gateway=gateway, proto=PROTOCOL, family=_family(cidr))
        return put, remove


def _ours(table: object) -> Routes:
    found: Routes = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for route in table.get_routes(family=family):  # type: ignore[attr-defined]
            destination, gateway = route.get_attr("RTA_DST"), route.get_attr("RTA_GATEWAY")
            if route["proto"] == PROTOCOL and destination and gateway:
                found[f"{destination}/{route['dst_len']}"] = gateway
    return found


def _has_gateways() -> bool:
    """True when any route but the default one leads through a gateway; /proc tells without a netlink socket."""
    for line in Path("/proc/thread-self/net/route").read_text().splitlines()[1:]:
        _, destination, gateway, *_ = line.split()
        if int(destination, 16) and int(gateway, 16):
            return True
    return False


def _internal_addresses(node: Object) -> dict[int, str]:
    """The first InternalIP of each family."""
    found: dict[int, str] = {}
    for entry in dig(node, "status", "addresses", default=[]):
        if entry.get("type") == "InternalIP":
            found.setdefault(ipaddress.ip_address(entry["address"]).version, entry["address"])
    return found


def _family(cidr: str) -> int:
    return socket.AF_INET6 if ":" in cidr else socket.AF_INET
