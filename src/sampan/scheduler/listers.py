"""The scheduler's informers, and what plugins ask of them.

Pods that have ended are not listed at all: they hold nothing on a node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.api.resources import (
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
)
from sampan.apimachinery.object import Object, labels_of, name_of
from sampan.client.client import Client
from sampan.client.informer import InformerFactory
from sampan.client.lister import Lister
from sampan.scheduler.framework.interface import Storage

RUNNING = "status.phase!=Succeeded,status.phase!=Failed"


class Listers:
    """`async with Listers(client)` keeps the copies current."""

    def __init__(self, client: Client) -> None:
        self._factory = InformerFactory(client)
        self.pod_informer = self._factory.informer(PODS, field_selector=RUNNING)
        self.node_informer = self._factory.informer(NODES)
        self.namespace_informer = self._factory.informer(NAMESPACES)
        self._services = self._factory.informer(SERVICES).lister
        self._replica_sets = self._factory.informer(REPLICA_SETS).lister
        self._stateful_sets = self._factory.informer(STATEFUL_SETS).lister
        self._budgets = self._factory.informer(POD_DISRUPTION_BUDGETS).lister
        self.storage_informers = tuple(
            self._factory.informer(one) for one in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES)
        )
        self.pods: Lister = self.pod_informer.lister
        self._namespace_labels: dict[str, Mapping[str, str]] | None = None
        self.namespace_informer.add_handler(
            self._forget_labels, lambda old, new: self._forget_labels(new), self._forget_labels
        )

    async def __aenter__(self) -> Listers:
        await self._factory.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._factory.__aexit__(*exc)

    async def wait_synced(self) -> None:
        await self._factory.wait_synced()

    def namespace_labels(self) -> Mapping[str, Mapping[str, str]]:
        """The labels of each namespace, by name."""
        if self._namespace_labels is None:
            self._namespace_labels = {name_of(ns): labels_of(ns) for ns in self.namespace_informer.lister.list()}
        return self._namespace_labels

    def services(self, namespace: str) -> Sequence[Object]:
        return self._services.list(namespace)

    def owners(self, namespace: str) -> Sequence[Object]:
        """What owns pods and selects them by labels."""
        return [*self._replica_sets.list(namespace), *self._stateful_sets.list(namespace)]

    def disruption_budgets(self, namespace: str) -> Sequence[Object]:
        return self._budgets.list(namespace)

    def storage(self) -> Storage:
        claims, volumes, classes = (informer.lister for informer in self.storage_informers)
        return Storage(lambda namespace, name: claims.get(name, namespace), volumes.get, volumes.list, classes.get)

    def _forget_labels(self, namespace: Object) -> None:
        self._namespace_labels = None
