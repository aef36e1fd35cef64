"""NodeResourcesBalancedAllocation: better the node whose CPU and memory would be used in like shares.

The score is 100 times one minus the standard deviation of the shares. A pod that requests neither has no say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.interface import MAX_NODE_SCORE, CycleState, Handle
from sampan.scheduler.framework.status import SKIP, Status
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.resources import CPU, MEMORY

_DEFAULT_RESOURCES = (CPU, MEMORY)


class NodeResourcesBalancedAllocation:
    name: ClassVar[str] = "NodeResourcesBalancedAllocation"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset()

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        listed = arguments.get("resources")
        self._resources = tuple(entry["name"] for entry in listed) if listed else _DEFAULT_RESOURCES

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Status | None:
        return None if any(pod.requests.get(name) for name in self._resources) else SKIP

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        shares = [
            min((node.requested.get(name, 0) + pod.requests.get(name, 0)) / node.allocatable[name], 1.0)
            for name in self._resources if node.allocatable.get(name)
        ]
        return int((1 - _deviation(shares)) * MAX_NODE_SCORE)


def _deviation(shares: Sequence[float]) -> float:
    if len(shares) < 2:
        return 0.0
    if len(shares) == 2:
        return abs(shares[0] - shares[1]) / 2
    mean = sum(shares) / len(shares)
    return math.sqrt(sum((share - mean) ** 2 for share in shares) / len(shares))
