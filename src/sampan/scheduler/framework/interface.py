"""The extension points, in the order in which a pod meets them. A plugin implements those it needs.

    queue:             PreEnqueue, QueueSort, queueing hints
    scheduling cycle:  PreFilter, Filter, PostFilter, PreScore, Score (+ normalize), Reserve, Permit
    binding cycle:     PreBind, Bind, PostBind

Everything up to Permit is synchronous: a decision is a function of the snapshot and never waits. The binding cycle
talks to the API server and runs beside the next decisions. The names and their meaning are upstream's.

Filter and Score come in two forms. The simple one judges one node. The other judges all nodes at once, over the columns
of the node table; the built-in plugins have it, because it is a hundred times as fast. A filter has the simple form in
any case: it serves trials on one node (nominated pods, preemption), and both forms must agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from sampan.scheduler.framework.candidates import Candidates
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.status import Status
from sampan.scheduler.framework.verdicts import Verdicts
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import Ints, Rows
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

MAX_NODE_SCORE = 100

CycleState: TypeAlias = dict[str, Any]
"""What plugins remember from one extension point to the next within one attempt, by plugin name.

A trial works on a copy: a value that a trial may change has a `copy()`.
"""

class Plugin(Protocol):
    """`name` as in KubeSchedulerConfiguration; `events` are those after which a pod it refused may be tried again.

    A plugin whose verdicts and hints depend on the pod's signature only says so by `treats_alike = True`: then of many
    waiting pods of one signature, one is asked about and tried.
    """

    name: ClassVar[str]
    events: ClassVar[frozenset[ClusterEvent]]


@runtime_checkable
class HintPlugin(Protocol):
    def hint(self, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        """Whether one of the plugin's events can help a pod that it refused (KEP-4247).

        `old` and `new` are PodInfo for events of pods, documents for all others; None where there is none.
        """


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


class RowLocal(Protocol):
    """`row_local` is True if the answer about a node depends on the pod's signature and on that node's row alone.

    Then the framework keeps the answers for all pods of the signature and asks again only about rows that changed.
    Such a plugin puts nothing into the cycle state, and its pre_filter looks at the pod only.
    """

    row_local: ClassVar[bool]


@runtime_checkable
class RowsFilterPlugin(RowLocal, Protocol):
    """A FilterPlugin that judges many nodes at once.

    With `only_fitting = True` one that is not row-local is asked only about nodes that no filter before it refused.
    """

    def filter_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints | None:
        """For each row 0 if the pod can run there, else a positive code for the reason; None if all rows are fine."""

    def refusal(self, state: CycleState, pod: PodInfo, code: int) -> Status:
        """What a code means: the status that `filter` gives on such a node. Asked only when somebody wants to know."""


@runtime_checkable
class SingleFilterPlugin(Protocol):
    """A row-local RowsFilterPlugin that is quick with one row, which is what changes when a pod is placed."""

    def code(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        """As `filter_rows`, of one node."""


@dataclass(frozen=True, slots=True)
class PostFilterResult:
    """`nominated_node` is where room is being made, empty if nowhere; `message` goes into the event."""

    nominated_node: str = ""
    message: str = ""


@runtime_checkable
class PostFilterPlugin(Protocol):
    def post_filter(self, state: CycleState, pod: PodInfo, verdicts: Verdicts) -> PostFilterResult:
        """No node fits: can something be done about it? What takes time goes on beside (`Handle.background`)."""


@runtime_checkable
class PreScorePlugin(Protocol):
    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Candidates) -> Status | None:
        """Prepare for scoring these nodes. SKIP leaves the plugin's score out: it is the same for all of them."""


@runtime_checkable
class ScorePlugin(Protocol):
    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        """How good the node is; 0 to 100 unless the plugin normalizes."""


@runtime_checkable
class NormalizePlugin(Protocol):
    def normalize(self, state: CycleState, pod: PodInfo, nodes: Candidates, scores: list[int]) -> None:
        """Bring the scores of all nodes into 0 to 100, in place."""


@runtime_checkable
class RowsScorePlugin(RowLocal, Protocol):
    """A Score plugin that judges many nodes at once. It needs no `score`; one that is row-local is quicker with it."""

    def score_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints:
        """How good each row's node is."""


@runtime_checkable
class RowsNormalizePlugin(Protocol):
    def normalize_rows(self, state: CycleState, pod: PodInfo, rows: Rows, scores: Ints) -> Ints:
        """The scores of all rows that fit, brought into 0 to 100. `scores` must not be changed."""


@runtime_checkable
class ReservePlugin(Protocol):
    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None: ...
    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Wait:
    """Permit's answer: hold the pod until somebody allows or rejects it (`Handle.waiting`), at most so long."""

    timeout_s: float


@runtime_checkable
class PermitPlugin(Protocol):
    def permit(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | Wait | None:
        """The last word of the scheduling cycle; a rejection sends the pod back."""


@runtime_checkable
class PreBindPlugin(Protocol):
    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None: ...


@runtime_checkable
class PreBindPreFlightPlugin(Protocol):
    def pre_bind_pre_flight(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """SKIP if `pre_bind` has nothing to do for the pod. Who may have to wait does not hold up other bindings."""


@runtime_checkable
class BindPlugin(Protocol):
    async def bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """Tell the API server. SKIP leaves it to the next such plugin."""


@runtime_checkable
class PostBindPlugin(Protocol):
    def post_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> None: ...
