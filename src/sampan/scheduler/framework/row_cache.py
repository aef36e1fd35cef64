"""RowCache: what the row-local plugins say about pods with one spec, for every node, kept from pod to pod.

Placing a pod changes one row. So the next pod with that spec asks the plugins about that row only, with the same code
that judges all rows at once: `refresh` takes the rows that the node table has recorded as changed since the last time.

Guarantee: after `refresh` everything is as if it had been computed anew for all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sampan.scheduler.framework.interface import (
    CycleState,
    RowsFilterPlugin,
    RowsScorePlugin,
    ScorePlugin,
    SingleFilterPlugin,
)
from sampan.scheduler.framework.status import Status
from sampan.scheduler.node_table import Bools, Indexes, Ints, Rows, grown
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

_FEW_ROWS = 6

Normalize: TypeAlias = Callable[[CycleState, PodInfo, Rows, Ints], Ints]
Crowded: TypeAlias = Callable[[CycleState, PodInfo, int], Status | None]
"""Why a row that fits does not once the pods that are nominated there count, None if it fits all the same."""


@dataclass(frozen=True, slots=True)
class RankedFilter:
    """A filter over rows; `by` is its place in the profile's order of filters plus one."""

    by: int
    name: str
    plugin: RowsFilterPlugin


@dataclass(frozen=True, slots=True)
class WeightedScore:
    """A score over rows. One with `normalize` is brought to scale in each cycle, over the nodes that fit."""

    name: str
    plugin: RowsScorePlugin
    weight: int
    normalize: Normalize | None

    @property
    def normalizes(self) -> bool:
        return self.normalize is not None


@dataclass(frozen=True, slots=True)
class RowPlugins:
    """The row-local plugins that have something to say about a spec."""

    filters: Sequence[RankedFilter]
    scores: Sequence[WeightedScore]
    crowded: Crowded


class _Single:
    """The plugins' quick forms for one node, if all have them."""

    def __init__(self, plugins: RowPlugins) -> None:
        self.filters: list[tuple[int, SingleFilterPlugin]] = [
            (entry.by, entry.plugin) for entry in plugins.filters if isinstance(entry.plugin, SingleFilterPlugin)
        ]
        scores = [(score, score.plugin) for score in plugins.scores if isinstance(score.plugin, ScorePlugin)]
        self.scores: list[tuple[int, ScorePlugin]] = [(s.weight, plugin) for s, plugin in scores if not s.normalizes]
        self.scaled: list[ScorePlugin] = [plugin for s, plugin in scores if s.normalizes]
        self.is_complete = len(self.filters) == len(plugins.filters) and len(scores) == len(plugins.scores)

    @classmethod
    def of(cls, plugins: RowPlugins) -> _Single | None:
        found = cls(plugins)
        return found if found.is_complete else None


class RowCache:
    """`fits`, `by` and `code` (see Verdicts) are what the filters say; `total` is the sum of the scores that need no
    scale, `raw` has a column for each of those that do (`scaled`)."""

    def __init__(self, snapshot: Snapshot, plugins: RowPlugins, state: CycleState, only: Indexes | None = None) -> None:
        self._snapshot = snapshot
        self._plugins = plugins
        self._state = state
        self._only = only
        """The rows that come into question, None for all."""
        self._direct = [score for score in plugins.scores if not score.normalizes]
        self.scaled = [score for score in plugins.scores if score.normalizes]
        self._single = _Single.of(plugins)
        self._position = -1
        self._codes: dict[Status, int] = {}
        self.fits: Bools = np.zeros(0, np.bool_)
        self.by: Ints = np.zeros(0, np.int64)
        self.code: Ints = np.zeros(0, np.int64)
        self.total: Ints = np.zeros(0, np.int64)
        self.raw: list[Ints] = [np.zeros(0, np.int64) for _ in self.scaled]

    def refresh(self, pod: PodInfo) -> None:
        """Bring everything up to date. `pod` has the spec; nominations of itself do not crowd it out."""
        table = self._snapshot.table
        position = table.position
        if position == self._position:
            return
        changed = table.changed_since(self._position) if self._position >= 0 else None
        self._position = position
        self._reach(len(table.exists))
        if self._only is not None:
            self._judge(pod, self._only)
        elif changed is None or len(changed) * 4 > table.size:
            self._judge(pod, table.every)
        else:
            rows = set(changed)
            if self._single is None or len(rows) > _FEW_ROWS:
                self._judge(pod, np.array(sorted(rows), np.intp))
            else:
                self._judge_each(pod, self._single, sorted(rows))

    def crowded_status(self, code: int) -> Status:
        """What a negative code means."""
        return next(status for status, known in self._codes.items() if known == code)

    def _reach(self, capacity: int) -> None:
        missing = capacity - len(self.fits)
        if missing:
            for name in ("fits", "by", "code", "total"):
                setattr(self, name, grown(getattr(self, name), missing))
            self.raw = [grown(column, missing) for column in self.raw]

    def _judge(self, pod: PodInfo, rows: Rows) -> None:
        """Ask all plugins about these rows."""
        exists = self._snapshot.table.exists[rows]
        by, code = np.zeros(len(exists), np.int64), np.zeros(len(exists), np.int64)
        for entry in self._plugins.filters:
            codes = entry.plugin.filter_rows(self._state, pod, rows)
            if codes is not None:
                refused = (codes != 0) & (by == 0)
                by[refused] = entry.by
                code[refused] = codes[refused]
        by[~exists] = 0
        self.by[rows], self.code[rows] = by, code
        self.fits[rows] = exists & (by == 0)
        if self._snapshot.nominated:
            self._judge_crowded(pod, rows)
        total = np.zeros(len(exists), np.int64)
        for score in self._direct:
            total += score.weight * score.plugin.score_rows(self._state, pod, rows)
        self.total[rows] = total
        for column, score in zip(self.raw, self.scaled, strict=True):
            column[rows] = score.plugin.score_rows(self._state, pod, rows)

    def _judge_each(self, pod: PodInfo, single: _Single, rows: list[int]) -> None:
        """As `_judge`; for a few rows plain numbers are several times as fast as columns."""
        infos, state, nominated = self._snapshot.table.infos, self._state, self._snapshot.nominated
        for row in rows:
            node = infos[row]
            found = by = 0
            exists = node is not None and node.node is not None
            if node is not None and exists:
                for place, plugin in single.filters:
                    found = plugin.code(state, pod, node)
                    if found:
                        by = place
                        break
                self.total[row] = sum([weight * plugin.score(state, pod, node) for weight, plugin in single.scores])
                for column, scored in zip(self.raw, single.scaled, strict=True):
                    column[row] = scored.score(state, pod, node)
            self.by[row], self.code[row], self.fits[row] = by, found, exists and not by
            if nominated:
                self._judge_crowded(pod, np.array((row,), np.intp))

    def _judge_crowded(self, pod: PodInfo, rows: Rows) -> None:
        """Rows on which room is being made for other pods."""
        snapshot = self._snapshot
        if isinstance(rows, slice):
            nominated = [row for row in map(snapshot.table.row, snapshot.nominated) if row is not None]
        else:
            nominated = [r for r in rows.tolist() if (i := snapshot.table.infos[r]) and i.name in snapshot.nominated]
        for row in nominated:
            if not self.fits[row]:
                continue
            status = self._plugins.crowded(self._state, pod, row)
            if status is not None:
                self.fits[row] = False
                self.by[row] = next(entry.by for entry in self._plugins.filters if entry.name == status.plugin)
                self.code[row] = self._codes.setdefault(status, -1 - len(self._codes))
