"""EndpointSlice mirroring: Endpoints that somebody wrote by hand appear as EndpointSlices too.

Observed: Endpoints, the Service of their name, the slices made from them. Desired: a slice for each family and set of
ports, with the Endpoints' labels and annotations, so that whoever still writes Endpoints for a Service without a
selector is heard by those who read slices. Nothing is mirrored that says `endpointslice.kubernetes.io/skip-mirror:
"true"`, that is a lock of old leader election, or whose Service has a selector or is missing. Of each subset at most
1000 addresses are taken; an Event on the Endpoints says how many were left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeAlias

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
from sampan.client.events import WARNING
from sampan.controllers.ownership import reference_to
from sampan.controllers.services import trigger_times
from sampan.controllers.services.endpointslice import MANAGED_BY, SERVICE_NAME, counting, slice_measures
from sampan.controllers.services.service_backends import without_reserved
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Create, Delete, Note, Plan, Step, Update

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_NOT_COPIED = (trigger_times.ANNOTATION, LAST_APPLIED)
LIMIT = 1000

Shape: TypeAlias = tuple[str, tuple[tuple[str, int, str], ...]]
"""A family and ports: what all endpoints of a slice share."""


@dataclass(frozen=True, slots=True)
class Group:
    """The endpoints of one shape, by address."""

    family: str
    ports: list[Object]
    endpoints: dict[str, Object]


def plan(endpoints: Object | None, service: Object | None, slices: Sequence[Object]) -> Plan:
    """Make the mirrored slices say what the Endpoints say."""
    if endpoints is None or service is None or not is_mirrored(endpoints, service):
        return Plan(tuple(_deletion(one) for one in slices))
    free = list(slices)
    steps: list[Step] = []
    groups, notes = sorted_out(endpoints)
    for wanted in mirrored(endpoints, groups):
        same = next((one for one in free if _shape(one) == _shape(wanted)), None)
        if same is None:
            steps.append(Create(ENDPOINT_SLICES, wanted))
            continue
        free.remove(same)
        if _says(same) != _says(wanted):
            metadata = {**meta(same), "labels": labels_of(wanted), "annotations": annotations_of(wanted)}
            steps.append(Update(ENDPOINT_SLICES, {**same, "metadata": metadata, "endpoints": wanted["endpoints"]}))
    return Plan((*steps, *(_deletion(one) for one in free)), notes)


def _says(one: Object) -> tuple[object, ...]:
    return one.get("endpoints") or [], labels_of(one), annotations_of(one)


def is_mirrored(endpoints: Object, service: Object) -> bool:
    return (
        not dig(service, "spec", "selector") and labels_of(endpoints).get(SKIP) != "true"
        and LEADER not in annotations_of(endpoints)
        and not is_being_deleted(endpoints) and not is_being_deleted(service)
    )


def sorted_out(endpoints: Object) -> tuple[dict[Shape, Group], tuple[Note, ...]]:
    """The endpoints of all subsets by family and ports; Events about those that were left out."""
    groups: dict[Shape, Group] = {}
    invalid = too_many = 0
    for subset in endpoints.get("subsets") or ():
        room = LIMIT
        for address, ready in _addresses(subset):
            if not room:
                too_many += 1
                continue
            try:
                family = f"IPv{ip_address(address['ip']).version}"
            except ValueError:
                invalid += 1
                continue
            room -= 1
            ports = list(subset.get("ports") or ())
            group = groups.setdefault(_shape({"addressType": family, "ports": ports}), Group(family, ports, {}))
            group.endpoints.setdefault(address["ip"], _endpoint(address, ready=ready))
    notes = []
    about = {"apiVersion": "v1", "kind": "Endpoints", **endpoints}
    if invalid:
        text = f"Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices"
        notes.append(Note(about, WARNING, "InvalidIPAddress", text))
    if too_many:
        text = (
            f"A max of {LIMIT} addresses can be mirrored to EndpointSlices per Endpoints subset. "
            f"{too_many + invalid} addresses were skipped"
        )
        notes.append(Note(about, WARNING, "TooManyAddressesToMirror", text))
    return groups, tuple(notes)


def _addresses(subset: Object) -> Iterator[tuple[Object, bool]]:
    for field, ready in (("addresses", True), ("notReadyAddresses", False)):
        for address in subset.get(field) or ():
            yield address, ready


def mirrored(endpoints: Object, groups: Mapping[Shape, Group]) -> Iterator[Object]:
    """A slice for each group."""
    labels = without_reserved(labels_of(endpoints).items(), SERVICE_NAME, MANAGED_BY)
    labels |= {SERVICE_NAME: name_of(endpoints), MANAGED_BY: MANAGER}
    kept = {key: text for key, text in annotations_of(endpoints).items() if key not in _NOT_COPIED}
    for shape in sorted(groups):
        group = groups[shape]
        metadata: Object = {
            "generateName": f"{name_of(endpoints)}-", "namespace": namespace_of(endpoints), "labels": labels,
            "ownerReferences": [reference_to({"apiVersion": "v1", "kind": "Endpoints", **endpoints})],
        }
        if kept:
            metadata["annotations"] = kept
        yield {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": group.family,
            "metadata": metadata, "endpoints": list(group.endpoints.values()), "ports": group.ports,
        }


def _endpoint(address: Object, *, ready: bool) -> Object:
    found: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    return found | {field: address[field] for field in ("hostname", "nodeName", "targetRef") if address.get(field)}


def _shape(one: Object) -> Shape:
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
        changes, readings = slice_measures(
            "endpoint_slice_mirroring_controller", lambda: [one for one in self._slices.list() if _mirrored_from(one)]
        )
        wiring.measure(changes, *readings)
        wiring.observe(counting(changes))

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
