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
cluster-scoped objects, and a cluster-scoped object never has a namespaced owner.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, is_being_deleted, meta, resource_version_of, uid_of
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client, WatchEvent
from sampan.client.discovery import Discovery, discover
from sampan.client.events import WARNING
from sampan.client.reflector import Reflector
from sampan.controllers.gc_graph import FOREGROUND, ORPHAN, Graph, Node, Owner, Work, owners_of
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Delete, Note, Patch, Plan, Step

log = logging.getLogger(__name__)

IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})
RESYNC_S = 30.0
SYNC_TIMEOUT_S = 30.0
UNKNOWN_KIND_RETRY_S = 30.0
ABSENT_LIMIT = 500


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
        if any(dependent.foreground for dependent in observed.dependents):  # a circle: nobody would ever be first
            steps.append(_unblocked(observed))
        return Plan((*steps, _deletion(observed, "Foreground")))
    finalizers = meta(live).get("finalizers") or ()
    policy = "Orphan" if ORPHAN in finalizers else "Foreground" if FOREGROUND in finalizers else "Background"
    return Plan((_deletion(observed, policy),))


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
    kept = [{**one, "blockOwnerDeletion": False} for one in metadata.get("ownerReferences") or ()]
    patch = {"metadata": {"uid": uid_of(observed.live), "ownerReferences": kept}}
    return Patch(
        observed.resource, metadata["name"], metadata.get("namespace", ""), patch, "merge", missing_ok=True
    )


def _deletion(observed: Observed, policy: str) -> Delete:
    metadata = meta(observed.live)
    return Delete(
        observed.resource, metadata["name"], metadata.get("namespace", ""), uid=uid_of(observed.live),
        propagation=policy,
    )


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
    """Keys are `delete/UID` and `orphan/UID`."""

    def __init__(self, wiring: Wiring) -> None:
        self._client = wiring.client
        self._queue = wiring.queue
        self._graph = Graph()
        self._monitors: dict[Resource, _Monitor] = {}
        self._discovery = Discovery((), {})
        self._ready = asyncio.Event()
        self._absent: OrderedDict[tuple[str, str], None] = OrderedDict()
        wiring.add_background(self._follow)

    async def reconcile(self, key: str) -> Plan:
        await self._ready.wait()
        verb, _, uid = key.partition("/")
        node = self._graph.nodes.get(uid)
        if node is None or node.resource is None:
            return NOTHING
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
        notes: list[Note] = []
        if not is_being_deleted(live):
            for owner in owners_of(live):
                try:
                    states[owner.uid] = await self._state(owner, node, resource, live, notes)
                except LookupError as error:
                    log.debug("garbage collector: %s", error)
                    return Plan(requeue_after_s=UNKNOWN_KIND_RETRY_S)
        dependents = self._graph.dependents(node.uid)
        if node.foreground:
            for dependent in dependents:
                if not dependent.foreground:
                    self._queue.add(Work("delete", dependent.uid).key)
        decided = plan(Observed(live, resource, states, dependents, node))
        again = decided.requeue_after_s
        if any(state is State.SOLID and self._is_unseen(uid) for uid, state in states.items()):
            again = UNKNOWN_KIND_RETRY_S  # no watch shows this owner yet, so none would show that it goes
        return Plan(decided.steps, tuple(notes), again)

    def _is_unseen(self, uid: str) -> bool:
        owner = self._graph.nodes.get(uid)
        return owner is None or owner.resource is None

    async def _state(
        self, owner: Owner, node: Node, resource: Resource, live: Object, notes: list[Note]
    ) -> State:
        """What `owner` is now, by asking the server. Raises LookupError for a kind that the server does not know."""
        where = self._discovery.of_kind(owner.api_version, owner.kind)
        if where is None:
            raise LookupError(f"no resource for {owner.kind} of {owner.api_version}, owner of {node.name}")
        if where.namespaced and not resource.namespaced:
            text = f"ownerRef {owner.name} is namespaced but {node.name} is cluster-scoped"
            notes.append(Note(live, WARNING, "OwnerRefInvalidNamespace", text))
            return State.SOLID
        namespace = node.namespace if where.namespaced else ""
        absent = (owner.uid, namespace)
        if absent in self._absent:
            return State.GONE
        found = await self._live(where, owner.name, namespace)
        if found is None or uid_of(found) != owner.uid:
            self._absent[absent] = None
            while len(self._absent) > ABSENT_LIMIT:
                self._absent.popitem(last=False)
            elsewhere = self._graph.nodes.get(owner.uid)
            if elsewhere is not None and elsewhere.resource is not None and elsewhere.namespace != namespace:
                text = f'ownerRef [{owner.api_version}/{owner.kind}, namespace: {namespace}, name: {owner.name}, ' \
                       f'uid: {owner.uid}] does not exist in namespace "{namespace}"'
                notes.append(Note(live, WARNING, "OwnerRefInvalidNamespace", text))
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
                    log.warning("garbage collector: discovery: %s", error)
                    await asyncio.sleep(1.0)
                    continue
                await asyncio.sleep(RESYNC_S)
        finally:
            for monitor in self._monitors.values():
                monitor.task.cancel()
            await asyncio.gather(*(one.task for one in self._monitors.values()), return_exceptions=True)

    async def _resync(self) -> None:
        self._discovery = await discover(self._client)
        wanted = [
            resource for resource in self._discovery.with_verbs("delete", "list", "watch")
            if (resource.group, resource.plural) not in IGNORED
        ]
        for resource in [one for one in self._monitors if one not in wanted]:
            if any(failed.startswith(f"{resource.group}/") for failed in self._discovery.failed):
                continue
            monitor = self._monitors.pop(resource)
            monitor.task.cancel()
            self._graph.forget_resource(resource)
        new = [resource for resource in wanted if resource not in self._monitors]
        for resource in new:
            self._monitors[resource] = _Monitor(self._client, resource, self)
        if new:
            try:
                async with asyncio.timeout(SYNC_TIMEOUT_S):
                    for resource in new:
                        await self._monitors[resource].synced.wait()
            except TimeoutError:
                log.warning("garbage collector: not every resource could be listed; going on without")
        self._ready.set()
