"""Invariants of devices (dynamic resource allocation): nobody is given what another has, nor loses what he uses.

A device is allocated to one claim; one that may be allocated more than once to as many as its capacity lasts for. Which
devices are free no API server checks: an allocation that the scheduler made and never learned of may be made again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final, TypeAlias

from sampan.apimachinery.object import Object, dig, key_of, namespace_of, uid_of
from sampan.sim.cause import Cause
from sampan.sim.invariants.pods import amount, is_scheduler
from sampan.sim.world import PODS, Change, GroupResource, World, is_finished, node_of, title

CLAIMS: Final[GroupResource] = ("resource.k8s.io", "resourceclaims")
SLICES: Final[GroupResource] = ("resource.k8s.io", "resourceslices")
DeviceID: TypeAlias = tuple[str, str, str]


def results_of(claim: Object) -> list[Object]:
    """What is allocated to a claim, but for access of administrators."""
    found = dig(claim, "status", "allocation", "devices", "results", default=[])
    return [one for one in found if not one.get("adminAccess")]


def device_of(result: Object) -> DeviceID:
    return result["driver"], result["pool"], result["device"]


class Allocations:
    """See above."""

    name = "allocations"
    resources = (CLAIMS,)

    def __init__(self) -> None:
        self._made_by: dict[str, Cause] = {}
        """Claim's uid → who allocated it."""

    def check(self, world: World, change: Change) -> Iterator[str]:
        old, new = change.old, change.new
        if new is None or not results_of(new) or (old is not None and results_of(old) == results_of(new)):
            return
        self._made_by[uid_of(new)] = change.cause
        mine = {device_of(one) for one in results_of(new)}
        users: defaultdict[DeviceID, list[tuple[Object, Object]]] = defaultdict(list)
        for claim in world.objects[CLAIMS].values():
            for result in results_of(claim):
                if device_of(result) in mine:
                    users[device_of(result)].append((claim, result))
        for device, holders in sorted(users.items()):
            if not any(self._made_by[uid_of(claim)].lost for claim, _ in holders if uid_of(claim) in self._made_by):
                yield from self._shared(world, new, device, holders)

    def _shared(
        self, world: World, claim: Object, device: DeviceID, holders: list[tuple[Object, Object]]
    ) -> Iterator[str]:
        found = _device(world, device)
        if not (found or {}).get("allowMultipleAllocations"):
            if len(holders) > 1:
                names = ", ".join(title(one) for one, _ in holders)
                yield f"{title(claim)} got device {'/'.join(device)}, which {len(holders)} have now: {names}"
            return
        consumed: Counter[str] = Counter()
        for _, result in holders:
            for name, value in (result.get("consumedCapacity") or {}).items():
                consumed[name] += amount(value)
        shares = [result.get("shareID") for _, result in holders]
        if len(set(shares)) != len(shares) or None in shares:
            yield f"{title(claim)} has a share of {'/'.join(device)} that is not its own: {shares}"
        for name, value in consumed.items():
            room = amount(dig(found or {}, "capacity", name, "value", default="0"))
            if value > room:
                yield f"{title(claim)}: of {room / 1e9:g} {name} of {'/'.join(device)} {value / 1e9:g} are given away"


def _device(world: World, device: DeviceID) -> Object | None:
    driver, pool, name = device
    for one in world.objects[SLICES].values():
        spec = one["spec"]
        if (spec["driver"], spec["pool"]["name"]) == (driver, pool):
            for candidate in spec.get("devices") or ():
                if candidate["name"] == name:
                    return dict(candidate)
    return None


class Reservations:
    """A pod is bound when all its claims are allocated on its node and reserved for it; they stay so until its end."""

    name = "reservations"
    resources = (CLAIMS, PODS)

    def check(self, world: World, change: Change) -> Iterator[str]:
        if change.resource == CLAIMS:
            yield from self._taken_away(world, change)
            return
        old, new = change.old, change.new
        if new is None or old is None or node_of(old) or not node_of(new) or not is_scheduler(change.cause):
            return
        for key in claims_of(new):
            claim = world.get(CLAIMS, key)
            if claim is None or dig(claim, "status", "allocation") is None:
                yield f"{title(new)} was bound though its claim {key} has no devices"
            elif uid_of(new) not in users_of(claim):
                yield f"{title(new)} was bound though its claim {key} is not reserved for it"
            elif any(pool != node_of(new) for _, pool, _ in map(device_of, results_of(claim))):
                yield f"{title(new)} was bound to {node_of(new)}, the devices of its claim {key} are elsewhere"

    def _taken_away(self, world: World, change: Change) -> Iterator[str]:
        old, new = change.old, change.new
        if old is None:
            return
        kept = users_of(new) if new is not None else set()
        lost = users_of(old) - kept
        if new is not None and dig(new, "status", "allocation") is None:
            lost |= users_of(old)
        running = {uid_of(pod): pod for pod in world.pods_in[namespace_of(old)].values() if _needs_it(pod)}
        for uid in sorted(lost & running.keys()):
            yield f"{title(old)} was taken from {title(running[uid])}, which runs"


def _needs_it(pod: Object) -> bool:
    return bool(node_of(pod)) and not is_finished(pod)


def users_of(claim: Object) -> set[str]:
    return {str(one.get("uid")) for one in dig(claim, "status", "reservedFor", default=[])}


def claims_of(pod: Object) -> list[str]:
    """The keys of a pod's claims, as far as they exist."""
    told = dig(pod, "status", "resourceClaimStatuses", default=[])
    made = {one["name"]: one.get("resourceClaimName") for one in told}
    listed = dig(pod, "spec", "resourceClaims", default=[])
    names = (one.get("resourceClaimName") or made.get(one["name"]) for one in listed)
    return [f"{namespace_of(pod)}/{name}" for name in names if name]


def at_rest(world: World) -> Iterator[str]:
    """Nothing is held for pods that are no more; every pod that runs has what it asks for."""
    for claim in world.objects[CLAIMS].values():
        users = users_of(claim)
        pods = {uid_of(pod) for pod in world.pods_in[namespace_of(claim)].values() if not is_finished(pod)}
        if users - pods:
            yield f"{title(claim)} is reserved for pods that are no more"
        made_for = world.owner(claim, PODS)
        if made_for is not None and is_finished(made_for):
            yield f"{title(claim)} is still there, and the pod that it was made for has ended"
        if not users and dig(claim, "status", "allocation") is not None:
            yield f"{title(claim)} has devices, and nobody uses it"
    for pod in world.objects[PODS].values():
        for key in claims_of(pod) if _needs_it(pod) else ():
            found = world.get(CLAIMS, key)
            if found is None or uid_of(pod) not in users_of(found):
                yield f"{title(pod)} runs without {key_of(found) if found else key}"
