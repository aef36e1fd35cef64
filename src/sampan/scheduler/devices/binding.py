"""Binding conditions: devices that are got ready only once they are allocated (KEP-5007).

An allocated device may name conditions that have to be true in the claim's `status.devices` before its pod is bound,
and conditions of which one that is true means that it failed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sampan.apimachinery.object import Object, dig, name_of


class BindingFailed(Exception):
    """A device will not get ready; in upstream's words."""


def is_awaited(claim: Object) -> bool:
    """Whether a device of the claim has conditions at all."""
    return any(result.get("bindingConditions") for result in _results(claim))


def is_ready(claim: Object) -> bool:
    """Whether all conditions of all devices are true. Raises BindingFailed."""
    for result in _results(claim):
        wanted = result.get("bindingConditions")
        if not wanted:
            continue
        conditions = _conditions(claim, result)
        for name in result.get("bindingFailureConditions") or ():
            failed = conditions.get(name)
            if failed is not None and failed.get("status") == "True":
                reason, message = failed.get("reason") or "", failed.get("message") or ""
                raise BindingFailed(f'claim {name_of(claim)} binding failed: reason={reason}, message="{message}"')
        if any((conditions.get(name) or {}).get("status") != "True" for name in wanted):
            return False
    return True


def is_overdue(claim: Object, now: datetime, timeout_s: float) -> bool:
    """Whether the devices had their time since the allocation."""
    allocated_at = dig(claim, "status", "allocation", "allocationTimestamp")
    if allocated_at is None or not is_awaited(claim):
        return False
    return datetime.fromisoformat(allocated_at) + timedelta(seconds=timeout_s) < now


def is_hopeless(claim: Object, now: datetime, timeout_s: float) -> bool:
    """Whether other devices have to be tried."""
    if not is_awaited(claim):
        return False
    try:
        return not is_ready(claim) and is_overdue(claim, now, timeout_s)
    except BindingFailed:
        return True


def _results(claim: Object) -> list[Object]:
    return dig(claim, "status", "allocation", "devices", "results") or []


def _conditions(claim: Object, result: Object) -> dict[str, Object]:
    for status in dig(claim, "status", "devices") or ():
        if all(status.get(field) == result.get(field) for field in ("driver", "pool", "device", "shareID")):
            return {one["type"]: one for one in status.get("conditions") or ()}
    return {}
