"""Framework: the plugins of one profile, run in order at each extension point.

Which points a plugin takes part in is found once, from the protocols it implements, so a cycle only walks lists. The
answers of row-local plugins are kept per pod spec (`row_cache.py`); the others are asked in each cycle.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sampan import effects
from sampan.scheduler.framework.candidates import Candidates
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import (
    BindPlugin,
    CycleState,
    FilterPlugin,
    HintPlugin,
    PermitPlugin,
    Plugin,
    PostBindPlugin,
    PostFilterPlugin,
    PostFilterResult,
    PreBindPlugin,
    PreBindPreFlightPlugin,
    PreEnqueuePlugin,
    PreFilterExtensions,
    PreFilterPlugin,
    PreFilterResult,
    PreScorePlugin,
    QueueSortPlugin,
    ReservePlugin,
    RowsFilterPlugin,
    RowsNormalizePlugin,
    RowsScorePlugin,
    ScorePlugin,
    Wait,
)
from sampan.scheduler.framework.per_node import PerNodeFilter, PerNodeScore
from sampan.scheduler.framework.row_cache import RankedFilter, RowCache, RowPlugins, WeightedScore
from sampan.scheduler.framework.status import SKIP, Code, Status
from sampan.scheduler.framework.verdicts import Verdicts
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import Ints, Rows
from sampan.scheduler.pod_info import PodInfo

SKIPPED = "skipped filters"
_CACHED_SPECS = 128
_NOTHING_HELPED = Status(Code.UNSCHEDULABLE)
_WAITS = Status(Code.WAIT)
_NOBODY: frozenset[str] = frozenset()

Measured: TypeAlias = Callable[[str, Status | None, float], None]
"""Told the extension point, its status (None: success) and seconds."""


def _nobody_measures(point: str, status: Status | None, seconds: float) -> None:
    """The usual case in tests."""


@dataclass(frozen=True, slots=True)
class Enabled:
    """A plugin with the weight of its score, and the extension points that it takes part in (None: all it has)."""

    plugin: Plugin
    weight: int = 1
    points: frozenset[str] | None = None


@dataclass(slots=True)
class PreFiltered:
    """`rejection` ends the attempt; `node_names` limits it, and `limited_by` says which plugins did."""

    rejection: Status | None = None
    node_names: frozenset[str] | None = None
    limited_by: list[str] = field(default_factory=list)

    def take(self, plugin: str, answer: Status | PreFilterResult | None, skipped: set[str]) -> bool:
        """A plugin's answer; whether the attempt goes on. The name of one with nothing to say goes into `skipped`."""
        if isinstance(answer, PreFilterResult):
            self.limit(answer, plugin)
        elif answer is not None and answer.code is Code.SKIP:
            skipped.add(plugin)
        elif answer is not None:
            self.rejection = answer.of(plugin)
        return self.rejection is None

    def limit(self, answer: PreFilterResult, plugin: str) -> None:
        known = self.node_names
        self.node_names = answer.node_names if known is None else known & answer.node_names
        self.limited_by.append(plugin)


@dataclass(slots=True)
class _KnownSpec:
    """What is kept per pod spec."""

    before: PreFiltered
    skipped: frozenset[str]
    cache: RowCache


class Framework:
    """One profile's plugins at work."""

    def __init__(self, enabled: Sequence[Enabled], handle: Handle) -> None:
        self.handle = handle
        self.measured: Measured = _nobody_measures
        """Told how long each extension point took."""
        self.filtering_s = 0.0
        """How much of the last `pre_filter` was filtering already, by the row-local plugins."""
        self.snapshot = handle.snapshot
        self.waiting = handle.waiting
        self.plugins: Mapping[str, Plugin] = {item.plugin.name: item.plugin for item in enabled}
        self._hints: dict[str, HintPlugin] = dict(_those(enabled, "", HintPlugin))
        self._pre_enqueue: list[tuple[str, PreEnqueuePlugin]] = _those(enabled, "preEnqueue", PreEnqueuePlugin)
        self._pre_filter: list[tuple[str, PreFilterPlugin]] = _those(enabled, "preFilter", PreFilterPlugin)
        self._extensions: list[tuple[str, PreFilterExtensions]] = _those(enabled, "preFilter", PreFilterExtensions)
        self._filter: list[tuple[str, FilterPlugin]] = _those(enabled, "filter", FilterPlugin)
        self._post_filter: list[tuple[str, PostFilterPlugin]] = _those(enabled, "postFilter", PostFilterPlugin)
        self._pre_score: list[tuple[str, PreScorePlugin]] = _those(enabled, "preScore", PreScorePlugin)
        self._reserve: list[tuple[str, ReservePlugin]] = _those(enabled, "reserve", ReservePlugin)
        self._permit: list[tuple[str, PermitPlugin]] = _those(enabled, "permit", PermitPlugin)
        self._pre_bind: list[tuple[str, PreBindPlugin]] = _those(enabled, "preBind", PreBindPlugin)
        self._bind: list[tuple[str, BindPlugin]] = _those(enabled, "bind", BindPlugin)
        self._post_bind: list[tuple[str, PostBindPlugin]] = _those(enabled, "postBind", PostBindPlugin)
        sorting: list[tuple[str, QueueSortPlugin]] = _those(enabled, "queueSort", QueueSortPlugin)
        assert len(sorting) == 1, f"one plugin sorts the queue, not {len(sorting)}"
        self.sort_key = sorting[0][1].sort_key
        self.filters = [self._ranked(by, name, plugin) for by, (name, plugin) in enumerate(self._filter, start=1)]
        self._scores = [
            self._weighted(item) for item in enabled
            if _takes_part(item, "score") and _scores(item.plugin)
        ]
        self._local_filters = [entry for entry in self.filters if entry.plugin.row_local]
        self._global_filters = [entry for entry in self.filters if not entry.plugin.row_local]
        self._local_names = {entry.name for entry in self._local_filters}
        self._known: OrderedDict[bytes, _KnownSpec] = OrderedDict()
        self._asked: Counter[tuple[str, frozenset[str]]] = Counter()
        """How often the plugins of a point were asked, all but these."""

    def evaluations(self) -> Counter[tuple[str, str]]:
        """How many attempts each plugin took part in, by plugin and extension point."""
        of_point = {
            "PreFilter": [name for name, _ in self._pre_filter], "Filter": [name for name, _ in self._filter],
            "PreScore": [name for name, _ in self._pre_score], "Score": [entry.name for entry in self._scores],
        }
        found: Counter[tuple[str, str]] = Counter()
        for (point, skipped), count in self._asked.items():
            found.update({(name, point): count for name in of_point[point] if name not in skipped})
        return found

    def concerns(self, plugin: str, event: ClusterEvent) -> bool:
        """Whether the event is one of those of a plugin; of an unknown plugin every event is."""
        known = self.plugins.get(plugin)
        return known is None or event in known.events

    def treats_alike(self, plugin: str) -> bool:
        """Whether a plugin judges pods of one signature alike."""
        return bool(getattr(self.plugins.get(plugin), "treats_alike", False))

    def hint(self, plugin: str, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        """Whether the event, which is one of the plugin's, can help the pod."""
        known = self._hints.get(plugin)
        return known is None or known.hint(pod, event, old, new)

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        for name, plugin in self._pre_enqueue:
            status = plugin.pre_enqueue(pod)
            if status is not None:
                return status.of(name)
        return None

    def pre_filter(self, state: CycleState, pod: PodInfo) -> tuple[PreFiltered, RowCache]:
        """Run the PreFilter plugins; what they say, and what the row-local filters say about each row."""
        began = effects.monotonic()
        known = self._spec(pod)
        before = PreFiltered(known.before.rejection, known.before.node_names, list(known.before.limited_by))
        skipped = state[SKIPPED] = set(known.skipped)
        if before.rejection is None:
            for name, plugin in self._pre_filter:
                if name in self._local_names:
                    continue
                if not before.take(name, plugin.pre_filter(state, pod, self.snapshot), skipped):
                    break
        ran = effects.monotonic()
        self.measured("PreFilter", before.rejection, ran - began)
        self._asked["PreFilter", _NOBODY] += 1
        if before.rejection is None:
            known.cache.refresh(pod)
            self._asked["Filter", frozenset(skipped)] += 1
        self.filtering_s = effects.monotonic() - ran
        return before, known.cache

    def global_filters(self, state: CycleState) -> list[RankedFilter]:
        """The filters over rows that are not row-local and have something to say."""
        skipped = state[SKIPPED]
        return [entry for entry in self._global_filters if entry.name not in skipped]

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo, *, local_only: bool = False) -> Status | None:
        """The first refusal of one node, or None."""
        skipped = state[SKIPPED]
        for name, plugin in self._filter:
            if name in skipped or (local_only and name not in self._local_names):
                continue
            status = plugin.filter(state, pod, node)
            if status is not None:
                return status.of(name)
        return None

    def refusals(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> list[Status]:
        """What every filter says against a node, also those that a cycle does not ask any more after a refusal."""
        asked = ((name, plugin) for name, plugin in self._filter if name not in state[SKIPPED])
        found = ((name, plugin.filter(state, pod, node)) for name, plugin in asked)
        return [status.of(name) for name, status in found if status is not None]

    def only_resources_can_refuse(self, state: CycleState) -> bool:
        """Whether, once NodeResourcesFit agrees to a node that it refused, no other filter can object."""
        last = max((entry.by for entry in self._local_filters), default=0)
        fit = next((entry.by for entry in self._local_filters if entry.name == "NodeResourcesFit"), -1)
        return fit == last and not self.global_filters(state)

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None:
        """Put a pod on a trial copy of a node, and let the plugins' counts follow."""
        node.add(added)
        for name, plugin in self._extensions:
            if name not in state[SKIPPED]:
                plugin.add_pod(state, pod, added, node)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None:
        node.remove(removed.key)
        for name, plugin in self._extensions:
            if name not in state[SKIPPED]:
                plugin.remove_pod(state, pod, removed, node)

    def post_filter(self, state: CycleState, pod: PodInfo, verdicts: Verdicts) -> PostFilterResult:
        """What the plugins can do about it; their messages joined."""
        messages, began = list[str](), effects.monotonic()
        found = PostFilterResult()
        for _, plugin in self._post_filter:
            result = plugin.post_filter(state, pod, verdicts)
            if result.nominated_node:
                found = result
                break
            if result.message:
                messages.append(result.message)
        self.measured("PostFilter", None if found.nominated_node else _NOTHING_HELPED, effects.monotonic() - began)
        return found if found.nominated_node else PostFilterResult("", ", ".join(messages))

    def score(self, state: CycleState, pod: PodInfo, cache: RowCache, rows: Rows) -> Ints:
        """Each row's total: the weighted sum of the plugins' normalized scores."""
        skipped, began = set(), effects.monotonic()
        for name, prepare in self._pre_score:
            status = prepare.pre_score(state, pod, Candidates(self.snapshot.table, rows))
            if status is not None and status.code is Code.SKIP:
                skipped.add(name)
        prepared = effects.monotonic()
        self.measured("PreScore", None, prepared - began)
        self._asked["PreScore", _NOBODY] += 1
        self._asked["Score", frozenset(skipped)] += 1
        total = cache.total[rows]
        for entry, column in zip(cache.scaled, cache.raw, strict=True):
            if entry.name not in skipped:
                total = total + self._scaled(entry, state, pod, rows, column[rows])
        for entry in self._scores:
            if not entry.plugin.row_local and entry.name not in skipped:
                total = total + self._scaled(entry, state, pod, rows, entry.plugin.score_rows(state, pod, rows))
        self.measured("Score", None, effects.monotonic() - prepared)
        return total

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        began, refused = effects.monotonic(), None
        for name, plugin in self._reserve:
            status = plugin.reserve(state, pod, node_name)
            if status is not None:
                self.unreserve(state, pod, node_name)
                refused = status.of(name)
                break
        self.measured("Reserve", refused, effects.monotonic() - began)
        return refused

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        for _, plugin in reversed(self._reserve):
            plugin.unreserve(state, pod, node_name)

    def permit(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """The first rejection. The pod is held if a plugin wants it to wait."""
        timeouts: dict[str, float] = {}
        began, refused = effects.monotonic(), None
        for name, plugin in self._permit:
            answer = plugin.permit(state, pod, node_name)
            if isinstance(answer, Wait):
                timeouts[name] = answer.timeout_s
            elif answer is not None:
                refused = answer.of(name)
                break
        self.measured("Permit", refused or (_WAITS if timeouts else None), effects.monotonic() - began)
        if timeouts and refused is None:
            self.waiting.hold(pod, node_name, timeouts)
        return refused

    def may_wait(self, state: CycleState, pod: PodInfo, node_name: str) -> bool:
        """Whether `prepare` has something to do that takes time."""
        return self.waiting.get(pod.uid) is not None or any(
            not isinstance(plugin, PreBindPreFlightPlugin)
            or plugin.pre_bind_pre_flight(state, pod, node_name) is not SKIP
            for _, plugin in self._pre_bind
        )

    async def prepare(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """Wait on Permit, then PreBind; the first refusal, or None when the pod can be bound."""
        status = await self.waiting.verdict(pod)
        if status is not None:
            return status
        began, refused = effects.monotonic(), None
        for name, pre_bind in self._pre_bind:
            status = await pre_bind.pre_bind(state, pod, node_name)
            if status is not None:
                refused = status.of(name)
                break
        self.measured("PreBind", refused, effects.monotonic() - began)
        return refused

    async def bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """Bind, PostBind; why not, or None when the pod is bound."""
        began, refused = effects.monotonic(), None
        for name, plugin in self._bind:
            status = await plugin.bind(state, pod, node_name)
            if status is None:
                break
            if status.code is not Code.SKIP:
                refused = status.of(name)
                break
        bound = effects.monotonic()
        self.measured("Bind", refused, bound - began)
        if refused is None and self._post_bind:
            for _, post_bind in self._post_bind:
                post_bind.post_bind(state, pod, node_name)
            self.measured("PostBind", None, effects.monotonic() - bound)
        return refused

    def _scaled(self, entry: WeightedScore, state: CycleState, pod: PodInfo, rows: Rows, scores: Ints) -> Ints:
        if entry.normalize is not None:
            scores = entry.normalize(state, pod, rows, scores)
        return scores if entry.weight == 1 else entry.weight * scores

    def _spec(self, pod: PodInfo) -> _KnownSpec:
        """What is known of pods with that spec."""
        key = pod.signature.spec_key
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        before, skipped = PreFiltered(), set[str]()
        state: CycleState = {SKIPPED: skipped}
        for name, plugin in self._pre_filter:
            if name not in self._local_names or before.rejection is not None:
                continue
            before.take(name, plugin.pre_filter(state, pod, self.snapshot), skipped)
        plugins = RowPlugins(
            [entry for entry in self._local_filters if entry.name not in skipped],
            [entry for entry in self._scores if entry.plugin.row_local], self._crowded,
        )
        only = None if before.node_names is None else self.snapshot.table.rows_of(before.node_names)
        known = _KnownSpec(before, frozenset(skipped), RowCache(self.snapshot, plugins, state, only))
        if only is None:
            self._known[key] = known
            if len(self._known) > _CACHED_SPECS:
                self._known.popitem(last=False)
        return known

    def _crowded(self, state: CycleState, pod: PodInfo, row: int) -> Status | None:
        """Why a node does not fit once the pods count for which room is being made there."""
        node = self.snapshot.table.info(row)
        others = [
            other for other in self.snapshot.nominated.get(node.name, {}).values()
            if other.priority >= pod.priority and other.key not in node.pods
        ]
        if not others:
            return None
        crowded = node.copy()
        for other in others:
            crowded.add(other)
        return self.filter(state, pod, crowded, local_only=True)

    def _ranked(self, by: int, name: str, plugin: FilterPlugin) -> RankedFilter:
        if isinstance(plugin, RowsFilterPlugin):
            return RankedFilter(by, name, plugin)
        return RankedFilter(by, name, PerNodeFilter(name, plugin, self.snapshot.table))

    def _weighted(self, item: Enabled) -> WeightedScore:
        plugin: Any = item.plugin
        if not isinstance(plugin, RowsScorePlugin):
            plugin = PerNodeScore(plugin, self.snapshot.table)
        normalize = plugin.normalize_rows if isinstance(plugin, RowsNormalizePlugin) else None
        return WeightedScore(item.plugin.name, plugin, item.weight, normalize)


EXTENSION_POINTS: Mapping[str, tuple[type, ...]] = {
    "preEnqueue": (PreEnqueuePlugin,), "queueSort": (QueueSortPlugin,), "preFilter": (PreFilterPlugin,),
    "filter": (FilterPlugin,), "postFilter": (PostFilterPlugin,), "preScore": (PreScorePlugin,),
    "score": (ScorePlugin, RowsScorePlugin), "reserve": (ReservePlugin,), "permit": (PermitPlugin,),
    "preBind": (PreBindPlugin,), "bind": (BindPlugin,), "postBind": (PostBindPlugin,),
}
"""By name in a configuration: the protocols of which a plugin has one, if it takes part."""


def has_point(plugin: Plugin, point: str) -> bool:
    return isinstance(plugin, EXTENSION_POINTS[point])


def _scores(plugin: Any) -> bool:
    return isinstance(plugin, ScorePlugin | RowsScorePlugin)


def _takes_part(item: Enabled, point: str) -> bool:
    return item.points is None or point in item.points


def _those(enabled: Iterable[Enabled], point: str, protocol: Any) -> list[tuple[str, Any]]:
    """The plugins that implement a protocol and take part in the point (if it is one), with their names."""
    return [
        (item.plugin.name, item.plugin) for item in enabled
        if (not point or _takes_part(item, point)) and isinstance(item.plugin, protocol)
    ]

