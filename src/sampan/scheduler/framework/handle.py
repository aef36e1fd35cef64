"""Handle: what a plugin may use of the scheduler it runs in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client
from sampan.client.lister import Cache, Lister
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.interface import BindPlugin, CycleState, Plugin
from sampan.scheduler.framework.status import Status
from sampan.scheduler.framework.waiting import WaitingPods
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_affinity import NamespaceLabels
from sampan.scheduler.pod_groups import PodGroups
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

ListObjects: TypeAlias = Callable[[str], Sequence[Object]]


def _none(namespace: str) -> Sequence[Object]:
    return ()


def _unknown() -> int | None:
    return None


def _never(work: Coroutine[Any, Any, None]) -> None:
    work.close()


def _no_event(obj: Object, type: str, reason: str, message: str) -> None:
    """Nobody listens."""


def _not_queued(key: str) -> None:
    """Nobody waits."""


def _not_counted(victims: int) -> None:
    """Nobody counts."""


def _nothing(*names: str) -> Object | None:
    return None


def _empty(resource: Resource, event: ClusterEvent) -> Lister:
    return Lister(Cache())


@dataclass(frozen=True, slots=True)
class Storage:
    """The scheduler's copies of claims (by namespace and name), volumes and storage classes."""

    claim: Callable[[str, str], Object | None] = _nothing
    volume: Callable[[str], Object | None] = _nothing
    volumes: Callable[[], Sequence[Object]] = tuple
    storage_class: Callable[[str], Object | None] = _nothing


class Trial(Protocol):
    """What would be if other pods were on a node. Work on a copied state and a copied node."""

    def copy_state(self, state: CycleState) -> CycleState: ...
    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None: ...
    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None: ...
    def refusal(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        """Why the pod cannot run on the node as it is now."""

    def only_resources_can_refuse(self, state: CycleState) -> bool:
        """Whether nothing but a lack of resources keeps the pod from a node that NodeResourcesFit refused."""


class Binder(Plugin, BindPlugin, Protocol):
    """A plugin that binds."""


@dataclass
class Handle:
    """`services` and `owners` list what selects pods in a namespace, for default spreading.

    `record(obj, type, reason, message)` makes an Event of an object or of a reference to one. `listen(resource, event)`
    keeps a copy of all objects of a resource, and every change of one counts as that event for the queue; the copy
    stays empty where the API server does not know the resource. `trial` is there once all plugins are made.
    """

    snapshot: Snapshot
    client: Client | None = None
    namespaces: Callable[[], NamespaceLabels] = dict
    services: ListObjects = _none
    owners: ListObjects = _none
    owners_version: Callable[[], int | None] = _unknown
    """Changes whenever `services` or `owners` would answer otherwise; None if that is not known."""
    disruption_budgets: ListObjects = _none
    budgets_version: Callable[[], int | None] = _unknown
    """As `owners_version`, of `disruption_budgets`."""
    background: Callable[[Coroutine[Any, Any, None]], Any] = _never
    """Run something beside the scheduling cycles; it is cancelled when the scheduler ends."""
    record: Callable[[Object, str, str, str], None] = _no_event
    listen: Callable[[Resource, ClusterEvent], Lister] = _empty
    trial: Trial | None = None
    storage: Storage = Storage()
    activate: Callable[[str], None] = _not_queued
    """Try a waiting pod now, by key."""
    binder: Binder | None = None
    """Binds before all plugins that do."""
    preempted: Callable[[int], None] = _not_counted
    """Told how many victims a preemption has."""
    waiting: WaitingPods = field(default_factory=WaitingPods)
    groups: PodGroups = field(default_factory=PodGroups)


PluginFactory: TypeAlias = Callable[[Handle, Mapping[str, Any]], Plugin]
"""Makes a plugin from its handle and its arguments in KubeSchedulerConfiguration."""
