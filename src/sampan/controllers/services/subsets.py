"""Subsets: the addresses of Endpoints, by the ports that they have in common.

The same addresses and ports can be written in many ways. `repacked` gives the one that Kubernetes writes: ports that
the same addresses serve, each of them in the same state, stand in one subset, and an address stands in as many subsets
as that takes. Where subsets disagree about an address and a port, it is not ready. Ports of the same name are kept in
subsets of their own, since a client tells the ports of a subset by their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from sampan.apimachinery.object import Object, dig

PortKey: TypeAlias = tuple[str, str, int, str]
"""Name, protocol, number and application protocol."""

Who: TypeAlias = tuple[str, str]
"""An IP and the uid of whoever has it: two objects may have the same IP for a moment."""

READY, NOT_READY = "addresses", "notReadyAddresses"


def repacked(subsets: Iterable[Object]) -> list[Object]:
    """The same addresses and ports, in the order of ports, and in a subset in the order of IP and uid."""
    documents: dict[Who, Object] = {}
    states: dict[PortKey | None, dict[Who, bool]] = {}
    for subset in subsets:
        found = [(who_of(one), one, field == READY) for field in (READY, NOT_READY) for one in subset.get(field) or ()]
        ports: list[PortKey | None] = [port_key(port) for port in subset.get("ports") or ()]
        for port in ports or [None]:
            served = states.setdefault(port, {})
            for who, document, ready in found:
                documents.setdefault(who, document)
                served[who] = ready and served.get(who, True)
    alike: dict[frozenset[tuple[Who, bool]], list[PortKey]] = {}
    for port, served in states.items():
        if served:
            same = alike.setdefault(frozenset(served.items()), [])
            same += [port] if port is not None else []
    packed = [
        (group, _subset(group, dict(who), documents)) for who, same in alike.items() for group in _told_apart(same)
    ]
    return [subset for _, subset in sorted(packed, key=lambda one: one[0])]


def who_of(address: Object) -> Who:
    return address["ip"], dig(address, "targetRef", "uid", default="")


def port_key(port: Object) -> PortKey:
    return port.get("name", ""), port.get("protocol", "TCP"), port.get("port", 0), port.get("appProtocol", "")


def _told_apart(ports: list[PortKey]) -> list[list[PortKey]]:
    """The ports in as few groups as have no name twice, each in order."""
    groups: list[dict[str, PortKey]] = [{}]
    for port in sorted(ports):
        group = next((one for one in groups if port[0] not in one), None)
        if group is None:
            groups.append(group := {})
        group[port[0]] = port
    return [list(group.values()) for group in groups]


def _subset(ports: list[PortKey], served: Mapping[Who, bool], documents: Mapping[Who, Object]) -> Object:
    subset: Object = {}
    for field, wanted in ((READY, True), (NOT_READY, False)):
        if found := [documents[who] for who, ready in sorted(served.items()) if ready is wanted]:
            subset[field] = found
    return {**subset, "ports": [_port(*port) for port in ports]} if ports else subset


def _port(name: str, protocol: str, number: int, application: str) -> Object:
    port: Object = {"name": name} if name else {}
    port |= {"port": number, "protocol": protocol}
    return {**port, "appProtocol": application} if application else port
