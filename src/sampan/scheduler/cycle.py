"""The scheduling cycle: one pod, one snapshot, one decision. Synchronous and without effects.

    pre-filter → filter every node → score those that fit → the best; among equals, chance decides

All nodes are judged, over columns (`node_table.py`). Ties are broken by `effects.rng()`: of n best nodes, in the order
of their rows, the one at `randrange(n)`; a single best node needs no chance. So a seeded run decides the same again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sampan import effects
from sampan.apimachinery.object import Object
from sampan.scheduler.diagnosis import Diagnosis
from sampan.scheduler.framework.framework import Framework, PreFiltered
from sampan.scheduler.framework.interface import CycleState, PreFilterResult
from sampan.scheduler.framework.row_cache import RankedFilter, RowCache
from sampan.scheduler.framework.status import Code, Status, unresolvable
from sampan.scheduler.framework.verdicts import Verdicts
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import Bools, Indexes, Ints, NodeTable, Rows
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Decision:
    """`node_name` is empty when no node fits; then `diagnosis` says why. `feasible` is how many nodes fit."""

    pod: PodInfo
    node_name: str
    state: CycleState
    diagnosis: Diagnosis
    feasible: int = 0


@dataclass(frozen=True, slots=True)
class Outside:
    """What extenders said: which nodes they were asked about, which of these they refused, what they add to scores."""

    asked: frozenset[str]
    refused: Mapping[str, Status]
    scores: Mapping[str, int]

    def refusal(self, node_name: str) -> Status | None:
        if node_name in self.asked:
            return self.refused.get(node_name)
        return _NOT_ASKED


_NOWHERE = Status(Code.UNSCHEDULABLE)
_NOT_ASKED = Status(Code.UNRESOLVABLE, ("node(s) did not fit yet when extenders were asked",), "Extender")


def decide(
    framework: Framework, snapshot: Snapshot, pod: PodInfo, *, only: frozenset[str] | None = None,
    outside: Outside | None = None,
) -> Decision:
    """Where the pod should go. `only`: the nodes that its pod group has left."""
    state: CycleState = {}
    table = snapshot.table
    before, cache = framework.pre_filter(state, pod)
    if before.rejection is not None:
        return _rejected(before.rejection, snapshot, pod, state)
    if only is not None:
        before.limit(PreFilterResult(only), "GangScheduling")
    began = effects.monotonic() - framework.filtering_s
    nominated = _nominated(framework, snapshot, pod, state, before)
    if nominated is not None and (outside is None or outside.refusal(nominated.name) is None):
        return Decision(pod, nominated.name, state, Diagnosis(0), 1)
    cycle = _Cycle(framework, snapshot, pod, state, before, cache)
    fitting = cycle.filter()
    framework.measured("Filter", None if fitting.any() else _NOWHERE, effects.monotonic() - began)
    if outside is not None:
        fitting = cycle.without_refused(fitting, outside)
    count = int(np.count_nonzero(fitting))
    if not count:
        return Decision(pod, "", state, cycle.diagnosis())
    rows: Rows = table.every if count == table.size else np.flatnonzero(fitting)
    if count == 1:
        row = _first(rows)
    else:
        scores = framework.score(state, pod, cache, rows)
        row = _best(rows, scores if outside is None else scores + _added(table, rows, outside))
    return Decision(pod, table.info(row).name, state, Diagnosis(0), count)


def _nominated(
    framework: Framework, snapshot: Snapshot, pod: PodInfo, state: CycleState, before: PreFiltered
) -> NodeInfo | None:
    """The node where room was made for the pod, if it fits there now."""
    node = snapshot.node(snapshot.nominated_node(pod.key) or pod.nominated_node)
    if node is None or (before.node_names is not None and node.name not in before.node_names):
        return None
    return node if fits(framework, snapshot, state, pod, node) is None else None


def feasible(framework: Framework, snapshot: Snapshot, pod: PodInfo) -> dict[str, Object]:
    """The nodes that fit at this moment, by name."""
    state: CycleState = {}
    before, cache = framework.pre_filter(state, pod)
    if before.rejection is not None:
        return {}
    fitting = _Cycle(framework, snapshot, pod, state, before, cache).filter()
    infos = [snapshot.table.info(row) for row in np.flatnonzero(fitting).tolist()]
    nominated = _nominated(framework, snapshot, pod, state, before)
    if nominated is not None and nominated not in infos:
        infos.append(nominated)
    return {info.name: info.node for info in infos if info.node is not None}


def verdicts(framework: Framework, snapshot: Snapshot, pod: PodInfo) -> Verdicts:
    """What the filters say about every node at this moment, whether the pod fits somewhere or not."""
    state: CycleState = {}
    before, cache = framework.pre_filter(state, pod)
    if before.rejection is not None:
        return _rejected(before.rejection, snapshot, pod, state).diagnosis.statuses
    cycle = _Cycle(framework, snapshot, pod, state, before, cache)
    cycle.filter()
    return cycle.verdicts()


def fits(framework: Framework, snapshot: Snapshot, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
    """Why the pod cannot run on the node, None if it can; with the pods for which room is being made there, too."""
    nominated = [
        other for other in snapshot.nominated.get(node.name, {}).values()
        if other.priority >= pod.priority and other.key != pod.key and other.key not in node.pods
    ]
    if nominated:
        crowded, crowded_state = node.copy(), copied(state)
        for other in nominated:
            framework.add_pod(crowded_state, pod, other, crowded)
        refusal = framework.filter(crowded_state, pod, crowded)
        if refusal is not None:
            return refusal
    return framework.filter(state, pod, node)


class CycleTrial:
    """See `framework.handle.Trial`."""

    def __init__(self, framework: Framework, snapshot: Snapshot) -> None:
        self._framework = framework
        self._snapshot = snapshot
        self.add_pod = framework.add_pod
        self.remove_pod = framework.remove_pod
        self.only_resources_can_refuse = framework.only_resources_can_refuse

    def copy_state(self, state: CycleState) -> CycleState:
        return copied(state)

    def refusal(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return fits(self._framework, self._snapshot, state, pod, node)


@dataclass(slots=True)
class _Cycle:
    """One attempt's filters: the row-local ones are in the cache, the others are asked now."""

    _framework: Framework
    _snapshot: Snapshot
    _pod: PodInfo
    _state: CycleState
    _before: PreFiltered
    _cache: RowCache
    _answers: list[tuple[RankedFilter, Rows, Ints]] = field(default_factory=list)
    _crowded: dict[int, Status] = field(default_factory=dict)
    _refused: dict[int, Status] = field(default_factory=dict)

    def filter(self) -> Bools:
        """Which rows fit."""
        table = self._snapshot.table
        fitting = self._cache.fits[: table.size]
        if self._before.node_names is not None:
            limited = np.zeros(table.size, np.bool_)
            limited[table.rows_of(self._before.node_names)] = True
            fitting = fitting & limited
        for entry in self._framework.global_filters(self._state):
            rows: Rows = np.flatnonzero(fitting) if getattr(entry.plugin, "only_fitting", False) else table.every
            codes = entry.plugin.filter_rows(self._state, self._pod, rows)
            if codes is not None:
                self._answers.append((entry, rows, codes))
                passed = np.ones(table.size, np.bool_)
                passed[rows] = codes == 0
                fitting = fitting & passed
        if self._snapshot.nominated and self._framework.global_filters(self._state):
            fitting = self._without_crowded(fitting)
        return fitting

    def without_refused(self, fitting: Bools, outside: Outside) -> Bools:
        """Leave out the nodes that extenders refused."""
        fitting = fitting.copy()
        for row in np.flatnonzero(fitting).tolist():
            refusal = outside.refusal(self._snapshot.table.info(row).name)
            if refusal is not None:
                fitting[row] = False
                self._refused[row] = refusal
        return fitting

    def diagnosis(self) -> Diagnosis:
        found = self.verdicts()
        return Diagnosis(len(self._snapshot.table), found, plugins=found.plugins() | set(self._before.limited_by))

    def verdicts(self) -> Verdicts:
        """Which filter refused each row first; a copy that later changes leave alone."""
        table, size = self._snapshot.table, self._snapshot.table.size
        by, code = self._cache.by[:size].copy(), self._cache.code[:size].copy()
        for entry, rows, codes in self._answers:
            present_by, present_code = by[rows], code[rows]
            earlier = (codes != 0) & ((present_by == 0) | (present_by > entry.by)) & table.exists[:size][rows]
            by[rows] = np.where(earlier, entry.by, present_by)
            code[rows] = np.where(earlier, codes, present_code)
        for row, status in self._crowded.items():
            by[row] = next(entry.by for entry in self._framework.filters if entry.name == status.plugin)
            code[row] = -row - 1 - _CROWDED
        for row in self._refused:
            by[row], code[row] = len(self._framework.filters) + 2, row
        if self._before.node_names is not None:
            limited = table.exists[:size].copy()
            limited[table.rows_of(self._before.node_names)] = False
            by[limited], code[limited] = len(self._framework.filters) + 1, 1
        return Verdicts(table.names(), by, code, self._explain)

    def _explain(self, by: int, code: int) -> Status:
        if by == len(self._framework.filters) + 2:
            return self._refused[code]
        if by > len(self._framework.filters):
            names = " ".join(self._before.limited_by)
            return unresolvable(f"node(s) didn't satisfy plugin(s) [{names}]").of(self._before.limited_by[0])
        if code < -_CROWDED:
            return self._crowded[-code - 1 - _CROWDED]
        if code < 0:
            return self._cache.crowded_status(code)
        entry = self._framework.filters[by - 1]
        return entry.plugin.refusal(self._state, self._pod, code).of(entry.name)

    def _without_crowded(self, fitting: Bools) -> Bools:
        """Leave out nodes that do not fit once the pods count for which room is being made there.

        The row-local filters have counted them already; but a nominated pod can also keep the pod away by affinity.
        """
        snapshot = self._snapshot
        for node_name in snapshot.nominated:
            node = snapshot.node(node_name)
            if node is None or not fitting[node.row]:
                continue
            refusal = fits(self._framework, snapshot, self._state, self._pod, node)
            if refusal is not None:
                fitting = fitting.copy()
                fitting[node.row] = False
                self._crowded[node.row] = refusal
        return fitting


_CROWDED = 1 << 20


def _rejected(rejection: Status, snapshot: Snapshot, pod: PodInfo, state: CycleState) -> Decision:
    """PreFilter says no for all nodes."""
    statuses = Verdicts.unanimous(snapshot.table.names(), rejection)
    diagnosis = Diagnosis(len(snapshot.table), statuses, rejection.message, plugins={rejection.plugin})
    return Decision(pod, "", state, diagnosis)


def _added(table: NodeTable, rows: Rows, outside: Outside) -> Ints:
    """What extenders add to each row's score."""
    numbers = range(table.size) if isinstance(rows, slice) else rows.tolist()
    return np.array([outside.scores.get(table.info(row).name, 0) for row in numbers], np.int64)


def _first(rows: Rows) -> int:
    return 0 if isinstance(rows, slice) else int(rows[0])


def _best(rows: Rows, scores: Ints) -> int:
    """The row with the highest score."""
    tied: Indexes = np.flatnonzero(scores == scores.max())
    position = int(tied[0] if len(tied) == 1 else tied[effects.rng().randrange(len(tied))])
    return position if isinstance(rows, slice) else int(rows[position])


def copied(state: CycleState) -> CycleState:
    """A copy that a trial may change: plugins keep values there that can copy themselves."""
    return {name: value.copy() if hasattr(value, "copy") else value for name, value in state.items()}
