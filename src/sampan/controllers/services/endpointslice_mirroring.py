"""EndpointSlice mirroring: Endpoints that somebody wrote by hand appear as EndpointSlices too.

Observed: Endpoints, the Service of their name, the slices made from them. Desired: a slice for each family and set of
ports, with the Endpoints' labels and annotations, so that whoever still writes Endpoints for a Service without a
selector is heard by those who read slices. Nothing is mirrored that says `endpointslice.kubernetes.io/skip-mirror:
"true"`, that is a lock of old leader election, or whose Service has a selector or is missing. Subsets are put in their
usual form first (`subsets`), so that an address with several ports is in one slice. Of each subset at most 1000
addresses are taken; an Event on the Endpoints says how many were left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from sampan.controllers.services.endpoints import LEADER
from sampan.controllers.services.endpointslice import MANAGED_BY, SERVICE_NAME, counting, slice_measures
from sampan.controllers.services.service_backends import address_of, without_reserved
from sampan.controllers.services.subsets import NOT_READY, READY, PortKey, port_key, repacked
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Create, Delete, Note, Plan, Step, Update

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_NOT_COPIED = (trigger_times.ANNOTATION, LAST_APPLIED)
LIMIT = 1000

Shape: TypeAlias = tuple[str, tuple[PortKey, ...]]
"""A family and ports: what all endpoints of a slice share."""


@dataclass(frozen=True, slots=True)
class Group:
    """The endpoints of one shape, by what they are told apart by."""

    family: str
    ports: list[Object]
    endpoints: dict[tuple[str, ...], Object]


def plan(endpoints: Object | None, service: Object | None, slices: Sequence[Object]) -> Plan:
    """Make the mirrored slices say what the Endpoints say. A slice that nobody needs any more becomes one that is
    missing, if it is of the same family. Slices that are being deleted do not count."""
    free = [one for one in slices if not is_being_deleted(one)]
    if endpoints is None or service is None or not is_mirrored(endpoints, service):
        return Plan(tuple(_deletion(one) for one in free))
    steps: list[Step] = []
    groups, notes = sorted_out(endpoints)
    missing = []
    for wanted in mirrored(endpoints, groups):
        same = next((one for one in free if _shape(one) == _shape(wanted)), None)
        if same is None:
            missing.append(wanted)
            continue
        free.remove(same)
        if _says(same) != _says(wanted):
            steps.append(_update(same, wanted))
    for wanted in missing:
        other = next((one for one in free if one.get("addressType") == wanted["addressType"]), None)
        if other is not None:
            free.remove(other)
            steps.append(_update(other, wanted))
        elif not is_being_deleted(endpoints):
            steps.append(Create(ENDPOINT_SLICES, wanted))
    return Plan((*steps, *(_deletion(one) for one in free)), notes)


def _update(known: Object, wanted: Object) -> Update:
    """Let a slice say what is wanted."""
    metadata = {
        **meta(known), "labels": labels_of(wanted), "annotations": annotations_of(wanted),
        "ownerReferences": meta(wanted)["ownerReferences"],
    }
    changed = {**known, "metadata": metadata, "endpoints": wanted["endpoints"], "ports": wanted["ports"]}
    return Update(ENDPOINT_SLICES, changed)


def _says(one: Object) -> tuple[object, ...]:
    owners = [owner.get("uid") for owner in meta(one).get("ownerReferences") or ()]
    return one.get("endpoints") or [], labels_of(one), annotations_of(one), owners


def is_mirrored(endpoints: Object, service: Object) -> bool:
    return (
        not dig(service, "spec", "selector") and labels_of(endpoints).get(SKIP) != "true"
        and LEADER not in annotations_of(endpoints)
    )


def sorted_out(endpoints: Object) -> tuple[dict[Shape, Group], tuple[Note, ...]]:
    """The endpoints of all subsets by family and ports; Events about those that were left out."""
    groups: dict[Shape, Group] = {}
    invalid = too_many = 0
    for subset in repacked(endpoints.get("subsets") or ()):
        room = LIMIT
        for address, ready in _addresses(subset):
            if not room:
                too_many += 1
                continue
            found = address_of(address["ip"])
            if found is None:
                invalid += 1
                continue
            room -= 1
            ports = [{"name": "", **port} for port in subset.get("ports") or ()]
            shape = _shape({"addressType": found.family, "ports": ports})
            group = groups.setdefault(shape, Group(found.family, ports, {}))
            group.endpoints[_identity(found.text, address)] = _endpoint(found.text, address, ready=ready)
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
    for field in (READY, NOT_READY):
        for address in subset.get(field) or ():
            yield address, field == READY


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


def _identity(ip: str, address: Object) -> tuple[str, ...]:
    target = address.get("targetRef") or {}
    return ip, address.get("hostname", ""), target.get("namespace", ""), target.get("name", ""), target.get("uid", "")


def _endpoint(ip: str, address: Object, *, ready: bool) -> Object:
    found: Object = {"addresses": [ip], "conditions": {"ready": ready}}
    return found | {field: address[field] for field in ("hostname", "nodeName", "targetRef") if address.get(field)}


def _shape(one: Object) -> Shape:
    return str(one.get("addressType")), tuple(sorted(map(port_key, one.get("ports") or ())))


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
