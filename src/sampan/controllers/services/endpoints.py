"""Endpoints: the older form of EndpointSlices, one object of the Service's own name, for clients that still read it.

Observed: a Service with a selector, the pods it selects, its Endpoints. Desired: pods with the same ports share a
subset; in it, ready pods are `addresses` and the others `notReadyAddresses`. A pod that is being deleted is in neither,
unless the Service publishes not-ready addresses. Beyond 1000 addresses the rest is left out and an annotation says so.
The object is made, changed, or deleted with its Service.
"""

from __future__ import annotations

from datetime import datetime

from sampan.api.resources import ENDPOINTS, PODS, SERVICES
from sampan.apimachinery.object import (
    Object,
    annotations_of,
    dig,
    labels_of,
    meta,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from sampan.client.events import WARNING
from sampan.controllers.pods import is_ready
from sampan.controllers.services.service_backends import (
    HEADLESS_LABEL,
    addresses_of,
    belongs,
    families_of,
    hostname_of,
    is_headless,
    is_ours,
    ports_by_pod,
    publishes_all,
    selected_by,
    services_of_pod,
    target_of,
)
from sampan.controllers.services.trigger_times import TriggerTimes, stamped
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Create, Delete, Note, Plan, Update

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
CAPACITY = 1000

PortKey = tuple[tuple[str, str, int, str], ...]


def plan(
    service: Object, pods: tuple[Object, ...], existing: Object | None, trigger: datetime | None = None
) -> Plan:
    """Make the Service's Endpoints list `pods`. `trigger` is the moment that a change goes back to."""
    subsets, cut = _within_capacity(subsets_of(service, pods))
    labels = {**labels_of(service), MANAGED_BY: MANAGER}
    labels.pop(HEADLESS_LABEL, None)
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    capacity = {OVER_CAPACITY: "truncated"} if cut else {}
    if existing is None:
        annotations = stamped(capacity, trigger)
        metadata: Object = {
            "name": name_of(service), "namespace": namespace_of(service), "labels": labels, "annotations": annotations,
        }
        document: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}
        text = f"Failed to create endpoint for service {namespace_of(service)}/{name_of(service)}: {{error}}"
        failed = Note(document, WARNING, "FailedToCreateEndpoint", text)
        return Plan((Create(ENDPOINTS, document, failed=failed, exists_ok=True),))
    known = {key: value for key, value in annotations_of(existing).items() if key == OVER_CAPACITY}
    if (existing.get("subsets") or []) == subsets and labels_of(existing) == labels and known == capacity:
        return NOTHING
    annotations = {key: value for key, value in annotations_of(existing).items() if key != OVER_CAPACITY}
    annotations = stamped({**annotations, **capacity}, trigger)
    metadata = {**meta(existing), "labels": labels, "annotations": annotations}
    changed = {**existing, "metadata": metadata, "subsets": subsets}
    text = f"Failed to update endpoint {namespace_of(service)}/{name_of(service)}: {{error}}"
    return Plan((Update(ENDPOINTS, changed, failed=Note(existing, WARNING, "FailedToUpdateEndpoint", text)),))


def subsets_of(service: Object, pods: tuple[Object, ...]) -> list[Object]:
    """The subsets, in the order of their ports; addresses in the order of IP and uid."""
    family = families_of(service)[0]
    groups: dict[PortKey, tuple[list[Object], list[Object]]] = {}
    ports_of = ports_by_pod(service)
    for pod in pods:
        if not belongs(pod, terminating=publishes_all(service)) or not addresses_of(pod, family):
            continue
        ports = ports_of(pod)
        if not ports and not (is_headless(service) and not dig(service, "spec", "ports")):
            continue
        key = tuple((p["name"], p["protocol"], p["port"], p.get("appProtocol", "")) for p in ports)
        ready, not_ready = groups.setdefault(key, ([], []))
        (ready if publishes_all(service) or is_ready(pod) else not_ready).append(_address(pod, service, family))
    return [_subset(key, *groups[key]) for key in sorted(groups)]


def _address(pod: Object, service: Object, family: str) -> Object:
    address: Object = {"ip": addresses_of(pod, family)[0], "targetRef": target_of(pod)}
    if node := dig(pod, "spec", "nodeName"):
        address["nodeName"] = node
    if hostname := hostname_of(pod, service):
        address["hostname"] = hostname
    return address


def _subset(key: PortKey, ready: list[Object], not_ready: list[Object]) -> Object:
    def order(address: Object) -> tuple[str, str]:
        return address["ip"], address["targetRef"]["uid"]

    subset: Object = {}
    if ready:
        subset["addresses"] = sorted(ready, key=order)
    if not_ready:
        subset["notReadyAddresses"] = sorted(not_ready, key=order)
    if key:
        subset["ports"] = [_port(*port) for port in key]
    return subset


def _port(name: str, protocol: str, number: int, application: str) -> Object:
    port: Object = {"name": name} if name else {}
    port |= {"port": number, "protocol": protocol}
    return {**port, "appProtocol": application} if application else port


def _within_capacity(subsets: list[Object]) -> tuple[list[Object], bool]:
    """At most 1000 addresses, ready ones first; and whether any were left out."""
    room, cut = CAPACITY, False
    kept: list[dict[str, list[Object]]] = [{} for _ in subsets]
    for field in ("addresses", "notReadyAddresses"):
        for subset, target in zip(subsets, kept, strict=True):
            found = subset.get(field, [])
            target[field] = found[:room]
            cut = cut or len(found) > room
            room -= len(target[field])
    if not cut:
        return subsets, False
    result = []
    for subset, target in zip(subsets, kept, strict=True):
        limited = {**subset, **target}
        if target["addresses"] or target["notReadyAddresses"]:
            result.append({key: value for key, value in limited.items() if value})
    return result, True


class EndpointsReconciler:
    """Keys are Services. Endpoints whose Service is gone are deleted if this controller made them."""

    def __init__(self, wiring: Wiring) -> None:
        self._services = wiring.watch(SERVICES)
        self._pods = wiring.watch(PODS, services_of_pod(self._services))
        self._endpoints = wiring.watch(ENDPOINTS)
        self._triggers = TriggerTimes()

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        service, existing = self._services.get(name, namespace), self._endpoints.get(name, namespace)
        if service is None:
            self._triggers.forget(key)
            made_here = existing is not None and labels_of(existing).get(MANAGED_BY) == MANAGER
            if existing is None or not made_here:
                return NOTHING
            return Plan((Delete(ENDPOINTS, name, namespace, uid=uid_of(existing)),))
        if not is_ours(service):
            return NOTHING
        pods = selected_by(service, self._pods)
        return plan(service, pods, existing, self._triggers.of(key, service, pods))
