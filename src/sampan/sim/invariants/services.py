"""Invariants of Services: an address and a node port belong to one Service alone; nobody is sent to who is going."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sampan.apimachinery.object import Object, dig, is_being_deleted, uid_of
from sampan.sim.world import PODS, Change, GroupResource, World, is_finished, is_ready, title

SERVICES: Final[GroupResource] = ("core", "services")
SLICES: Final[GroupResource] = ("discovery.k8s.io", "endpointslices")
ENDPOINTS: Final[GroupResource] = ("core", "endpoints")


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


class Endpoints:
    """An endpoint is said to be ready, serving or terminating only if its pod was so when the controller looked."""

    name = "endpoints"
    resources = (PODS, SLICES, ENDPOINTS)

    def check(self, world: World, change: Change) -> Iterator[str]:
        new = change.new
        if change.resource == PODS:
            state = (False, False) if new is None else (is_ready(new) and not is_finished(new), is_being_deleted(new))
            world.note(uid_of(change.obj), "serves", state)
        elif new is not None and change.cause.by in ("endpointslice-controller", "endpoint-controller"):
            informed = world.informed_until_s(change.cause)
            for uid, name, ready, terminating in _listed(new):
                states = world.lately(uid, "serves", informed)
                if states and not any(serves and not goes for serves, goes in states) and ready:
                    yield f"{title(new)} says that {name} is ready, and it is not, or goes"
                if terminating is not None and states and all(goes is not terminating for _, goes in states):
                    yield f"{title(new)} says that {name} is {'' if terminating else 'not '}going"


def _listed(obj: Object) -> Iterator[tuple[str, str, bool, bool | None]]:
    """Of each pod in a slice or an Endpoints object: uid, name, whether it is said to be ready, to be going."""
    for endpoint in obj.get("endpoints") or []:
        target, told = endpoint.get("targetRef") or {}, endpoint.get("conditions") or {}
        yield target.get("uid", ""), target.get("name", ""), bool(told.get("ready")), told.get("terminating")
    for subset in obj.get("subsets") or []:
        for address in subset.get("addresses") or []:
            target = address.get("targetRef") or {}
            yield target.get("uid", ""), target.get("name", ""), True, None
