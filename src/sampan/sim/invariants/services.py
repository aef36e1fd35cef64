"""Invariants of Services: an address and a node port belong to one Service alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sampan.apimachinery.object import Object, dig
from sampan.sim.world import Change, GroupResource, World, title

SERVICES: Final[GroupResource] = ("core", "services")


class ServiceAddresses:
    """No two Services have a cluster address or a node port of a protocol in common, whichever server made them."""

    name = "service addresses"
    resources = (SERVICES,)

    def check(self, world: World, change: Change) -> Iterator[str]:
        new = change.new
        if new is None:
            return
        mine = set(_held_by(new))
        for other in world.objects[SERVICES].values():
            if other is not new:
                for kind, value in sorted(mine & set(_held_by(other))):
                    yield f"{title(new)} and {title(other)} both have {kind} {value}"


def _held_by(service: Object) -> Iterator[tuple[str, str]]:
    for address in dig(service, "spec", "clusterIPs", default=()):
        if address != "None":
            yield "address", str(address)
    for port in dig(service, "spec", "ports", default=()):
        if port.get("nodePort"):
            yield f"{port.get('protocol', 'TCP')} node port", str(port["nodePort"])
