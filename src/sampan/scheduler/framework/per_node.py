"""Adapters: a plugin that judges one node at a time takes part in a cycle that judges all of them at once.

The simple form costs a call per node, so it is asked only about nodes that no other filter has refused. Nothing is kept
between pods: such a plugin may look at whatever it likes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sampan.scheduler.framework.candidates import Candidates
from sampan.scheduler.framework.interface import CycleState, FilterPlugin, NormalizePlugin, ScorePlugin
from sampan.scheduler.framework.status import Status
from sampan.scheduler.node_table import Ints, NodeTable, Rows
from sampan.scheduler.pod_info import PodInfo


class PerNodeFilter:
    """A FilterPlugin as a RowsFilterPlugin. Codes are places in a list of statuses that the cycle state holds."""

    row_local: ClassVar[bool] = False
    only_fitting: ClassVar[bool] = True

    def __init__(self, name: str, plugin: FilterPlugin, nodes: NodeTable) -> None:
        self._key = f"{name}/statuses"
        self._plugin = plugin
        self._nodes = nodes

    def filter(self, state: CycleState, pod: PodInfo, node: Any) -> Status | None:
        return self._plugin.filter(state, pod, node)

    def filter_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints | None:
        codes: dict[Status, int] = {}
        answers = np.zeros(len(Candidates(self._nodes, rows)), np.int64)
        for position, node in enumerate(Candidates(self._nodes, rows)):
            status = self._plugin.filter(state, pod, node)
            if status is not None:
                answers[position] = codes.setdefault(status, len(codes) + 1)
        state[self._key] = list(codes)
        return answers if codes else None

    def refusal(self, state: CycleState, pod: PodInfo, code: int) -> Status:
        status: Status = state[self._key][code - 1]
        return status


class PerNodeScore:
    """A ScorePlugin as a RowsScorePlugin, with its normalize if it has one."""

    row_local: ClassVar[bool] = False

    def __init__(self, plugin: ScorePlugin, nodes: NodeTable) -> None:
        self._plugin = plugin
        self._nodes = nodes

    def score_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints:
        nodes = Candidates(self._nodes, rows)
        return np.fromiter((self._plugin.score(state, pod, node) for node in nodes), np.int64, len(nodes))

    def normalize_rows(self, state: CycleState, pod: PodInfo, rows: Rows, scores: Ints) -> Ints:
        if not isinstance(self._plugin, NormalizePlugin):
            return scores
        listed: list[int] = scores.tolist()
        self._plugin.normalize(state, pod, Candidates(self._nodes, rows), listed)
        return np.array(listed, np.int64)
