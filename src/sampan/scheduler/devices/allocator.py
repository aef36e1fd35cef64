"""Allocator: devices for all requests of some claims on one node, all or nothing.

A depth-first search: request after request, device after device, back when a constraint, a taken device or an empty
counter forbids it. Devices are tried in the order of their pools and slices, alternatives in the order in which they
are written, so the same cluster always gives the same answer.

What is taken is given: devices of other claims (administrative access takes nothing), and of shared counters what those
devices consume.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sampan.apimachinery.quantity import Quantity
from sampan.scheduler.devices.device import Device, DeviceID, Pool
from sampan.scheduler.devices.request import ClaimRequests, Constraint, Wanted
from sampan.scheduler.devices.selector import Selectors
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.taints import tolerated

_ZERO = Quantity.of(0)
_HARD = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A device for (one way to satisfy) a request of a claim."""

    wanted: Wanted
    device: Device


@dataclass(frozen=True, slots=True)
class Inventory:
    """All pools, and which devices are taken."""

    pools: Sequence[Pool]
    taken: frozenset[DeviceID]
    selectors: Selectors


def allocate(inventory: Inventory, claims: Sequence[ClaimRequests], node: NodeInfo) -> list[list[Chosen]] | None:
    """For each claim the devices chosen on the node; None if not all can be had. Raises SelectorError."""
    search = _Search(inventory, node, claims)
    return search.result() if search.claim(0) else None


@dataclass(frozen=True, slots=True)
class _Step:
    """The request (by claim and place) that is being satisfied in one way, and the devices that would do."""

    position: int
    number: int
    wanted: Wanted
    devices: Sequence[Device]


@dataclass(slots=True)
class _Search:
    _inventory: Inventory
    _node: NodeInfo
    _claims: Sequence[ClaimRequests]
    _chosen: list[list[Chosen]] = field(default_factory=list)
    _used: dict[DeviceID, None] = field(default_factory=dict)
    _left: dict[tuple[str, str, str, str], Quantity] = field(default_factory=dict)
    """Of each counter (driver, pool, set, name)."""
    _fitting: dict[tuple[int, str], tuple[Device, ...] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pool in self._inventory.pools:
            for (shared, name), amount in pool.counters.items():
                self._left[pool.driver, pool.name, shared, name] = amount
            for device in pool.devices:
                if device.id in self._inventory.taken:
                    self._consume(device, -1)

    def result(self) -> list[list[Chosen]]:
        return self._chosen

    def claim(self, position: int) -> bool:
        """Satisfy this claim and all after it."""
        if position == len(self._claims):
            return True
        self._chosen.append([])
        if self._request(position, 0):
            return True
        self._chosen.pop()
        return False

    def _request(self, position: int, number: int) -> bool:
        """Satisfy this request of the claim and all that follows."""
        requests = self._claims[position].requests
        if number == len(requests):
            return self.claim(position + 1)
        return any(self._alternative(position, number, wanted) for wanted in requests[number])

    def _alternative(self, position: int, number: int, wanted: Wanted) -> bool:
        devices = self._devices(position, wanted)
        if devices is None:
            return False
        count = wanted.count or len(devices)
        if not count or len(devices) < count:
            return False
        return self._device(_Step(position, number, wanted, devices), count, 0)

    def _device(self, step: _Step, missing: int, start: int) -> bool:
        """Take `missing` more devices, from `start` on, and satisfy all that follows."""
        position, wanted = step.position, step.wanted
        if not missing:
            return self._request(position, step.number + 1)
        for place in range(start, len(step.devices) - missing + 1):
            device = step.devices[place]
            if not self._may_take(position, wanted, device):
                if not wanted.count:
                    return False  # all means all
                continue
            self._take(position, wanted, device)
            if self._device(step, missing - 1, place + 1):
                return True
            self._put_back(position, wanted, device)
        return False

    def _may_take(self, position: int, wanted: Wanted, device: Device) -> bool:
        if not wanted.admin and (device.id in self._used or device.id in self._inventory.taken):
            return False
        if any(chosen.device.id == device.id for chosen in self._chosen[position] if chosen.wanted is wanted):
            return False
        constraints = self._claims[position].constraints
        if any(one.concerns(wanted) and not self._agrees(position, one, device) for one in constraints):
            return False
        return wanted.admin or all(
            self._left.get((*device.id[:2], shared, name), _ZERO).nanos >= amount.nanos
            for shared, name, amount in device.consumed
        )

    def _agrees(self, position: int, constraint: Constraint, device: Device) -> bool:
        value = device.attribute(constraint.attribute)
        if value is None:
            return False
        others = [
            chosen.device.attribute(constraint.attribute) for chosen in self._chosen[position]
            if constraint.concerns(chosen.wanted)
        ]
        return value not in others if constraint.distinct else all(other == value for other in others)

    def _take(self, position: int, wanted: Wanted, device: Device) -> None:
        self._chosen[position].append(Chosen(wanted, device))
        if not wanted.admin:
            self._used[device.id] = None
            self._consume(device, -1)

    def _put_back(self, position: int, wanted: Wanted, device: Device) -> None:
        self._chosen[position].pop()
        if not wanted.admin:
            del self._used[device.id]
            self._consume(device, 1)

    def _consume(self, device: Device, sign: int) -> None:
        for shared, name, amount in device.consumed:
            key = (*device.id[:2], shared, name)
            left = self._left.get(key, _ZERO)
            self._left[key] = Quantity(left.nanos + sign * amount.nanos, left.format)

    def _devices(self, position: int, wanted: Wanted) -> tuple[Device, ...] | None:
        """The devices that the request selects on this node, taken or not; None if not all of them are known."""
        key = (position, wanted.name)
        if key not in self._fitting:
            self._fitting[key] = self._select(wanted)
        return self._fitting[key]

    def _select(self, wanted: Wanted) -> tuple[Device, ...] | None:
        found: list[Device] = []
        for pool in self._inventory.pools:
            matching = [device for device in pool.devices if self._matches(wanted, device)]
            if not wanted.count and not pool.is_complete and any(device.is_on(self._node) for device in pool.devices):
                return None
            found += matching
        return tuple(found)

    def _matches(self, wanted: Wanted, device: Device) -> bool:
        return (
            device.is_on(self._node)
            and all(self._inventory.selectors.match(device, some, whose) for whose, some in wanted.selectors)
            and (wanted.admin or all(
                taint.get("effect") not in _HARD or tolerated(taint, wanted.tolerations) for taint in device.taints
            ))
        )


def allocated(results: Mapping[str, Sequence[Mapping[str, object]]]) -> Iterator[DeviceID]:
    """The devices that an AllocationResult's `devices` takes; administrative access takes none."""
    for result in results.get("results") or ():
        if not result.get("adminAccess"):
            yield str(result["driver"]), str(result["pool"]), str(result["device"])
