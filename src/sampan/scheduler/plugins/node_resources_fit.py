"""NodeResourcesFit: what the pod requests must be free on the node; the emptier node (LeastAllocated) is better.

The score of a resource is the share that would be left free, 0 to 100; of a node, their weighted mean. For scoring,
containers without requests count as small instead of nothing, so that they spread too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.interface import MAX_NODE_SCORE, CycleState, Handle
from sampan.scheduler.framework.status import Code, Status
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.resources import CPU, MEMORY

_DEFAULT_WEIGHTS = {CPU: 1, MEMORY: 1}


class NodeResourcesFit:
    name: ClassVar[str] = "NodeResourcesFit"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((
        ClusterEvent.NODE_ADDED, ClusterEvent.NODE_ALLOCATABLE, ClusterEvent.POD_FREED, ClusterEvent.POD_SCALED_DOWN,
    ))

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        listed = (arguments.get("scoringStrategy") or {}).get("resources")
        self._weights = {entry["name"]: entry.get("weight") or 1 for entry in listed} if listed else _DEFAULT_WEIGHTS

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        reasons = []
        beyond_capacity = False
        if len(node.pods) + 1 > node.max_pods:
            reasons.append("Too many pods")
        for name, asked in pod.requests.items():
            if not asked:
                continue
            capacity = node.allocatable.get(name, 0)
            if asked > capacity - node.requested.get(name, 0):
                reasons.append(f"Insufficient {name}")
                beyond_capacity = beyond_capacity or asked > capacity
        if not reasons:
            return None
        return Status(Code.UNRESOLVABLE if beyond_capacity else Code.UNSCHEDULABLE, tuple(reasons))

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        total = weights = 0
        for name, weight in self._weights.items():
            capacity = node.allocatable.get(name, 0)
            if not capacity:
                continue
            requested = node.scoring_requested if name in node.scoring_requested else node.requested
            used = requested.get(name, 0) + pod.scoring_requests.get(name, 0)
            total += weight * (max(capacity - used, 0) * MAX_NODE_SCORE // capacity)
            weights += weight
        return total // weights if weights else 0
