"""Endpoints: the older form of EndpointSlices, one object of the Service's own name, for clients that still read it.

Observed: a Service with a selector, the pods it selects, its Endpoints. Desired: pods with the same ports share a
subset (`subsets`); in it, ready pods are `addresses` and the others `notReadyAddresses`. A pod that is being deleted is
in neither, unless the Service publishes not-ready addresses. Beyond 1000 addresses the rest is left out, of each subset
its share, and an annotation says so. The object is made, changed, or deleted with its Service; locks of old leader
election are left alone.
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
    backend_facts,
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
from sampan.controllers.services.subsets import NOT_READY, READY, PortKey, port_key, repacked
from sampan.controllers.services.trigger_times import TriggerTimes, stamped
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Create, Delete, Note, Plan, Update

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
LEADER = "control-plane.alpha.kubernetes.io/leader"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
CAPACITY = 1000


def plan(
    service: Object, pods: tuple[Object, ...], existing: Object | None, trigger: datetime | None = None
) -> Plan:
    """Make the Service's Endpoints list `pods`. `trigger` is the moment that a change goes back to."""
    subsets, cut = within_capacity(subsets_of(service, pods))
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
    """The pods' addresses, by the ports that they have in common."""
    family = families_of(service)[0]
    groups: dict[tuple[PortKey, ...], Object] = {}
    ports_of = ports_by_pod(service)
    for pod in pods:
        if not belongs(pod, terminating=publishes_all(service)) or not addresses_of(pod, family):
            continue
        ports = ports_of(pod)
        if not ports and not (is_headless(service) and not dig(service, "spec", "ports")):
            continue
        group = groups.setdefault(tuple(map(port_key, ports)), {READY: [], NOT_READY: [], "ports": ports})
        field = READY if publishes_all(service) or is_ready(pod) else NOT_READY
        group[field].append(_address(pod, service, family))
    return repacked(groups.values())


def _address(pod: Object, service: Object, family: str) -> Object:
    address: Object = {"ip": addresses_of(pod, family)[0], "targetRef": target_of(pod)}
    if node := dig(pod, "spec", "nodeName"):
        address["nodeName"] = node
    if hostname := hostname_of(pod, service):
        address["hostname"] = hostname
    return address


def within_capacity(subsets: list[Object]) -> tuple[list[Object], bool]:
    """At most 1000 addresses, ready ones first, each subset about its share of them; and whether any were left out."""
    counts = {field: sum(len(one.get(field, ())) for one in subsets) for field in (READY, NOT_READY)}
    if counts[READY] + counts[NOT_READY] <= CAPACITY:
        return subsets, False
    cut, other = (READY, NOT_READY) if counts[READY] > CAPACITY else (NOT_READY, READY)
    room = left = CAPACITY if cut == READY else CAPACITY - counts[READY]
    kept = []
    for subset in subsets:
        found = subset.get(cut, [])
        share = min(-(-len(found) * room // counts[cut]), left)
        left -= share
        limited = {**subset, cut: found[:share]} | ({other: []} if cut == READY else {})
        if limited.get(READY) or limited.get(NOT_READY):
            kept.append({field: value for field, value in limited.items() if value})
    return kept, True


class EndpointsReconciler:
    """Keys are Services. Endpoints of a Service that is gone are deleted, also if somebody wrote them by hand; those
    that were there without a Service before this loop began only if this controller made them."""

    def __init__(self, wiring: Wiring) -> None:
        self._services = wiring.watch(SERVICES)
        self._pods = wiring.watch(PODS, services_of_pod(self._services), backend_facts)
        self._endpoints = wiring.watch(ENDPOINTS)
        self._triggers = TriggerTimes()
        self._seen: set[str] = set()
        """The Services that were there."""

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        service, existing = self._services.get(name, namespace), self._endpoints.get(name, namespace)
        if service is None:
            self._triggers.forget(key)
            deleted = key in self._seen
            self._seen.discard(key)
            return leftover(existing, deleted=deleted)
        self._seen.add(key)
        if not is_ours(service):
            return NOTHING
        pods = selected_by(service, self._pods)
        return plan(service, pods, existing, self._triggers.of(key, service, pods))


def leftover(existing: Object | None, *, deleted: bool) -> Plan:
    """What becomes of Endpoints without a Service. `deleted`: there was one."""
    if existing is None or LEADER in annotations_of(existing):
        return NOTHING
    if not deleted and labels_of(existing).get(MANAGED_BY) != MANAGER:
        return NOTHING
    return Plan((Delete(ENDPOINTS, name_of(existing), namespace_of(existing), uid=uid_of(existing)),))
