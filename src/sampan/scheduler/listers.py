"""The scheduler's copies of what it reads, and what plugins ask of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sampan.api.resources import (
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
)
from sampan.apimachinery.object import Object, dig, labels_of, name_of
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client
from sampan.client.informer import Informer, InformerFactory
from sampan.client.lister import Lister
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Storage
from sampan.scheduler.pod_informer import PodInformer

_ALWAYS_THERE = frozenset((PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES))

Happened = Callable[[ClusterEvent, Any, Any], None]


class Listers:
    """`async with Listers(client)` keeps the copies current.

    What happens to an object that somebody listens to goes to `happened(event, old, new)`.
    """

    def __init__(self, client: Client) -> None:
        self._factory = InformerFactory(client)
        self._optional = InformerFactory(client)
        """Of resources that an API server may lack: nothing waits for these copies."""
        self.happened: Happened | None = None
        self.pods = PodInformer(client)
        self._pods_task: asyncio.Task[None] | None = None
        self.node_informer = self._factory.informer(NODES)
        self.namespace_informer = self._factory.informer(NAMESPACES)
        self._selecting = _Versioned(self._factory.informer(SERVICES), lambda obj: dig(obj, "spec", "selector"))
        self._replica_sets = _Versioned(self._factory.informer(REPLICA_SETS), lambda obj: None)
        self._stateful_sets = _Versioned(self._factory.informer(STATEFUL_SETS), lambda obj: None)
        self._controllers = _Versioned(
            self._factory.informer(REPLICATION_CONTROLLERS), lambda obj: dig(obj, "spec", "selector")
        )
        self._budgets = _Versioned(
            self._factory.informer(POD_DISRUPTION_BUDGETS), lambda obj: (obj.get("spec"), obj.get("status"))
        )
        self._claims = self.listen(PERSISTENT_VOLUME_CLAIMS, ClusterEvent.CLAIM)
        self._volumes = self.listen(PERSISTENT_VOLUMES, ClusterEvent.VOLUME)
        self._classes = self.listen(STORAGE_CLASSES, ClusterEvent.STORAGE_CLASS)
        self._namespace_labels: dict[str, Mapping[str, str]] | None = None
        self.namespace_informer.add_handler(
            self._forget_labels, lambda old, new: self._forget_labels(new), self._forget_labels
        )

    async def __aenter__(self) -> Listers:
        await self._factory.__aenter__()
        await self._optional.__aenter__()
        self._pods_task = asyncio.create_task(self._run_pods(), name="informer pods")
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._pods_task is not None:
            self._pods_task.cancel()
            await asyncio.gather(self._pods_task, return_exceptions=True)
        await self._optional.__aexit__(*exc)
        await self._factory.__aexit__(*exc)

    async def wait_synced(self) -> None:
        await self._factory.wait_synced()
        await self.pods.wait_synced()

    async def wait_optional(self, timeout_s: float) -> None:
        """As `wait_synced` for copies that an API server may not have; no longer than this."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._optional.wait_synced()

    def listen(self, resource: Resource, event: ClusterEvent) -> Lister:
        """Keep a copy of a resource's objects; each change of one is that event. See `Handle.listen`."""

        def happened(old: Object | None, new: Object | None) -> None:
            if self.happened is not None:
                self.happened(event, old, new)

        informer = (self._factory if resource in _ALWAYS_THERE else self._optional).informer(resource)
        informer.add_handler(
            lambda obj: happened(None, obj), lambda old, new: happened(old, new), lambda obj: happened(obj, None)
        )
        return informer.lister

    def namespace_labels(self) -> Mapping[str, Mapping[str, str]]:
        """The labels of each namespace, by name."""
        if self._namespace_labels is None:
            self._namespace_labels = {name_of(ns): labels_of(ns) for ns in self.namespace_informer.lister.list()}
        return self._namespace_labels

    def services(self, namespace: str) -> Sequence[Object]:
        return self._selecting.lister.list(namespace)

    def owners(self, namespace: str) -> Sequence[Object]:
        """What owns pods and selects them by labels."""
        return [
            *self._replica_sets.lister.list(namespace), *self._stateful_sets.lister.list(namespace),
            *self._controllers.lister.list(namespace),
        ]

    def owners_version(self) -> int:
        """Changes when `services` or `owners` would select otherwise."""
        return (
            self._selecting.version + self._replica_sets.version + self._stateful_sets.version
            + self._controllers.version
        )

    def disruption_budgets(self, namespace: str) -> Sequence[Object]:
        return self._budgets.lister.list(namespace)

    def budgets_version(self) -> int:
        return self._budgets.version

    def storage(self) -> Storage:
        claims, volumes, classes = self._claims, self._volumes, self._classes
        return Storage(lambda namespace, name: claims.get(name, namespace), volumes.get, volumes.list, classes.get)

    async def _run_pods(self) -> None:
        """After the nodes, so that pods find theirs."""
        await self.node_informer.wait_synced()
        await self.pods.run()

    def _forget_labels(self, namespace: Object) -> None:
        self._namespace_labels = None


class _Versioned:
    """A copy with a number that changes when objects come and go, or when what matters about one does."""

    def __init__(self, informer: Informer, matters: Callable[[Object], Any]) -> None:
        self.lister = informer.lister
        self.version = 0
        self._matters = matters
        informer.add_handler(self._changed, self._updated, self._changed)

    def _changed(self, obj: Object) -> None:
        self.version += 1

    def _updated(self, old: Object, new: Object) -> None:
        if self._matters(old) != self._matters(new):
            self.version += 1
