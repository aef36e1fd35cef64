"""The AllocationResult that is written into a claim's status: devices, configuration, and where they can be reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sampan import effects
from sampan.apimachinery.object import Object, dig
from sampan.scheduler.devices.allocator import Chosen
from sampan.scheduler.devices.capacity import told
from sampan.scheduler.devices.request import ClaimRequests


def allocation(requests: ClaimRequests, chosen: Sequence[Chosen], node_name: str) -> Object:
    """`status.allocation` for a claim whose devices were chosen on a node."""
    devices: Object = {"results": [_result(one) for one in chosen]}
    config = [*_from_classes(chosen), *_from_claim(requests)]
    if config:
        devices["config"] = config
    found: Object = {"devices": devices, "allocationTimestamp": effects.timestamp()}
    selector = _node_selector(chosen, node_name)
    return {**found, "nodeSelector": selector} if selector is not None else found


def _result(chosen: Chosen) -> Object:
    driver, pool, device = chosen.device.id
    found: Object = {"request": chosen.wanted.name, "driver": driver, "pool": pool, "device": device}
    if chosen.wanted.admin:
        found["adminAccess"] = True
    if chosen.consumed is not None:
        found |= {"shareID": effects.uid(), "consumedCapacity": told(chosen.device, chosen.consumed)}
    for field in ("bindingConditions", "bindingFailureConditions"):
        if chosen.device.document.get(field):
            found[field] = list(chosen.device.document[field])
    if chosen.device.skips:
        found["skipNodeOperations"] = list(chosen.device.skips)
    if chosen.wanted.tolerations:
        found["tolerations"] = list(chosen.wanted.tolerations)
    return found


def _from_classes(chosen: Sequence[Chosen]) -> Iterator[Object]:
    """Each class's configuration, for the requests that use the class."""
    seen: dict[str, None] = {}
    for one in chosen:
        if one.wanted.name in seen:
            continue
        seen[one.wanted.name] = None
        for config in dig(one.wanted.device_class, "spec", "config") or ():
            yield {"source": "FromClass", "requests": [one.wanted.name], **config}


def _from_claim(requests: ClaimRequests) -> Iterator[Object]:
    for config in dig(requests.claim, "spec", "devices", "config") or ():
        yield {"source": "FromClaim", **config}


def _node_selector(chosen: Sequence[Chosen], node_name: str) -> Object | None:
    """One node for what is local to it; the terms of wider devices together; None if everything is everywhere."""
    expressions: list[Object] = []
    for choice in chosen:
        place = choice.device.place
        if place.get("nodeName") or choice.device.document.get("bindsToNode"):
            field = {"key": "metadata.name", "operator": "In", "values": [node_name]}
            return {"nodeSelectorTerms": [{"matchFields": [field]}]}
        for term in (place.get("nodeSelector") or {}).get("nodeSelectorTerms") or ():
            expressions += [one for one in term.get("matchExpressions") or () if one not in expressions]
    return {"nodeSelectorTerms": [{"matchExpressions": expressions}]} if expressions else None
