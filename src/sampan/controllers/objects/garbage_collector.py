"""Garbage collector: deletes what belongs to owners that are gone.

Observed: the metadata of every resource that can be deleted (found by discovery, again every 30 seconds), kept as a
graph (`gc_graph.py`). Desired: nothing outlives its owners, unless it was orphaned. What the graph makes suspicious is
checked on the server before anything is done:

- all owners gone: delete the object, in the way its own finalizers ask for, else in the background;
- some owners gone: take only those references out;
- an owner is being deleted in the foreground: delete the dependents first; when none that blocks is left, take the
  `foregroundDeletion` finalizer off the owner;
- an owner is being deleted with `orphan`: take its references out of all dependents, then the finalizer off the owner.

Owners in other namespaces do not count: a namespaced object's owner is looked up in its own namespace or among the
cluster-scoped objects, so one that is elsewhere is gone (and an Event, OwnerRefInvalidNamespace, says why). A
cluster-scoped object that names a namespaced owner cannot be judged at all; it stays as it is, and so does what names
an owner of a kind or version that the server does not serve. What is deleted, is deleted only in the version that was
judged.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, is_being_deleted, meta, resource_version_of, uid_of
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client, WatchEvent
from sampan.client.discovery import Discoverer, Discovery
from sampan.client.events import WARNING
from sampan.client.reflector import Reflector
from sampan.controllers.objects.gc_graph import FOREGROUND, ORPHAN, Graph, Node, Owner, Work, owners_of
from sampan.reconcile.controller import Wiring
from sampan.reconcile.measures import Tally
from sampan.reconcile.plan import NOTHING, Delete, Note, Patch, Plan, Step

log = logging.getLogger(__name__)

IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})
RESYNC_S = 30.0
SYNC_TIMEOUT_S = 30.0
UNKNOWN_KIND_RETRY_S = 30.0
ABSENT_LIMIT = 500


class ScopeError(Exception):
    """A cluster-scoped object says that it belongs to something in a namespace, and cannot say in which."""


class State(enum.Enum):
    """What an owner is to a dependent."""

    SOLID = "solid"
    GONE = "gone"
    WAITING = "waiting"
    """Being deleted in the foreground: it waits for its dependents."""


@dataclass(frozen=True, slots=True)
class Observed:
    """An object as it is on the server now, the state of each owner by uid, and what depends on it."""

    live: Object
    resource: Resource
    owners: Mapping[str, State]
    dependents: Sequence[Node] = ()
    node: Node | None = None


def plan(observed: Observed) -> Plan:
    """What to do with an object whose owners may be gone, or that waits for its dependents."""
    live, node = observed.live, observed.node
    is_waiting = node is not None and node.foreground
    if is_being_deleted(live) and not is_waiting:
        return NOTHING
    if is_waiting:
        return _finish_foreground(observed)
    references = owners_of(live)
    if not references:
        return NOTHING
    by_state = {state: [o for o in references if observed.owners.get(o.uid) is state] for state in State}
    drop = by_state[State.GONE] + by_state[State.WAITING]
    if by_state[State.SOLID]:
        return Plan((_without_owners(observed, drop),)) if drop else NOTHING
    if by_state[State.WAITING] and observed.dependents:
        steps: list[Step] = []
        version = resource_version_of(live)
        if any(dependent.foreground for dependent in observed.dependents):  # a circle: nobody would ever be first
            steps.append(_unblocked(observed))
            version = ""  # the patch, which is guarded by it, makes another
        return Plan((*steps, _deletion(observed, "Foreground", version)))
    finalizers = meta(live).get("finalizers") or ()
    policy = "Orphan" if ORPHAN in finalizers else "Foreground" if FOREGROUND in finalizers else "Background"
    return Plan((_deletion(observed, policy, resource_version_of(live)),))


def plan_orphaning(live: Object, resource: Resource, dependents: Sequence[Node]) -> Plan:
    """Let go of all dependents of `live`, then let it go."""
    steps = [_let_go(node, node.resource, uid_of(live)) for node in dependents if node.resource is not None]
    return Plan((*steps, _without_finalizer(live, resource, ORPHAN)))


def _let_go(node: Node, resource: Resource, owner_uid: str) -> Patch:
    """A merge patch, which custom resources understand too, guarded by the version that the graph has seen."""
    kept = [_document(owner) for owner in node.owners if owner.uid != owner_uid]
    metadata = {"uid": node.uid, "resourceVersion": node.version, "ownerReferences": kept or None}
    return Patch(resource, node.name, node.namespace, {"metadata": metadata}, "merge", missing_ok=True)


def _finish_foreground(observed: Observed) -> Plan:
    mine = uid_of(observed.live)
    blocking = [
        node for node in observed.dependents if any(owner.uid == mine and owner.blocks for owner in node.owners)
    ]
    if blocking:
        return NOTHING
    return Plan((_without_finalizer(observed.live, observed.resource, FOREGROUND),))


def _without_finalizer(live: Object, resource: Resource, finalizer: str) -> Patch:
    metadata = meta(live)
    kept = [one for one in metadata.get("finalizers") or () if one != finalizer]
    patch = {"metadata": {"resourceVersion": resource_version_of(live), "finalizers": kept or None}}
    return Patch(
        resource, metadata["name"], metadata.get("namespace", ""), patch, "merge", missing_ok=True
    )


def _without_owners(observed: Observed, drop: Sequence[Owner]) -> Patch:
    gone = {owner.uid for owner in drop}
    metadata = meta(observed.live)
    kept = [one for one in metadata.get("ownerReferences") or () if one.get("uid") not in gone]
    patch = {"metadata": {"resourceVersion": resource_version_of(observed.live), "ownerReferences": kept or None}}
    return Patch(
        observed.resource, metadata["name"], metadata.get("namespace", ""), patch, "merge", missing_ok=True
    )


def _unblocked(observed: Observed) -> Patch:
    metadata = meta(observed.live)
    references = metadata.get("ownerReferences") or ()
    kept = [{**one, "blockOwnerDeletion": False} if one.get("blockOwnerDeletion") else one for one in references]
    patch = {"metadata": {"resourceVersion": resource_version_of(observed.live), "ownerReferences": kept}}
    return Patch(
        observed.resource, metadata["name"], metadata.get("namespace", ""), patch, "merge", missing_ok=True
    )


def _deletion(observed: Observed, policy: str, version: str) -> Delete:
    metadata = meta(observed.live)
    return Delete(
        observed.resource, metadata["name"], metadata.get("namespace", ""), uid=uid_of(observed.live),
        resource_version=version, propagation=policy,
    )


def _report(node: Node, resource: Resource, owner: Owner) -> Note:
    about: Object = {
        "apiVersion": resource.api_version, "kind": resource.kind,
        "metadata": {"name": node.name, "namespace": node.namespace, "uid": node.uid},
    }
    text = (
        f"ownerRef [{owner.api_version}/{owner.kind}, namespace: {node.namespace}, name: {owner.name}, "
        f'uid: {owner.uid}] does not exist in namespace "{node.namespace}"'
    )
    return Note(about, WARNING, "OwnerRefInvalidNamespace", text)


def _document(owner: Owner) -> Object:
    document: Object = {"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid}
    if owner.controls:
        document["controller"] = True
    if owner.blocks:
        document["blockOwnerDeletion"] = True
    return document


class _Monitor:
    """Follows the metadata of one resource into the graph."""

    def __init__(self, client: Client, resource: Resource, collector: GarbageCollector) -> None:
        self.resource = resource
        self._collector = collector
        self._known: dict[tuple[str, str], str] = {}
        self.synced = asyncio.Event()
        self.task = asyncio.ensure_future(Reflector(client, resource, self, metadata_only=True).run())

    def replace(self, items: list[Object]) -> None:
        gone = dict(self._known)
        for item in items:
            gone.pop(self._place(item), None)
            self._observe(item)
        for place, uid in gone.items():
            del self._known[place]
            self._collector.remove(uid)
        self.synced.set()

    def apply(self, event: WatchEvent) -> None:
        if event.type == "DELETED":
            self._known.pop(self._place(event.object), None)
            self._collector.remove(uid_of(event.object))
        else:
            self._observe(event.object)

    def _observe(self, obj: Object) -> None:
        place, uid = self._place(obj), uid_of(obj)
        known = self._known.get(place)
        if known is not None and known != uid:
            self._collector.remove(known)
        self._known[place] = uid
        self._collector.observe(self.resource, obj)

    def _place(self, obj: Object) -> tuple[str, str]:
        return meta(obj).get("namespace", ""), meta(obj)["name"]


class GarbageCollector:
    """Keys are `delete/UID`, `orphan/UID` and `report/UID`."""

    def __init__(self, wiring: Wiring) -> None:
        self._client = wiring.client
        self._queue = wiring.queue
        self._graph = Graph()
        self._monitors: dict[Resource, _Monitor] = {}
        self._discoverer = Discoverer(self._client)
        self._discovery = Discovery((), {})
        self._ready = asyncio.Event()
        self._absent: OrderedDict[tuple[Owner, str], None] = OrderedDict()
        self._sync_errors = Tally(
            "garbagecollector_controller_resources_sync_error_total",
            "Number of garbage collector resources sync errors",
        )
        wiring.measure(self._sync_errors)
        wiring.add_background(self._follow)

    async def reconcile(self, key: str) -> Plan:
        await self._ready.wait()
        verb, _, uid = key.partition("/")
        node = self._graph.nodes.get(uid)
        if node is None or node.resource is None:
            return NOTHING
        if verb == "report":
            return Plan(notes=tuple(_report(node, node.resource, owner) for owner in self._graph.strays(uid)))
        if verb == "delete" and self._graph.is_settled(node) and not node.foreground:
            return NOTHING
        live = await self._live(node.resource, node.name, node.namespace)
        if live is None or uid_of(live) != uid:
            self.remove(uid)  # the watch will say so too, sooner or later
            return NOTHING
        if verb == "orphan":
            return plan_orphaning(live, node.resource, self._graph.dependents(uid)) if node.orphaning else NOTHING
        return await self._plan_deletion(node, node.resource, live)

    async def _plan_deletion(self, node: Node, resource: Resource, live: Object) -> Plan:
        states: dict[str, State] = {}
        if not is_being_deleted(live):
            for owner in owners_of(live):
                try:
                    states[owner.uid] = await self._state(owner, node, resource)
                except LookupError as error:
                    log.debug("garbage collector: %s", error)
                    return Plan(requeue_after_s=UNKNOWN_KIND_RETRY_S)
                except ScopeError as error:  # no change of anything but the reference would help
                    log.info("garbage collector: %s", error)
                    return NOTHING
        dependents = self._graph.dependents(node.uid)
        if node.foreground:
            for dependent in dependents:
                if not dependent.foreground:
                    self._queue.add(Work("delete", dependent.uid).key)
        decided = plan(Observed(live, resource, states, dependents, node))
        again = decided.requeue_after_s
        if any(state is State.SOLID and self._is_unseen(uid) for uid, state in states.items()):
            again = UNKNOWN_KIND_RETRY_S  # no watch shows this owner yet, so none would show that it goes
        return Plan(decided.steps, requeue_after_s=again)

    def _is_unseen(self, uid: str) -> bool:
        owner = self._graph.nodes.get(uid)
        return owner is None or owner.resource is None

    async def _state(self, owner: Owner, node: Node, resource: Resource) -> State:
        """What `owner` is now, by asking the server.

        Raises LookupError for a kind that the server does not know, and ScopeError for one that cannot own the node.
        """
        where = self._discovery.serving(owner.api_version, owner.kind)
        if where is None:
            raise LookupError(f"no resource for {owner.kind} of {owner.api_version}, owner of {node.name}")
        if where.namespaced and not resource.namespaced:
            raise ScopeError(f"{resource.kind} {node.name} is cluster-scoped, its owner {owner.name} is not")
        namespace = node.namespace if where.namespaced else ""
        absent = (replace(owner, blocks=False, controls=False), namespace)
        if absent in self._absent:
            self._absent.move_to_end(absent)
            return State.GONE
        found = await self._live(where, owner.name, namespace)
        if found is None or uid_of(found) != owner.uid:
            self._absent[absent] = None
            while len(self._absent) > ABSENT_LIMIT:
                self._absent.popitem(last=False)
            return State.GONE
        waits = is_being_deleted(found) and FOREGROUND in (meta(found).get("finalizers") or ())
        return State.WAITING if waits else State.SOLID

    async def _live(self, resource: Resource, name: str, namespace: str) -> Object | None:
        try:
            return await self._client.get(resource, name, namespace or None)
        except errors.NotFound:
            return None

    def observe(self, resource: Resource, obj: Object) -> None:
        self._enqueue(self._graph.observe(resource, obj))

    def remove(self, uid: str) -> None:
        self._enqueue(self._graph.remove(uid))

    def _enqueue(self, work: Sequence[Work]) -> None:
        for one in work:
            self._queue.add(one.key)

    async def _follow(self) -> None:
        """Keep one monitor for each deletable resource that the server has."""
        try:
            while True:
                try:
                    await self._resync()
                except errors.APIError as error:
                    self._sync_errors.add()
                    log.warning("garbage collector: discovery: %s", error)
                    await asyncio.sleep(1.0)
                    continue
                await asyncio.sleep(RESYNC_S)
        finally:
            for monitor in self._monitors.values():
                monitor.task.cancel()
            await asyncio.gather(*(one.task for one in self._monitors.values()), return_exceptions=True)

    async def _resync(self) -> None:
        found = await self._discoverer.discover()
        if found is self._discovery:
            return
        self._discovery = found
        wanted = dict.fromkeys(
            resource for resource in found.with_verbs("delete", "list", "watch")
            if (resource.group, resource.plural) not in IGNORED
        )
        for resource in [one for one in self._monitors if one not in wanted]:
            if any(failed.startswith(f"{resource.group}/") for failed in self._discovery.failed):
                continue
            monitor = self._monitors.pop(resource)
            monitor.task.cancel()
            self._enqueue(self._graph.forget_resource(resource))
        new = [resource for resource in wanted if resource not in self._monitors]
        for resource in new:
            self._monitors[resource] = _Monitor(self._client, resource, self)
        if new:
            try:
                async with asyncio.timeout(SYNC_TIMEOUT_S):
                    for resource in new:
                        await self._monitors[resource].synced.wait()
            except TimeoutError:
                self._sync_errors.add()
                log.warning("garbage collector: not every resource could be listed; going on without")
        self._ready.set()
