"""Taints of devices: which devices have them, and when whoever uses a device has to go because of one (KEP-5055).

A device is tainted by its driver, in its ResourceSlice, or by an administrator's DeviceTaintRule whose selector means
it. Of a pool's slices only those of the newest generation count. A taint of the effect NoExecute ends the use of the
device at once, or after the shortest `tolerationSeconds` of the tolerations that answer it and that the allocation
kept; one without a time answers it for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from sampan.apimachinery.object import Object, dig, uid_of
from sampan.controllers import times
from sampan.controllers.taints import NO_EXECUTE, tolerates

DeviceID: TypeAlias = tuple[str, str, str]
"""Driver, pool and name."""


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint, and the uid of the rule that it comes from; none if the driver put it there."""

    document: Object
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Eviction:
    """When, and because of which rules."""

    at: datetime
    rules: frozenset[str] = frozenset()


def published(slices: Iterable[Object]) -> dict[DeviceID, Object]:
    """The devices of the newest generation of each pool."""
    newest: dict[tuple[str, str], int] = {}
    found: dict[DeviceID, tuple[int, Object]] = {}
    for one in slices:
        spec = one["spec"]
        pool, generation = (str(spec["driver"]), str(spec["pool"]["name"])), int(spec["pool"].get("generation") or 0)
        newest[pool] = max(newest.get(pool, generation), generation)
        for device in spec.get("devices") or ():
            found[(*pool, str(device["name"]))] = (generation, device)
    return {id: device for id, (generation, device) in found.items() if generation == newest[id[:2]]}


def means(rule: Object, id: DeviceID) -> bool:
    """Whether a rule's selector means the device; a rule without one means none."""
    selector = dig(rule, "spec", "deviceSelector")
    if selector is None:
        return False
    wanted = (selector.get("driver"), selector.get("pool"), selector.get("device"))
    return all(want in (None, "", have) for want, have in zip(wanted, id, strict=True))


def devices_of(claim: Object) -> list[tuple[DeviceID, Object]]:
    """What is allocated to the claim: each device with its result."""
    results = dig(claim, "status", "allocation", "devices", "results", default=())
    return [((str(one.get("driver")), str(one.get("pool")), str(one.get("device"))), one) for one in results]


class DeviceTaints:
    """All taints of all devices, as they are now."""

    def __init__(self, slices: Iterable[Object], rules: Sequence[Object]) -> None:
        self.devices: Mapping[DeviceID, Object] = published(slices)
        self._rules = rules

    def of(self, id: DeviceID) -> list[Taint]:
        device = self.devices.get(id) or {}
        found = [Taint(one) for one in device.get("taints") or ()]
        return found + [Taint(rule["spec"]["taint"], uid_of(rule)) for rule in self._rules if means(rule, id)]

    def eviction(self, claims: Iterable[Object], now: datetime) -> Eviction | None:
        """When a pod that uses these claims has to go; None: it may stay."""
        moments: list[datetime] = []
        rules: set[str] = set()
        for claim in claims:
            for id, result in devices_of(claim):
                for taint in self.of(id):
                    moment = _end_of_use(taint.document, result.get("tolerations") or (), now)
                    if moment is not None:
                        moments.append(moment)
                        rules |= {taint.rule} - {""}
        return Eviction(min(moments), frozenset(rules)) if moments else None


def _end_of_use(taint: Object, tolerations: Sequence[Object], now: datetime) -> datetime | None:
    if taint.get("effect") != NO_EXECUTE:
        return None
    added = times.parse_or_none(taint.get("timeAdded")) or now  # the server writes it; what is older lacks it
    answers = [one for one in tolerations if tolerates(one, taint)]
    if not answers:
        return added
    seconds = [int(one["tolerationSeconds"]) for one in answers if one.get("tolerationSeconds") is not None]
    if len(seconds) < len(answers):
        return None
    return added + timedelta(seconds=max(min(seconds), 0))
