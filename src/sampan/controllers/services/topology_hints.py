"""Hints: which zone's or node's clients an endpoint is best for, so that traffic stays near.

A Service asks for them in one of two ways. `spec.trafficDistribution` names what to prefer, and each ready endpoint
says its own place: its zone (PreferSameZone, and PreferClose as it was called), or its node and zone (PreferSameNode).
The annotation `service.kubernetes.io/topology-mode: Auto` instead gives each zone a share of the endpoints in
proportion to its nodes' CPUs, so that no zone's endpoints are overloaded: a zone with more than its share lends some to
a zone with less. That is given up, with an Event, where it cannot be done well: a node or an endpoint without a zone,
fewer than two zones, fewer endpoints than zones, or a zone that would get a fifth more load than its share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sampan.apimachinery.object import Object, annotations_of, dig, labels_of, name_of
from sampan.apimachinery.quantity import milli_value
from sampan.controllers.pods import is_ready

ZONE = "topology.kubernetes.io/zone"
MODE = "service.kubernetes.io/topology-mode"
OLD_MODE = "service.kubernetes.io/topology-aware-hints"
ENABLED, DISABLED = "TopologyAwareHintsEnabled", "TopologyAwareHintsDisabled"
OVERLOAD = 0.2
_SAME_ZONE, _SAME_NODE = ("PreferClose", "PreferSameZone"), "PreferSameNode"
_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


@dataclass(frozen=True, slots=True)
class Topology:
    """The zone of each node (empty if it has none), and the share of the ready nodes' CPUs that each zone has."""

    zones: Mapping[str, str] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, nodes: Iterable[Object]) -> Topology:
        zones: dict[str, str] = {}
        cpus: dict[str, int] = {}
        usable = True
        for node in nodes:
            labels = labels_of(node)
            zone = zones[name_of(node)] = labels.get(ZONE, "")
            if is_ready(node) and not any(role in labels for role in _CONTROL_PLANE):
                cpu = milli_value(dig(node, "status", "allocatable", "cpu", default="0"))
                cpus[zone] = cpus.get(zone, 0) + cpu
                usable = usable and bool(zone and cpu)
        total = sum(cpus.values())
        return cls(zones, {zone: cpu / total for zone, cpu in sorted(cpus.items())} if usable else {})


def node_facts(node: Object) -> object:
    """What of a node decides on a `Topology`."""
    return labels_of(node), is_ready(node), dig(node, "status", "allocatable", "cpu")


def is_automatic(service: Object) -> bool:
    """Whether zones are to get endpoints by their share."""
    found = annotations_of(service)
    return found.get(OLD_MODE, found.get(MODE)) in ("Auto", "auto")


def add_hints(service: Object, endpoints: Sequence[Object], topology: Topology) -> str:
    """Write the hints into `endpoints`, which have none. Returns why there are none although they were asked for."""
    ready = [endpoint for endpoint in endpoints if endpoint["conditions"].get("ready")]
    distribution = dig(service, "spec", "trafficDistribution")
    if is_automatic(service):
        return _by_share(ready, topology.shares)
    if distribution in (*_SAME_ZONE, _SAME_NODE):
        for endpoint in ready:
            hints: Object = {}
            if distribution == _SAME_NODE and endpoint.get("nodeName"):
                hints["forNodes"] = [{"name": endpoint["nodeName"]}]
            if endpoint.get("zone"):
                hints["forZones"] = [{"name": endpoint["zone"]}]
            if hints:
                endpoint["hints"] = hints
    return ""


def _by_share(ready: Sequence[Object], shares: Mapping[str, float]) -> str:
    if len(shares) < 2:
        return "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
    if len(ready) < len(shares):
        return f"Insufficient number of endpoints ({len(ready)} endpoints, {len(shares)} zones)"
    desired = {zone: share * len(ready) for zone, share in shares.items()}
    fewest = {zone: math.ceil(wanted / (1 + OVERLOAD)) for zone, wanted in desired.items()}
    if sum(fewest.values()) > len(ready):
        text = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
        return f"{text} ({len(ready)} endpoints, {len(shares)} zones)"
    if any(not endpoint.get("zone") for endpoint in ready):
        return "One or more endpoints do not have a zone specified"
    members: dict[str, list[Object]] = {zone: [] for zone in desired}
    for endpoint in ready:
        members.setdefault(endpoint["zone"], []).append(endpoint)
    _lend(members, {zone: max(wanted, fewest[zone]) for zone, wanted in desired.items()})
    for zone, lent in members.items():
        for endpoint in lent:
            endpoint["hints"] = {"forZones": [{"name": zone}]}
    return ""


def _lend(members: dict[str, list[Object]], desired: Mapping[str, float]) -> None:
    """Move endpoints from the zone that is furthest above its share to the one furthest below. The first of a zone go
    first. Rather than a slightly better balance, an endpoint stays with its own zone."""
    spare = {zone: len(found) - desired.get(zone, 0.0) for zone, found in members.items()}
    while True:
        giver, taker = max(sorted(spare), key=spare.__getitem__), min(sorted(spare), key=spare.__getitem__)
        extra, lack = spare[giver], -spare[taker]
        if extra < 0.5 or lack < 0.5 or max(extra, lack) < 1.0:
            return
        members[taker].append(members[giver].pop(0))
        spare[giver] -= 1
        spare[taker] += 1
