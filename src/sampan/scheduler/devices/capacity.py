"""Consumable capacity: what a request takes of a device that may be allocated several times (KEP-5075).

Such a device has no owner. Each allocation is a share with an id of its own, and consumes some of every capacity that
the device has: what is asked, rounded up as the capacity's policy says; of what is not asked the policy's default, or
all of it. Of a device that is allocated once the requested capacities need only be there.

Names are full here, `domain/name`; what a driver or a request leaves unqualified is in the driver's domain. If a device
has a capacity under both spellings, the qualified one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from sampan.apimachinery.object import Object
from sampan.apimachinery.quantity import Quantity
from sampan.scheduler.devices.device import Device

Consumption: TypeAlias = Mapping[str, Quantity]
"""By full name."""


class CapacityError(Exception):
    """A request contradicts itself."""


def consumption(device: Device, requested: Mapping[str, str]) -> Consumption | None:
    """What one share takes; None if the device does not have it or its policy forbids it. Raises CapacityError."""
    offered = published(device)
    asked: dict[str, Quantity] = {}
    for name, amount in requested.items():
        full = full_name(name, device.driver)
        if full not in offered:
            return None
        if full in asked:
            short = full.rpartition("/")[2]
            raise CapacityError(f'capacity "{short}" requested both as "{short}" and as "{full}"')
        asked[full] = Quantity.parse(amount)
    taken: dict[str, Quantity] = {}
    for full, (_, capacity) in offered.items():
        value, policy = Quantity.parse(capacity["value"]), capacity.get("requestPolicy")
        share = _consumed(asked.get(full), value, policy)
        if share.nanos > value.nanos or _is_forbidden(share, policy):
            return None
        taken[full] = share
    return taken


def published(device: Device) -> dict[str, tuple[str, Object]]:
    """The device's capacities by full name, each with the name under which the driver published it."""
    found: dict[str, tuple[str, Object]] = {}
    for name, capacity in (device.document.get("capacity") or {}).items():
        full = full_name(name, device.driver)
        if full not in found or name == full:
            found[full] = name, capacity if isinstance(capacity, dict) else {"value": capacity}
    return found


def full_name(name: str, driver: str) -> str:
    return name if "/" in name else f"{driver}/{name}"


def fits(device: Device, amounts: Consumption, *taken: Mapping[str, int]) -> bool:
    """Whether the device still has these amounts, beside what others take of it (in nanos, by full name)."""
    for full, (_, capacity) in published(device).items():
        total = amounts[full].nanos + sum(one.get(full, 0) for one in taken)
        if total > Quantity.parse(capacity["value"]).nanos:
            return False
    return True


def told(device: Device, amounts: Consumption) -> Object:
    """`consumedCapacity` of an allocation result."""
    return {name: str(amounts[full]) for full, (name, _) in published(device).items()}


def _consumed(asked: Quantity | None, value: Quantity, policy: Object | None) -> Quantity:
    if asked is None:
        default = (policy or {}).get("default")
        return value if default is None else Quantity.parse(default)
    if policy is None:
        return asked
    limits = policy.get("validRange")
    if limits is not None:
        return _rounded_into(asked, limits)
    allowed = [Quantity.parse(one) for one in policy.get("validValues") or ()]
    return next((one for one in allowed if one.nanos >= asked.nanos), asked)


def _rounded_into(asked: Quantity, limits: Object) -> Quantity:
    """Up to the minimum, or to the next step from there."""
    least = Quantity.parse(limits.get("min") or 0)
    if asked.nanos < least.nanos:
        return least
    if limits.get("step") is None:
        return asked
    step = Quantity.parse(limits["step"])
    steps = -(-(asked.nanos - least.nanos) // step.nanos) if step.nanos else 0
    return Quantity(least.nanos + steps * step.nanos, step.format)


def _is_forbidden(amount: Quantity, policy: Object | None) -> bool:
    if policy is None:
        return False
    if policy.get("default") is not None and Quantity.parse(policy["default"]).nanos == amount.nanos:
        return False
    limits = policy.get("validRange")
    if limits is not None:
        if limits.get("max") is not None and amount.nanos > Quantity.parse(limits["max"]).nanos:
            return True
        step = Quantity.parse(limits["step"]).nanos if limits.get("step") is not None else 0
        return bool(step and (amount.nanos - Quantity.parse(limits.get("min") or 0).nanos) % step)
    allowed = policy.get("validValues") or ()
    return bool(allowed) and all(Quantity.parse(one).nanos != amount.nanos for one in allowed)
