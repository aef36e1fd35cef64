"""NodeResourcesBalancedAllocation: better the node whose CPU and memory would be used in like shares.

The score is 100 times one minus the standard deviation of the shares. A pod that requests neither has no say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sampan.scheduler.framework.candidates import Candidates
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import MAX_NODE_SCORE, CycleState
from sampan.scheduler.framework.status import SKIP, Status
from sampan.scheduler.node_table import Ints, Rows
from sampan.scheduler.plugins.allocation import weights_of
from sampan.scheduler.pod_info import PodInfo


class NodeResourcesBalancedAllocation:
    name: ClassVar[str] = "NodeResourcesBalancedAllocation"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset()
    row_local: ClassVar[bool] = True

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._nodes = handle.snapshot.table
        self._resources = tuple(name for name, _ in weights_of(arguments.get("resources")))

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Candidates) -> Status | None:
        return None if self._has_say(pod) else SKIP

    def score_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints:
        number = self._nodes.count_of(rows)
        if not self._has_say(pod):
            return np.zeros(number, np.int64)
        present = np.zeros(number, np.int64)
        shares = []
        for name in self._resources:
            capacity = self._nodes.allocatable(name, rows)
            has = capacity > 0
            used = self._nodes.requested(name, rows) + pod.requests.get(name, 0)
            shares.append(np.where(has, np.minimum(used / np.maximum(capacity, 1), 1.0), np.nan))
            present += has
        if len(shares) == 2:
            deviation = np.abs(shares[0] - shares[1]) / 2
        else:
            deviation = np.sqrt(_variance(np.array(shares), np.maximum(present, 1)))
        deviation = np.where(present > 1, deviation, 0.0)
        scores: Ints = ((1 - deviation) * MAX_NODE_SCORE).astype(np.int64)
        return scores

    def _has_say(self, pod: PodInfo) -> bool:
        return any(pod.requests.get(name) for name in self._resources)


def _variance(shares: Any, present: Ints) -> Any:
    """Per node, over the resources that it has."""
    mean = np.nansum(shares, axis=0) / present
    return np.nansum((shares - mean) ** 2, axis=0) / present
