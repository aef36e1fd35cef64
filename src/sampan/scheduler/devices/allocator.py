"""Allocator: devices for all requests of some claims on one node, all or nothing.

A depth-first search: request after request, device after device, back when a constraint, a taken device or an empty
counter forbids it. Devices are tried in the order of their pools and slices, alternatives in the order in which they
are written, so the same cluster always gives the same answer.

What is taken is given: devices of other claims (administrative access takes nothing), and of shared counters what those
devices consume. A device that allows multiple allocations is not taken, but its capacity is consumed (`capacity.py`);
it may satisfy several requests, and one request several times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan import effects
from sampan.apimachinery.quantity import Quantity
from sampan.scheduler.devices.capacity import Consumption, consumption, fits, full_name
from sampan.scheduler.devices.device import Device, DeviceID, Pool
from sampan.scheduler.devices.request import ClaimRequests, Constraint, Wanted
from sampan.scheduler.devices.selector import Selectors
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.taints import tolerated

_ZERO = Quantity.of(0)
_HARD = ("NoSchedule", "NoExecute")
_STEPS_BETWEEN_LOOKS = 64
"""At the clock."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A device for (one way to satisfy) a request of a claim."""

    wanted: Wanted
    device: Device
    consumed: Consumption | None = None
    """What the share takes, if the device is shared."""


class OutOfTime(Exception):
    """The search took too long."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """All pools, which devices are taken, and what is consumed of those that are shared (in nanos)."""

    pools: Sequence[Pool]
    taken: frozenset[DeviceID]
    selectors: Selectors
    consumed: Mapping[DeviceID, Mapping[str, int]] = field(default_factory=dict)


def allocate(
    inventory: Inventory, claims: Sequence[ClaimRequests], node: NodeInfo, timeout_s: float = 0.0
) -> list[list[Chosen]] | None:
    """For each claim the devices chosen on the node; None if not all can be had. A timeout of 0 is none.

    Raises SelectorError, CapacityError and OutOfTime.
    """
    search = _Search(inventory, node, claims, effects.monotonic() + timeout_s if timeout_s else 0.0)
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
    _deadline: float = 0.0
    _steps: int = 0
    _chosen: list[list[Chosen]] = field(default_factory=list)
    _used: dict[DeviceID, None] = field(default_factory=dict)
    _left: dict[tuple[str, str, str, str], Quantity] = field(default_factory=dict)
    """Of each counter (driver, pool, set, name)."""
    _shares: dict[DeviceID, list[Consumption]] = field(default_factory=dict)
    """What this search consumes of shared devices."""
    _fitting: dict[tuple[int, str], tuple[Device, ...] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pool in self._inventory.pools:
            for (shared, name), amount in pool.counters.items():
                self._left[pool.driver, pool.name, shared, name] = amount
            for device in pool.devices:
                if device.id in self._inventory.taken or device.id in self._inventory.consumed:
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
        if not count or (len(devices) < count and not any(device.is_shared for device in devices)):
            return False
        return self._device(_Step(position, number, wanted, devices), count, 0)

    def _device(self, step: _Step, missing: int, start: int) -> bool:
        """Take `missing` more devices, from `start` on, and satisfy all that follows."""
        position, wanted = step.position, step.wanted
        if not missing:
            return self._request(position, step.number + 1)
        self._check_time()
        for place in range(start, len(step.devices)):
            device = step.devices[place]
            if not self._may_take(position, wanted, device):
                if not wanted.count:
                    return False  # all means all
                continue
            self._take(position, wanted, device)
            if self._device(step, missing - 1, place if device.is_shared and wanted.count else place + 1):
                return True
            self._put_back(position, wanted, device)
        return False

    def _may_take(self, position: int, wanted: Wanted, device: Device) -> bool:
        if not wanted.admin and (device.id in self._used or device.id in self._inventory.taken):
            return False
        if (wanted.admin or not device.is_shared) and any(
            chosen.device.id == device.id for chosen in self._chosen[position] if chosen.wanted is wanted
        ):
            return False
        constraints = self._claims[position].constraints
        if any(one.concerns(wanted) and not self._agrees(position, one, device) for one in constraints):
            return False
        if wanted.admin:
            return True
        if device.is_shared:
            if not self._has_capacity(wanted, device):
                return False
            if device.id in self._shares or device.id in self._inventory.consumed:
                return True  # its counters are consumed already
        return all(
            self._left.get((*device.id[:2], shared, name), _ZERO).nanos >= amount.nanos
            for shared, name, amount in device.consumed
        )

    def _has_capacity(self, wanted: Wanted, device: Device) -> bool:
        amounts = consumption(device, wanted.capacity)
        others = [{name: one.nanos for name, one in share.items()} for share in self._shares.get(device.id, ())]
        return amounts is not None and fits(device, amounts, self._inventory.consumed.get(device.id, {}), *others)

    def _check_time(self) -> None:
        self._steps += 1
        if self._deadline and self._steps % _STEPS_BETWEEN_LOOKS == 0 and effects.monotonic() > self._deadline:
            raise OutOfTime

    def _agrees(self, position: int, constraint: Constraint, device: Device) -> bool:
        value = device.attribute(constraint.attribute)
        if value is None:
            return False
        others = [
            chosen.device.attribute(constraint.attribute) for chosen in self._chosen[position]
            if constraint.concerns(chosen.wanted)
        ]
        kind, values = value
        if constraint.distinct:
            return all(other is None or other[0] != kind or values.isdisjoint(other[1]) for other in others)
        if any(other is None or other[0] != kind for other in others):
            return False
        return bool(values.intersection(*(other[1] for other in others if other is not None)))

    def _take(self, position: int, wanted: Wanted, device: Device) -> None:
        if wanted.admin:
            self._chosen[position].append(Chosen(wanted, device))
        elif device.is_shared:
            amounts = consumption(device, wanted.capacity)
            assert amounts is not None, "what may be taken has what is asked"
            self._chosen[position].append(Chosen(wanted, device, amounts))
            shares = self._shares.setdefault(device.id, [])
            if not shares and device.id not in self._inventory.consumed:
                self._consume(device, -1)
            shares.append(amounts)
        else:
            self._chosen[position].append(Chosen(wanted, device))
            self._used[device.id] = None
            self._consume(device, -1)

    def _put_back(self, position: int, wanted: Wanted, device: Device) -> None:
        self._chosen[position].pop()
        if wanted.admin:
            return
        if not device.is_shared:
            del self._used[device.id]
            self._consume(device, 1)
            return
        shares = self._shares[device.id]
        shares.pop()
        if not shares:
            del self._shares[device.id]
            if device.id not in self._inventory.consumed:
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
            and (not wanted.capacity or consumption(device, wanted.capacity) is not None)
            and all(self._inventory.selectors.match(device, some, whose) for whose, some in wanted.selectors)
            and (wanted.admin or all(
                taint.get("effect") not in _HARD or tolerated(taint, wanted.tolerations) for taint in device.taints
            ))
        )


def allocated(results: Mapping[str, Sequence[Mapping[str, object]]]) -> Iterator[DeviceID]:
    """The devices that an AllocationResult's `devices` has alone; administrative access takes none."""
    for result in results.get("results") or ():
        if not result.get("adminAccess") and not result.get("shareID"):
            yield str(result["driver"]), str(result["pool"]), str(result["device"])


def shares(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[tuple[DeviceID, dict[str, int]]]:
    """The shared devices of an AllocationResult's `devices`, and what of their capacity each share takes (in nanos)."""
    for result in results.get("results") or ():
        if result.get("shareID"):
            driver = str(result["driver"])
            yield (driver, str(result["pool"]), str(result["device"])), {
                full_name(name, driver): Quantity.parse(amount).nanos
                for name, amount in (result.get("consumedCapacity") or {}).items()
            }
