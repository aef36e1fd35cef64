"""EndpointSlices: the addresses behind every Service that has a selector.

Observed: a Service, the pods it selects, the slices made for it, the nodes. Desired: each selected pod with an address
(on a node that exists, unless addresses are published in any case) is in exactly one slice of its address family and
port numbers, with conditions `ready` (use it), `serving` (it is ready, whatever else) and `terminating` (it is being
deleted). A slice holds at most 100 endpoints. As few slices change as possible, even if they are not full then. A
Service without pods has one empty slice without ports, so that readers can tell "none" from "not yet known". Hints say
whom an endpoint is near (`topology_hints`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sampan.api.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from sampan.apimachinery.errors import APIError
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
from sampan.client.events import NORMAL, WARNING
from sampan.controllers.ownership import reference_to
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
    without_reserved,
)
from sampan.controllers.services.topology_hints import DISABLED, ENABLED, Topology, add_hints, is_automatic, node_facts
from sampan.controllers.services.trigger_times import TriggerTimes, stamped
from sampan.reconcile.controller import Wiring
from sampan.reconcile.executor import Observer
from sampan.reconcile.measures import Reading, Tally
from sampan.reconcile.plan import NOTHING, Create, Delete, Note, Plan, Step, Update, Write

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
LIMIT = 100
LOST_NODE_RETRY_S = 5.0
TOPOLOGY_RESYNC_S = 60.0

PortKey = tuple[tuple[str, str, int, str], ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a Service found that is told only when it is new: whether zones were to get their shares, and
    which pods were on nodes that are not there."""

    shared: bool = False
    lost: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Observed:
    """A Service, the pods it selects, its slices, and what is known of the nodes (None: nothing matters)."""

    service: Object
    pods: tuple[Object, ...]
    slices: tuple[Object, ...]
    topology: Topology | None = None
    before: Look = Look()

    @property
    def placed(self) -> tuple[Object, ...]:
        """The pods that are endpoints."""
        return tuple(pod for pod in self.pods if belongs(pod, terminating=True) and not self.is_lost(pod))

    @property
    def lost(self) -> tuple[Object, ...]:
        """The pods that would be endpoints but for their node, which is not there (yet)."""
        return tuple(pod for pod in self.pods if belongs(pod, terminating=True) and self.is_lost(pod))

    def is_lost(self, pod: Object) -> bool:
        if self.topology is None or publishes_all(self.service):
            return False
        return dig(pod, "spec", "nodeName") not in self.topology.zones

    @property
    def look(self) -> Look:
        return Look(is_automatic(self.service), frozenset(uid_of(pod) for pod in self.lost))


def plan(observed: Observed, trigger: datetime | None = None) -> Plan:
    """What to write so that the Service's slices tell the truth. `trigger` is the moment that changes go back to.

    Slices that are being deleted do not count, and those of an earlier Service of the name go. For a Service that is
    being deleted no slice is made: the garbage collector takes them away.
    """
    service = observed.service
    families = families_of(service)
    kept = [one for one in observed.slices if not is_being_deleted(one)]
    ours = tuple(one for one in kept if one.get("addressType") in families and _is_of(one, service))
    steps: list[Step] = []
    notes: list[Note] = []
    is_enabled = any(one.get("hints") for each in ours for one in each.get("endpoints") or ())
    for family in families:
        found, why = _family(replace(observed, slices=ours), family, trigger)
        steps += found
        if is_automatic(service):
            if found and (why or not is_enabled):
                notes.append(_told(service, family, why))
                is_enabled = not why
        elif is_enabled and observed.before.shared:
            notes.append(_told(service, family, "Topology Aware Hints has been disabled"))
    if is_being_deleted(service):
        steps = [step for step in steps if not isinstance(step, Create)]
    steps += [_deletion(one) for one in kept if one not in ours]
    notes += [_missing_node(service, pod) for pod in observed.lost if uid_of(pod) not in observed.before.lost]
    again = LOST_NODE_RETRY_S if observed.lost else TOPOLOGY_RESYNC_S if is_automatic(service) else None
    return Plan(tuple(steps), tuple(notes), again)


def _is_of(one: Object, service: Object) -> bool:
    owners = meta(one).get("ownerReferences") or ()
    return any(owner.get("kind") == "Service" and owner.get("uid") == uid_of(service) for owner in owners)


def _told(service: Object, family: str, why: str) -> Note:
    if why:
        return Note(service, WARNING, DISABLED, f"{why}, addressType: {family}")
    return Note(service, NORMAL, ENABLED, f"Topology Aware Hints has been enabled, addressType: {family}")


def _missing_node(service: Object, pod: Object) -> Note:
    who = f"{namespace_of(service)}/{name_of(service)}"
    return _problem(
        service, f"skipping Pod {name_of(pod)} for Service {who}: Node {dig(pod, 'spec', 'nodeName')} Not Found"
    )


def _family(observed: Observed, family: str, trigger: datetime | None) -> tuple[list[Step], str]:
    """What to write for one family, and why endpoints have no hints if they should."""
    topology = observed.topology or Topology()
    wanted: dict[PortKey, dict[str, Object]] = {}
    ports_of = ports_by_pod(observed.service)
    for pod in observed.placed:
        if addresses_of(pod, family):
            ports = _port_key(ports_of(pod))
            endpoint = endpoint_of(pod, observed.service, family, topology.zones)
            wanted.setdefault(ports, {})[uid_of(pod)] = endpoint
    why = add_hints(observed.service, [one for found in wanted.values() for one in found.values()], topology)
    there: dict[PortKey, list[Object]] = {}
    for one in observed.slices:
        if one.get("addressType") == family:
            there.setdefault(_port_key(one.get("ports") or []), []).append(one)
    if not wanted:
        wanted[()] = {}
    steps: list[Step] = []
    for ports in sorted(wanted.keys() | there.keys()):
        placed = _place(there.get(ports, []), wanted.get(ports), keep_one=len(wanted) == 1 and ports in wanted)
        steps += _writes(observed.service, family, ports, placed, trigger)
    return _recycled(observed, steps, trigger), why


def _recycled(observed: Observed, steps: list[Step], trigger: datetime | None) -> list[Step]:
    """A slice that would go becomes one that would come, whatever its ports were: one write instead of two."""
    slices = {name_of(one): one for one in observed.slices}
    going = [step for step in steps if isinstance(step, Delete)]
    coming = [step for step in steps if isinstance(step, Create)]
    pairs = list(zip(going, coming, strict=False))
    done = {id(step) for pair in pairs for step in pair}
    updates = [
        _update(slices[gone.name], come.obj, trigger, _failed(observed.service, f"update {gone.name}"))
        for gone, come in pairs
    ]
    return [*updates, *(step for step in steps if id(step) not in done)]


def _update(known: Object, document: Object, trigger: datetime | None, failed: Note | None) -> Update:
    """Let a slice say what the document says."""
    metadata = {
        **meta(known), "labels": labels_of(document), "annotations": stamped(annotations_of(known), trigger),
    }
    changed = {**known, "metadata": metadata, "endpoints": document["endpoints"], "ports": document["ports"]}
    return Update(ENDPOINT_SLICES, changed, failed=failed)


@dataclass(frozen=True, slots=True)
class Placed:
    """A slice (None: a new one) and what it is to hold (None: delete it)."""

    slice: Object | None
    endpoints: tuple[Object, ...] | None


def _place(slices: Sequence[Object], wanted: Mapping[str, Object] | None, *, keep_one: bool) -> list[Placed]:
    """Few slices change rather than all being full: endpoints stay where they are; new ones fill slices that change in
    any case, then the one other slice that they all fit into, or else new slices."""
    rest = dict(wanted or {})
    held: list[list[Object]] = []
    changes: list[bool] = []
    for one in slices:
        listed = list(one.get("endpoints") or ())
        uids = [dig(endpoint, "targetRef", "uid", default="") for endpoint in listed]
        held.append([rest.pop(uid) for uid in uids if uid in rest])
        changes.append(held[-1] != listed)
    new = list(rest.values())
    for endpoints, changed in sorted(zip(held, changes, strict=True), key=lambda one: len(one[0]), reverse=True):
        room = LIMIT - len(endpoints) if changed and endpoints else 0
        endpoints += new[:room]
        new = new[room:]
    created: list[list[Object]] = []
    while new:
        unchanged = (one for one, changed in zip(held, changes, strict=True) if not changed)
        fitting = [one for one in unchanged if len(one) + len(new) <= LIMIT]
        if fitting and len(new) < LIMIT:
            fullest = max(fitting, key=len)
            fullest += new
            break
        created.append(new[:LIMIT])
        new = new[LIMIT:]
    placed = [Placed(one, tuple(endpoints) or None) for one, endpoints in zip(slices, held, strict=True)]
    placed += [Placed(None, tuple(endpoints)) for endpoints in created]
    if keep_one and not any(one.endpoints for one in placed):
        return [Placed(slices[0] if slices else None, ()), *placed[1:]]
    return placed


def _writes(
    service: Object, family: str, ports: PortKey, placed: list[Placed], trigger: datetime | None
) -> list[Step]:
    steps: list[Step] = []
    for one in placed:
        if one.endpoints is None:
            if one.slice is not None:
                steps.append(_deletion(one.slice))
            continue
        document = _document(service, family, ports, one.endpoints)
        if one.slice is None:
            if stamp := stamped({}, trigger):
                document["metadata"]["annotations"] = stamp
            steps.append(Create(ENDPOINT_SLICES, document, failed=_failed(service, "create")))
        elif _differs(one.slice, document):
            failed = _failed(service, f"update {name_of(one.slice)}")
            steps.append(_update(one.slice, document, trigger, failed))
    return steps


def _failed(service: Object, what: str) -> Note:
    who = f"{namespace_of(service)}/{name_of(service)}"
    return _problem(service, f"failed to {what} EndpointSlice for Service {who}: {{error}}")


def _problem(service: Object, problem: str) -> Note:
    who = f"{namespace_of(service)}/{name_of(service)}"
    return Note(
        service, WARNING, "FailedToUpdateEndpointSlices", f"Error updating Endpoint Slices for Service {who}: {problem}"
    )


def endpoint_of(pod: Object, service: Object, family: str, zones: Mapping[str, str]) -> Object:
    """The pod as an endpoint."""
    serving, terminating = is_ready(pod), is_being_deleted(pod)
    ready = publishes_all(service) or (serving and not terminating)
    endpoint: Object = {
        "addresses": addresses_of(pod, family)[:1],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": target_of(pod),
    }
    if node := dig(pod, "spec", "nodeName"):
        endpoint["nodeName"] = node
        if zones.get(node):
            endpoint["zone"] = zones[node]
    if hostname := hostname_of(pod, service):
        endpoint["hostname"] = hostname
    return endpoint


def _document(service: Object, family: str, ports: PortKey, endpoints: tuple[Object, ...]) -> Object:
    labels = without_reserved(labels_of(service).items(), SERVICE_NAME, MANAGED_BY, HEADLESS_LABEL)
    labels |= {SERVICE_NAME: name_of(service), MANAGED_BY: MANAGER}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
        "metadata": {
            "generateName": f"{name_of(service)}-", "namespace": namespace_of(service), "labels": labels,
            "ownerReferences": [reference_to(service)],
        },
        "endpoints": list(endpoints), "ports": [_port(*port) for port in ports],
    }


def _differs(known: Object, wanted: Object) -> bool:
    return (
        (known.get("endpoints") or []) != wanted["endpoints"] or labels_of(known) != wanted["metadata"]["labels"]
        or _port_key(known.get("ports") or []) != _port_key(wanted["ports"])
    )


def _port_key(ports: Sequence[Object]) -> PortKey:
    return tuple(sorted(
        (port.get("name", ""), port.get("protocol", "TCP"), port.get("port", 0), port.get("appProtocol", ""))
        for port in ports
    ))


def _port(name: str, protocol: str, number: int, application: str) -> Object:
    port: Object = {"name": name, "port": number, "protocol": protocol}
    return {**port, "appProtocol": application} if application else port


def _deletion(one: Object) -> Delete:
    return Delete(ENDPOINT_SLICES, name_of(one), namespace_of(one), uid=uid_of(one))


def slice_measures(prefix: str, slices: Callable[[], Sequence[Object]]) -> tuple[Tally, tuple[Reading, ...]]:
    """How often slices were changed; how many there are with how many endpoints, and how few slices would do."""

    def fewest() -> float:
        sizes: dict[tuple[object, ...], int] = {}
        for one in slices():
            key = (namespace_of(one), labels_of(one)[SERVICE_NAME], one.get("addressType"),
                   _port_key(one.get("ports") or ()))
            sizes[key] = sizes.get(key, 0) + len(one.get("endpoints") or ())
        return sum(max(1, -(-size // LIMIT)) for size in sizes.values())

    return Tally(f"{prefix}_changes", "Number of EndpointSlice changes", ("operation",)), (
        Reading(f"{prefix}_num_endpoint_slices", "Number of EndpointSlices", (), lambda: {(): len(slices())}),
        Reading(f"{prefix}_desired_endpoint_slices",
                "Number of EndpointSlices that would exist with perfect endpoint allocation", (),
                lambda: {(): fewest()}),
        Reading(f"{prefix}_endpoints_desired", "Number of endpoints desired", (),
                lambda: {(): sum(len(one.get("endpoints") or ()) for one in slices())}),
    )


def counting(changes: Tally) -> Observer:
    """Counts writes of slices that succeeded."""

    def observe(write: Write, error: APIError | None) -> None:
        if error is None:
            changes.add(type(write).__name__.lower())

    return observe


class EndpointSliceReconciler:
    """Keys are Services; pods concern the Services that select them, slices the Service they are labelled with."""

    def __init__(self, wiring: Wiring) -> None:
        self._services = wiring.watch(SERVICES)
        self._pods = wiring.watch(PODS, services_of_pod(self._services), backend_facts)
        informer = wiring.factory.informer(ENDPOINT_SLICES)
        wiring.follow(informer, _service_of_slice)
        self._slices = informer.lister
        self._slices.add_index("service", _service_of_slice)
        self._nodes = wiring.watch(NODES, self._node_changed, node_facts)
        self._topology: Topology | None = None
        self._triggers = TriggerTimes()
        self._looks: dict[str, Look] = {}
        changes, readings = slice_measures(
            "endpoint_slice_controller", lambda: [one for one in self._slices.list() if _service_of_slice(one)]
        )
        wiring.measure(changes, *readings)
        wiring.observe(counting(changes))

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        service = self._services.get(name, namespace)
        if service is None:
            self._triggers.forget(key)
            self._looks.pop(key, None)
        if service is None or not is_ours(service):
            return NOTHING
        slices = tuple(sorted(self._slices.by_index("service", key), key=key_of))
        if self._topology is None:
            self._topology = Topology.of(self._nodes.list())
        pods = selected_by(service, self._pods)
        observed = Observed(service, pods, slices, self._topology, self._looks.pop(key, Look()))
        if observed.look != Look():
            self._looks[key] = observed.look
        return plan(observed, self._triggers.of(key, service, pods))

    def _node_changed(self, node: Object) -> tuple[str, ...]:
        """What is known of the nodes is worked out anew with the next Service; none is looked at because of it."""
        self._topology = None
        return ()


def _service_of_slice(one: Object) -> tuple[str, ...]:
    labels = labels_of(one)
    if labels.get(MANAGED_BY) != MANAGER or SERVICE_NAME not in labels:
        return ()
    return (f"{namespace_of(one)}/{labels[SERVICE_NAME]}",)
