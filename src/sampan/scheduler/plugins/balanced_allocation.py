"""NodeResourcesBalancedAllocation: better the node where the pod evens out the shares of CPU and memory in use.

A node's balance is 100 times one minus the standard deviation of the shares, so from 50 to 100. The score is 50 and
half of 50 plus what the pod adds to the balance. A pod that requests neither has no say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sampan.scheduler.framework.candidates import Candidates
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import MAX_NODE_SCORE, CycleState
from sampan.scheduler.framework.status import SKIP, Status
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import Ints, Rows
from sampan.scheduler.plugins.allocation import weights_of
from sampan.scheduler.pod_info import PodInfo

_HALF = MAX_NODE_SCORE // 2


class NodeResourcesBalancedAllocation:
    name: ClassVar[str] = "NodeResourcesBalancedAllocation"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset()
    row_local: ClassVar[bool] = True

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._nodes = handle.snapshot.table
        self._resources = tuple(name for name, _ in weights_of(arguments.get("resources")))

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Candidates) -> Status | None:
        return None if self._has_say(pod) else SKIP

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        if not self._has_say(pod):
            return 0
        gain = self._balance_of(node, pod.signature.requests) - self._balance_of(node, {})
        return _HALF + (_HALF + gain) // 2

    def _balance_of(self, node: NodeInfo, more: Mapping[str, int]) -> int:
        """As `_balance`, of one node."""
        shares = []
        for name in self._resources:
            capacity = node.allocatable.get(name, 0)
            if capacity > 0:
                used = node.requested.get(name, 0) + more.get(name, 0)
                shares.append(min(used / capacity, 1.0))
        if len(shares) < 2:
            return MAX_NODE_SCORE
        if len(self._resources) == 2:
            deviation = abs(shares[0] - shares[1]) / 2
        else:
            mean = sum(shares) / len(shares)
            deviation = math.sqrt(sum((share - mean) ** 2 for share in shares) / len(shares))
        return int((1 - deviation) * MAX_NODE_SCORE)

    def score_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints:
        if not self._has_say(pod):
            return np.zeros(self._nodes.count_of(rows), np.int64)
        gain = self._balance(rows, pod.requests) - self._balance(rows, {})
        return _HALF + (_HALF + gain) // 2

    def _balance(self, rows: Rows, more: Mapping[str, int]) -> Ints:
        """Of what is requested there, and `more`."""
        present = np.zeros(self._nodes.count_of(rows), np.int64)
        shares = []
        for name in self._resources:
            capacity = self._nodes.allocatable(name, rows)
            has = capacity > 0
            used = self._nodes.requested(name, rows) + more.get(name, 0)
            shares.append(np.where(has, np.minimum(used / np.maximum(capacity, 1), 1.0), np.nan))
            present += has
        if len(shares) == 2:
            deviation = np.abs(shares[0] - shares[1]) / 2
        else:
            deviation = np.sqrt(_variance(np.array(shares), np.maximum(present, 1)))
        deviation = np.where(present > 1, deviation, 0.0)
        balance: Ints = ((1 - deviation) * MAX_NODE_SCORE).astype(np.int64)
        return balance

    def _has_say(self, pod: PodInfo) -> bool:
        return any(pod.requests.get(name) for name in self._resources)


def _variance(shares: Any, present: Ints) -> Any:
    """Per node, over the resources that it has."""
    mean = np.nansum(shares, axis=0) / present
    return np.nansum((shares - mean) ** 2, axis=0) / present
