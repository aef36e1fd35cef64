"""Namespace: empties a namespace that is being deleted, and then lets it go.

Observed: a namespace with the finalizer `kubernetes` in its spec, and, once its deletion is asked for, every resource
that discovery finds in it. Desired: nothing. First the pods are deleted, and when none is left the rest, so that
nothing a pod may need on its way out goes before it. What remains (finalizers, pods that take their time) is said in
the status' conditions, and looked at again later; what stays although it has neither a finalizer nor time left is an
error, and said as one. When nothing is left, the finalizer is removed, and with it the namespace; if somebody else's
finalizer still holds it, its conditions say first that its contents do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sampan import effects
from sampan.api.resources import NAMESPACES, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig, is_being_deleted, meta, name_of, namespace_of
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client
from sampan.client.discovery import Discovery, discover
from sampan.controllers import conditions, times
from sampan.controllers.conditions import Condition
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Plan, Update

FINALIZER = "kubernetes"
DEFAULT_ESTIMATE_S = 15


@dataclass(frozen=True, slots=True)
class Remains:
    """What a pass over the contents found left, by qualified resource (`pods.`); and what went wrong."""

    counts: Mapping[str, int] = field(default_factory=dict)
    finalizers: Mapping[str, int] = field(default_factory=dict)
    estimate_s: int = 0
    discovery_errors: Sequence[str] = ()
    deletion_errors: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.counts or self.discovery_errors or self.deletion_errors)


def plan(namespace: Object, remains: Remains, now: datetime) -> Plan:
    """Say what remains, or let the namespace go."""
    status = {**(namespace.get("status") or {}), "phase": "Terminating"}
    status["conditions"] = with_conditions(status.get("conditions") or (), remains, now)
    if not remains:
        finalizers = [one for one in dig(namespace, "spec", "finalizers", default=()) if one != FINALIZER]
        if (finalizers or meta(namespace).get("finalizers")) and status != namespace.get("status"):
            return Plan((Update(NAMESPACES, {**namespace, "status": status}, subresource="status"),))
        spec = {**(namespace.get("spec") or {}), "finalizers": finalizers}
        return Plan((Update(NAMESPACES, {**namespace, "spec": spec}, subresource="finalize"),))
    again = (remains.estimate_s or DEFAULT_ESTIMATE_S) // 2 + 1
    if status == namespace.get("status"):
        return Plan(requeue_after_s=again)
    return Plan((Update(NAMESPACES, {**namespace, "status": status}, subresource="status"),), requeue_after_s=again)


def with_conditions(known: Sequence[Object], remains: Remains, now: datetime) -> list[Object]:
    """The five conditions by which a namespace explains what it waits for."""
    left = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(remains.counts.items()))
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(remains.finalizers.items()))
    found = [
        _either("NamespaceDeletionDiscoveryFailure", ", ".join(sorted(remains.discovery_errors)), (
            "DiscoveryFailed", "Discovery failed for some groups, {n} failing: unable to retrieve the complete list of "
            "server APIs: {text}",
            "ResourcesDiscovered", "All resources successfully discovered",
        ), len(remains.discovery_errors)),
        Condition(
            "NamespaceDeletionGroupVersionParsingFailure", False, "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        _either("NamespaceDeletionContentFailure", ", ".join(sorted(remains.deletion_errors)), (
            "ContentDeletionFailed", "Failed to delete all resource types, {n} remaining: {text}",
            "ContentDeleted", "All content successfully deleted, may be waiting on finalization",
        ), len(remains.deletion_errors)),
        _either("NamespaceContentRemaining", left, (
            "SomeResourcesRemain", "Some resources are remaining: {text}",
            "ContentRemoved", "All content successfully removed",
        )),
        _either("NamespaceFinalizersRemaining", held, (
            "SomeFinalizersRemain", "Some content in the namespace has finalizers remaining: {text}",
            "ContentHasNoFinalizers", "All content-preserving finalizers finished",
        )),
    ]
    result = list(known)
    for condition in found:
        document = conditions.find(result, condition.type)
        changed = conditions.with_condition(result, condition, now)
        if document is not None and document.get("message") != condition.message:
            place = next(i for i, one in enumerate(changed) if one.get("type") == condition.type)
            changed[place] = {**changed[place], "message": condition.message}
        result = changed
    return result


def _either(type: str, text: str, words: tuple[str, str, str, str], count: int = 0) -> Condition:
    """The bad condition if there is anything to say, else the good one."""
    bad_reason, bad_message, good_reason, good_message = words
    if text:
        return Condition(type, True, bad_reason, bad_message.format(text=text, n=count))
    return Condition(type, False, good_reason, good_message)


class NamespaceReconciler:
    """Keys are namespaces. The end of the last pod of one that is going leads to the next pass at once."""

    def __init__(self, wiring: Wiring) -> None:
        self._client = wiring.client
        self._namespaces = wiring.watch(NAMESPACES)
        self._pods = wiring.watch(PODS, self._emptied)

    def _emptied(self, pod: Object) -> tuple[str, ...]:
        name = namespace_of(pod)
        namespace = self._namespaces.get(name)
        is_going = namespace is not None and is_being_deleted(namespace)
        return (name,) if is_going and not self._pods.list(name) else ()

    async def reconcile(self, key: str) -> Plan:
        namespace = self._namespaces.get(key)
        if namespace is None or not is_being_deleted(namespace):
            return NOTHING
        if FINALIZER not in dig(namespace, "spec", "finalizers", default=()):
            return NOTHING
        discovery = await discover(self._client)
        now = effects.now()
        age_s = (now - times.parse(meta(namespace)["deletionTimestamp"])).total_seconds()
        return plan(namespace, await self._empty(name_of(namespace), discovery, age_s), now)

    async def _empty(self, namespace: str, discovery: Discovery, age_s: float) -> Remains:
        """Delete what is there; what is left after that. Its deletion was asked for `age_s` ago."""
        resources = sorted(
            (one for one in discovery.resources if one.resource.namespaced and "delete" in one.verbs),
            key=lambda one: (one.resource.group, one.resource.plural),
        )
        failed = [f"{group}: {error}" for group, error in sorted(discovery.failed.items())]
        sweep = _Sweep(self._client, namespace, age_s)
        await sweep.clear(PODS, frozenset({"deletecollection", "list"}))
        if not sweep.counts and not sweep.errors:
            for one in resources:
                if one.resource != PODS and "list" in one.verbs:
                    await sweep.clear(one.resource, one.verbs)
        return Remains(sweep.counts, sweep.finalizers, sweep.estimate_s, failed, sweep.errors)


class _Sweep:
    """One pass over a namespace whose deletion was asked for `age_s` ago."""

    def __init__(self, client: Client, namespace: str, age_s: float) -> None:
        self._client = client
        self._namespace = namespace
        self._age_s = age_s
        self.counts: dict[str, int] = {}
        self.finalizers: dict[str, int] = {}
        self.errors: list[str] = []
        self.estimate_s = 0

    async def clear(self, resource: Resource, verbs: Iterable[str]) -> None:
        """Delete every object of a resource, and note what is left."""
        try:
            items = await self._items(resource)
            if not items:
                return
            if "deletecollection" in verbs:
                await self._client.delete_collection(resource, self._namespace, propagation="Background")
            else:
                for item in items:
                    await self._delete(resource, name_of(item))
            self._note(resource, await self._items(resource), self._grace_s(items))
        except (errors.NotFound, errors.MethodNotAllowed):
            return  # the resource went away, or is not what discovery said
        except errors.APIError as error:
            self.errors.append(str(error))

    async def _items(self, resource: Resource) -> list[Object]:
        listing = await self._client.list(resource, self._namespace, metadata_only=resource != PODS)
        return listing.get("items") or []

    async def _delete(self, resource: Resource, name: str) -> None:
        try:
            await self._client.delete(resource, name, self._namespace, propagation="Background")
        except errors.NotFound:
            return

    def _grace_s(self, items: list[Object]) -> int:
        """How long pods that run may take to end; 0 once that time is over."""
        running = (one for one in items if dig(one, "status", "phase") not in ("Succeeded", "Failed"))
        longest = max((dig(one, "spec", "terminationGracePeriodSeconds", default=0) for one in running), default=0)
        return math.ceil(longest) if self._age_s < longest else 0

    def _note(self, resource: Resource, items: list[Object], grace_s: int) -> None:
        if not items:
            return
        self.counts[f"{resource.plural}.{resource.group}"] = len(items)
        held = [finalizer for item in items for finalizer in meta(item).get("finalizers") or ()]
        for finalizer in held:
            self.finalizers[finalizer] = self.finalizers.get(finalizer, 0) + 1
        if not grace_s and not held:
            what = f"{resource.group}/{resource.version}, Resource={resource.plural}"
            self.errors.append(f"unexpected items still remain in namespace: {self._namespace} for gvr: {what}")
        self.estimate_s = max(self.estimate_s, grace_s or DEFAULT_ESTIMATE_S)
