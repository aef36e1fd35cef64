"""EndpointSlice mirroring: Endpoints that somebody wrote by hand appear as EndpointSlices too.

That is for Services without a selector: whoever still writes Endpoints for one is heard by those who read slices.
Nothing is mirrored that says `endpointslice.kubernetes.io/skip-mirror: "true"`, that is a lock of old leader election,
or whose Service has a selector or is missing. Of each subset at most 1000 addresses are taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from sampan.apimachinery.object import (
    Object,
    annotations_of,
    dig,
    is_being_deleted,
    key_of,
    labels_of,
    meta,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from sampan.controllers.endpointslice import MANAGED_BY, SERVICE_NAME
from sampan.controllers.ownership import reference_to
from sampan.controllers.service_backends import TRIGGER_TIME, without_reserved
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Create, Delete, Plan, Step, Update

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
LIMIT = 1000


def plan(endpoints: Object | None, service: Object | None, slices: Sequence[Object]) -> Plan:
    """Make the mirrored slices say what the Endpoints say."""
    if endpoints is None or service is None or not is_mirrored(endpoints, service):
        return Plan(tuple(_deletion(one) for one in slices))
    free = list(slices)
    steps: list[Step] = []
    for wanted in mirrored(endpoints):
        same = next((one for one in free if _shape(one) == _shape(wanted)), None)
        if same is None:
            steps.append(Create(ENDPOINT_SLICES, wanted))
            continue
        free.remove(same)
        if (same.get("endpoints") or []) != wanted["endpoints"] or labels_of(same) != labels_of(wanted):
            metadata = {**meta(same), "labels": labels_of(wanted)}
            steps.append(Update(ENDPOINT_SLICES, {**same, "metadata": metadata, "endpoints": wanted["endpoints"]}))
    return Plan((*steps, *(_deletion(one) for one in free)))


def is_mirrored(endpoints: Object, service: Object) -> bool:
    return (
        not dig(service, "spec", "selector") and labels_of(endpoints).get(SKIP) != "true"
        and LEADER not in annotations_of(endpoints)
        and not is_being_deleted(endpoints) and not is_being_deleted(service)
    )


def mirrored(endpoints: Object) -> Iterator[Object]:
    """The slices for each subset and address family."""
    labels = without_reserved(labels_of(endpoints).items(), SERVICE_NAME, MANAGED_BY)
    labels |= {SERVICE_NAME: name_of(endpoints), MANAGED_BY: MANAGER}
    kept = {key: text for key, text in annotations_of(endpoints).items() if key not in (TRIGGER_TIME, LAST_APPLIED)}
    for subset in endpoints.get("subsets") or ():
        found: dict[str, list[Object]] = {}
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                family = f"IPv{ip_address(address['ip']).version}"
                found.setdefault(family, []).append(_endpoint(address, ready=ready))
        for family, listed in sorted(found.items()):
            metadata: Object = {
                "generateName": f"{name_of(endpoints)}-", "namespace": namespace_of(endpoints), "labels": labels,
                "ownerReferences": [reference_to({"apiVersion": "v1", "kind": "Endpoints", **endpoints})],
            }
            if kept:
                metadata["annotations"] = kept
            yield {
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
                "metadata": metadata, "endpoints": listed[:LIMIT], "ports": list(subset.get("ports") or ()),
            }


def _endpoint(address: Object, *, ready: bool) -> Object:
    found: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    return found | {field: address[field] for field in ("hostname", "nodeName", "targetRef") if address.get(field)}


def _shape(one: Object) -> tuple[str, tuple[tuple[str, int, str], ...]]:
    found = one.get("ports") or ()
    ports = [(port.get("name", ""), port.get("port", 0), port.get("protocol", "TCP")) for port in found]
    return str(one.get("addressType")), tuple(sorted(ports))


def _deletion(one: Object) -> Delete:
    return Delete(ENDPOINT_SLICES, name_of(one), namespace_of(one), uid=uid_of(one))


class EndpointSliceMirroring:
    """Keys are Endpoints; their Service has the same name."""

    def __init__(self, wiring: Wiring) -> None:
        self._endpoints = wiring.watch(ENDPOINTS)
        self._services = wiring.watch(SERVICES)
        informer = wiring.factory.informer(ENDPOINT_SLICES)
        wiring.follow(informer, _mirrored_from)
        self._slices = informer.lister
        self._slices.add_index("mirrored", _mirrored_from)

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        slices = sorted(self._slices.by_index("mirrored", key), key=key_of)
        endpoints = self._endpoints.get(name, namespace)
        if endpoints is None and not slices:
            return NOTHING
        return plan(endpoints, self._services.get(name, namespace), slices)


def _mirrored_from(one: Object) -> tuple[str, ...]:
    labels = labels_of(one)
    if labels.get(MANAGED_BY) != MANAGER or SERVICE_NAME not in labels:
        return ()
    return (f"{namespace_of(one)}/{labels[SERVICE_NAME]}",)
