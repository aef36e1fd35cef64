"""The extension points, in the order in which a pod meets them. A plugin implements those it needs.

    queue:             PreEnqueue, QueueSort
    scheduling cycle:  PreFilter, Filter, PostFilter, PreScore, Score (+ normalize), Reserve, Permit
    binding cycle:     PreBind, Bind, PostBind

Everything up to Permit is synchronous: a decision is a function of the snapshot and never waits. The binding cycle
talks to the API server and runs beside the next decisions. The names and their meaning are upstream's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.status import Status
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import NamespaceLabels, PodInfo
from sampan.scheduler.snapshot import Snapshot

MAX_NODE_SCORE = 100

CycleState: TypeAlias = dict[str, Any]
"""What plugins remember from one extension point to the next within one attempt, by plugin name."""

Statuses: TypeAlias = Mapping[str, Status]
"""Why each node was refused, by node name."""

ListObjects: TypeAlias = Callable[[str], Sequence[Object]]


def _none(namespace: str) -> Sequence[Object]:
    return ()


def _no_event(obj: Object, type: str, reason: str, message: str) -> None:
    """Nobody listens."""


def _nothing(*names: str) -> Object | None:
    return None


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


@dataclass
class Handle:
    """What a plugin may use. `services` and `owners` list what selects pods in a namespace, for default spreading.

    `record(obj, type, reason, message)` makes an Event. `trial` is there once all plugins are made.
    """

    snapshot: Snapshot
    client: Client | None = None
    namespaces: Callable[[], NamespaceLabels] = dict
    services: ListObjects = _none
    owners: ListObjects = _none
    disruption_budgets: ListObjects = _none
    record: Callable[[Object, str, str, str], None] = _no_event
    trial: Trial | None = None
    storage: Storage = Storage()


class Plugin(Protocol):
    """`name` as in KubeSchedulerConfiguration; `events` are those after which a pod it refused is tried again."""

    name: ClassVar[str]
    events: ClassVar[frozenset[ClusterEvent]]


@runtime_checkable
class PreEnqueuePlugin(Protocol):
    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        """Whether the pod may be queued at all."""


@runtime_checkable
class QueueSortPlugin(Protocol):
    def sort_key(self, pod: PodInfo, queued_at: float) -> tuple[Any, ...]:
        """Pods are taken in ascending order of this. Exactly one plugin has it."""


@dataclass(frozen=True, slots=True)
class PreFilterResult:
    """The only nodes that come into question."""

    node_names: frozenset[str]


@runtime_checkable
class PreFilterPlugin(Protocol):
    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | PreFilterResult | None:
        """Look at the pod and the cluster once. SKIP leaves the plugin's filter out; a rejection ends the attempt."""


@runtime_checkable
class PreFilterExtensions(Protocol):
    """For plugins whose filter depends on pre_filter's counts: follow a trial change of one node's pods."""

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None: ...
    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None: ...


@runtime_checkable
class FilterPlugin(Protocol):
    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        """Whether the pod can run there."""


@dataclass(frozen=True, slots=True)
class PostFilterResult:
    """`nominated_node` is where room is being made, empty if nowhere; `message` goes into the event."""

    nominated_node: str = ""
    message: str = ""


@runtime_checkable
class PostFilterPlugin(Protocol):
    async def post_filter(self, state: CycleState, pod: PodInfo, statuses: Statuses) -> PostFilterResult:
        """No node fits: can something be done about it?"""


@runtime_checkable
class PreScorePlugin(Protocol):
    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Status | None:
        """Prepare for scoring these nodes. SKIP leaves the plugin's score out."""


@runtime_checkable
class ScorePlugin(Protocol):
    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        """How good the node is; 0 to 100 unless the plugin normalizes."""


@runtime_checkable
class NormalizePlugin(Protocol):
    def normalize(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], scores: list[int]) -> None:
        """Bring the scores of all nodes into 0 to 100, in place."""


@runtime_checkable
class ReservePlugin(Protocol):
    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None: ...
    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None: ...


@runtime_checkable
class PermitPlugin(Protocol):
    async def permit(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """Runs in the binding cycle and may wait; a rejection sends the pod back."""


@runtime_checkable
class PreBindPlugin(Protocol):
    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None: ...


@runtime_checkable
class BindPlugin(Protocol):
    async def bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """Tell the API server. SKIP leaves it to the next such plugin."""


@runtime_checkable
class PostBindPlugin(Protocol):
    def post_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> None: ...


PluginFactory: TypeAlias = Callable[[Handle, Mapping[str, Any]], Plugin]


def scaled_to_max(scores: list[int], *, reverse: bool) -> None:
    """Upstream's default normalization: the largest becomes 100; reversed, the smallest is best."""
    most = max(scores, default=0)
    for position, score in enumerate(scores):
        share = MAX_NODE_SCORE * score // most if most else 0
        scores[position] = MAX_NODE_SCORE - share if reverse else share
