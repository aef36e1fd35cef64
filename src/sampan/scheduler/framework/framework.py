"""Framework: the plugins of one profile, run in order at each extension point.

Which points a plugin takes part in is found once, from the protocols it implements, so a cycle only walks lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.scheduler.framework.interface import (
    BindPlugin,
    CycleState,
    FilterPlugin,
    NormalizePlugin,
    PermitPlugin,
    Plugin,
    PostBindPlugin,
    PostFilterPlugin,
    PostFilterResult,
    PreBindPlugin,
    PreEnqueuePlugin,
    PreFilterExtensions,
    PreFilterPlugin,
    PreFilterResult,
    PreScorePlugin,
    QueueSortPlugin,
    ReservePlugin,
    ScorePlugin,
    Statuses,
)
from sampan.scheduler.framework.status import Code, Status
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

SKIPPED = "skipped filters"


@dataclass(frozen=True, slots=True)
class Enabled:
    """A plugin with the weight of its score."""

    plugin: Plugin
    weight: int = 1


@dataclass(slots=True)
class PreFiltered:
    """`rejection` ends the attempt; `node_names` limits it, and `limited_by` says which plugins did."""

    rejection: Status | None = None
    node_names: frozenset[str] | None = None
    limited_by: list[str] = field(default_factory=list)


class Framework:
    """One profile's plugins at work."""

    def __init__(self, enabled: Sequence[Enabled]) -> None:
        self.plugins: Mapping[str, Plugin] = {item.plugin.name: item.plugin for item in enabled}
        plugins = list(self.plugins.values())
        self._pre_enqueue: list[tuple[str, PreEnqueuePlugin]] = _those(plugins, PreEnqueuePlugin)
        self._pre_filter: list[tuple[str, PreFilterPlugin]] = _those(plugins, PreFilterPlugin)
        self._extensions: list[tuple[str, PreFilterExtensions]] = _those(plugins, PreFilterExtensions)
        self._filter = [(plugin.name, plugin.filter) for plugin in plugins if isinstance(plugin, FilterPlugin)]
        self._post_filter: list[tuple[str, PostFilterPlugin]] = _those(plugins, PostFilterPlugin)
        self._pre_score: list[tuple[str, PreScorePlugin]] = _those(plugins, PreScorePlugin)
        self._score = [(i.plugin, i.weight) for i in enabled if isinstance(i.plugin, ScorePlugin)]
        self._reserve: list[tuple[str, ReservePlugin]] = _those(plugins, ReservePlugin)
        self._permit: list[tuple[str, PermitPlugin]] = _those(plugins, PermitPlugin)
        self._pre_bind: list[tuple[str, PreBindPlugin]] = _those(plugins, PreBindPlugin)
        self._bind: list[tuple[str, BindPlugin]] = _those(plugins, BindPlugin)
        self._post_bind: list[tuple[str, PostBindPlugin]] = _those(plugins, PostBindPlugin)
        sorting: list[tuple[str, QueueSortPlugin]] = _those(plugins, QueueSortPlugin)
        assert len(sorting) == 1, f"one plugin sorts the queue, not {len(sorting)}"
        self.sort_key = sorting[0][1].sort_key

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        for name, plugin in self._pre_enqueue:
            status = plugin.pre_enqueue(pod)
            if status is not None:
                return status.of(name)
        return None

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> PreFiltered:
        result = PreFiltered()
        skipped = state.setdefault(SKIPPED, set())
        for name, plugin in self._pre_filter:
            answer = plugin.pre_filter(state, pod, snapshot)
            if isinstance(answer, PreFilterResult):
                known = result.node_names
                result.node_names = answer.node_names if known is None else known & answer.node_names
                result.limited_by.append(name)
            elif answer is not None and answer.code is Code.SKIP:
                skipped.add(name)
            elif answer is not None:
                result.rejection = answer.of(name)
                break
        return result

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        """The first refusal, or None."""
        skipped = state.get(SKIPPED, ())
        for name, run in self._filter:
            if name in skipped:
                continue
            status = run(state, pod, node)
            if status is not None:
                return status.of(name)
        return None

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None:
        """Put a pod on a trial copy of a node, and let the plugins' counts follow."""
        node.add(added)
        for name, plugin in self._extensions:
            if name not in state.get(SKIPPED, ()):
                plugin.add_pod(state, pod, added, node)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None:
        node.remove(removed.key)
        for name, plugin in self._extensions:
            if name not in state.get(SKIPPED, ()):
                plugin.remove_pod(state, pod, removed, node)

    async def post_filter(self, state: CycleState, pod: PodInfo, statuses: Statuses) -> PostFilterResult:
        """What the plugins can do about it; their messages joined."""
        messages = []
        for _, plugin in self._post_filter:
            result = await plugin.post_filter(state, pod, statuses)
            if result.nominated_node:
                return result
            if result.message:
                messages.append(result.message)
        return PostFilterResult("", ", ".join(messages))

    def score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        """Each node's total: the weighted sum of the plugins' normalized scores."""
        skipped = set()
        for name, prepare in self._pre_score:
            status = prepare.pre_score(state, pod, nodes)
            if status is not None and status.code is Code.SKIP:
                skipped.add(name)
        totals = [0] * len(nodes)
        for plugin, weight in self._score:
            if plugin.name in skipped:
                continue
            assert isinstance(plugin, ScorePlugin)
            scores = [plugin.score(state, pod, node) for node in nodes]
            if isinstance(plugin, NormalizePlugin):
                plugin.normalize(state, pod, nodes, scores)
            for position, score in enumerate(scores):
                totals[position] += weight * score
        return totals

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        for name, plugin in self._reserve:
            status = plugin.reserve(state, pod, node_name)
            if status is not None:
                self.unreserve(state, pod, node_name)
                return status.of(name)
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        for _, plugin in reversed(self._reserve):
            plugin.unreserve(state, pod, node_name)

    async def bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """Permit, PreBind, Bind, PostBind; the first refusal, or None when the pod is bound."""
        for name, permit in self._permit:
            status = await permit.permit(state, pod, node_name)
            if status is not None:
                return status.of(name)
        for name, pre_bind in self._pre_bind:
            status = await pre_bind.pre_bind(state, pod, node_name)
            if status is not None:
                return status.of(name)
        for name, plugin in self._bind:
            status = await plugin.bind(state, pod, node_name)
            if status is None:
                break
            if status.code is not Code.SKIP:
                return status.of(name)
        for _, post_bind in self._post_bind:
            post_bind.post_bind(state, pod, node_name)
        return None


def _those(plugins: Iterable[Plugin], protocol: Any) -> list[tuple[str, Any]]:
    """The plugins that implement a protocol, with their names."""
    return [(plugin.name, plugin) for plugin in plugins if isinstance(plugin, protocol)]
