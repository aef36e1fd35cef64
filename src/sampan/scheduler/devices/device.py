"""Devices as the ResourceSlices of a cluster describe them, and which of them a node can reach.

A pool is complete when all its slices of the newest generation are there; of an incomplete pool nothing can be had that
asks for *all* devices, and older generations do not count at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sampan.apimachinery.object import Object
from sampan.apimachinery.quantity import Quantity
from sampan.scheduler import node_selector
from sampan.scheduler.node_info import NodeInfo

DeviceID: TypeAlias = tuple[str, str, str]
"""Driver, pool, device."""
_OF_LISTS = {"bools": "bool", "ints": "int", "strings": "string", "versions": "version"}


@dataclass(frozen=True, slots=True, eq=False)
class Device:
    """One device. `document` is its entry in the slice; `place` is the slice's or its own statement of where it is."""

    id: DeviceID
    document: Object
    place: Object
    taints: tuple[Object, ...]
    skips: tuple[str, ...] = ()
    """Which operations on the node its slice says are not needed."""

    @property
    def is_shared(self) -> bool:
        """Whether it may be allocated several times."""
        return bool(self.document.get("allowMultipleAllocations"))

    @property
    def driver(self) -> str:
        return self.id[0]

    def attribute(self, name: str) -> tuple[str, frozenset[object]] | None:
        """Type and values of an attribute by its full name; None if the device does not have it. One that is no list
        has one value."""
        domain, slash, short = name.rpartition("/")
        attributes = self.document.get("attributes") or {}
        found = attributes.get(name)
        if found is None and slash and domain == self.driver:
            found = attributes.get(short)
        if not found:
            return None
        kind, value = next(iter(found.items()))
        return (_OF_LISTS.get(kind, kind), frozenset(value if isinstance(value, list) else (value,)))

    def is_on(self, node: NodeInfo) -> bool:
        """Whether the node can reach the device."""
        if self.place.get("allNodes"):
            return True
        if self.place.get("nodeName"):
            return bool(self.place["nodeName"] == node.name)
        selector = self.place.get("nodeSelector")
        return selector is not None and node_selector.of_document(selector).matches(node.name, node.labels)

    @property
    def consumed(self) -> Iterator[tuple[str, str, Quantity]]:
        """What it takes of shared counters: set, counter, amount (KEP-4815)."""
        for use in self.document.get("consumesCounters") or ():
            for name, counter in (use.get("counters") or {}).items():
                yield str(use.get("counterSet")), str(name), Quantity.parse(counter["value"])


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The devices of one driver's pool, its shared counters, and whether all of it is known."""

    driver: str
    name: str
    devices: tuple[Device, ...]
    counters: Mapping[tuple[str, str], Quantity]
    is_complete: bool


def pools_of(slices: Iterable[Object], rules: Iterable[Object] = ()) -> list[Pool]:
    """All pools, by driver and name. `rules` are DeviceTaintRules, whose taints are added."""
    by_pool: dict[tuple[str, str], list[Object]] = {}
    for one in slices:
        spec = one["spec"]
        by_pool.setdefault((spec["driver"], spec["pool"]["name"]), []).append(spec)
    taints = [rule["spec"] for rule in rules]
    return [_pool(driver, name, specs, taints) for (driver, name), specs in sorted(by_pool.items())]


def _pool(driver: str, name: str, specs: Sequence[Object], rules: Sequence[Object]) -> Pool:
    newest = max(spec["pool"].get("generation") or 0 for spec in specs)
    current = [spec for spec in specs if (spec["pool"].get("generation") or 0) == newest]
    devices: list[Device] = []
    counters: dict[tuple[str, str], Quantity] = {}
    for spec in current:
        for device in spec.get("devices") or ():
            id = (driver, name, str(device["name"]))
            place = device if spec.get("perDeviceNodeSelection") else spec
            taints = (*(device.get("taints") or ()), *_added(rules, id))
            devices.append(Device(id, device, place, taints, tuple(spec.get("skipNodeOperations") or ())))
        for shared in spec.get("sharedCounters") or ():
            for counter, amount in (shared.get("counters") or {}).items():
                counters[str(shared["name"]), str(counter)] = Quantity.parse(amount["value"])
    return Pool(driver, name, tuple(devices), counters, len(current) == current[0]["pool"].get("resourceSliceCount"))


def _added(rules: Sequence[Object], id: DeviceID) -> Iterator[Object]:
    """The taints of the rules that mean the device; a rule without a selector means none."""
    for rule in rules:
        selector = rule.get("deviceSelector")
        if selector is None:
            continue
        wanted = (selector.get("driver"), selector.get("pool"), selector.get("device"))
        if all(want in (None, have) for want, have in zip(wanted, id, strict=True)):
            yield rule["taint"]
