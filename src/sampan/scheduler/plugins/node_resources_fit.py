"""NodeResourcesFit: what the pod requests must be free on the node; how full the node then is makes its score.

The scoring strategy says what is better: LeastAllocated (the default) the emptier node, MostAllocated the fuller one,
RequestedToCapacityRatio what a given curve says. A node's score is the weighted mean over resources. For scoring,
containers without requests count as small instead of nothing, so that they spread too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sampan.apimachinery.object import dig
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.framework.status import Code, Status
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import Ints, Rows
from sampan.scheduler.plugins.allocation import SCORERS, Weights, mean_score, mean_score_of, weights_of
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.resources import amounts

_TOO_MANY_PODS = 1
_INSUFFICIENT = 2
_BEYOND_CAPACITY = 4


class NodeResourcesFit:
    """Codes are sums of bits: the pod limit, then two for each resource that the pod asks for."""

    name: ClassVar[str] = "NodeResourcesFit"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((
        ClusterEvent.NODE_ADDED, ClusterEvent.NODE_ALLOCATABLE, ClusterEvent.POD_FREED, ClusterEvent.POD_SCALED_DOWN,
    ))
    treats_alike: ClassVar[bool] = True
    row_local: ClassVar[bool] = True

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._snapshot = handle.snapshot
        self._nodes = handle.snapshot.table
        strategy = arguments.get("scoringStrategy") or {}
        self._weights: Weights = weights_of(strategy.get("resources"))
        self._scorer = SCORERS[strategy.get("type") or "LeastAllocated"](strategy)
        self._ignored = frozenset(arguments.get("ignoredResources") or ())
        self._ignored_groups = frozenset(arguments.get("ignoredResourceGroups") or ())

    def hint(self, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        """Whether the event makes room on a node: for the pod as it is, or if less important ones made way."""
        asked = dict(self._demanded(pod))
        if event is ClusterEvent.POD_FREED:
            node = self._snapshot.node(old.node_name)
            return not old.node_name or (node is not None and self._could_fit(pod, node))
        if event is ClusterEvent.POD_SCALED_DOWN:
            return any(old.requests.get(name, 0) > new.requests.get(name, 0) for name in asked)
        offered = amounts(dig(new, "status", "allocatable") or dig(new, "status", "capacity"))
        return all(offered.get(name, 0) >= amount for name, amount in asked.items())

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        code = self.code(state, pod, node)
        return self.refusal(state, pod, code) if code else None

    def code(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        code = _TOO_MANY_PODS if len(node.pods) + 1 > node.max_pods else 0
        for place, (name, asked) in enumerate(self._demanded(pod)):
            capacity = node.allocatable.get(name, 0)
            if asked > capacity - node.requested.get(name, 0):
                code += _INSUFFICIENT << 2 * place
                code += _BEYOND_CAPACITY << 2 * place if asked > capacity else 0
        return code

    def filter_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints | None:
        nodes = self._nodes
        codes = (nodes.pod_count[rows] >= nodes.max_pods[rows]).astype(np.int64)
        for place, (name, asked) in enumerate(self._demanded(pod)):
            capacity = nodes.allocatable(name, rows)
            lacking = asked > capacity - nodes.requested(name, rows)
            if lacking.any():
                codes += lacking.astype(np.int64) * (_INSUFFICIENT << 2 * place)
                codes += (asked > capacity).astype(np.int64) * (_BEYOND_CAPACITY << 2 * place)
        return codes if codes.any() else None

    def refusal(self, state: CycleState, pod: PodInfo, code: int) -> Status:
        reasons = ["Too many pods"] if code & _TOO_MANY_PODS else []
        beyond_capacity = False
        for place, (name, _) in enumerate(self._demanded(pod)):
            if code & (_INSUFFICIENT << 2 * place):
                reasons.append(f"Insufficient {name}")
            beyond_capacity = beyond_capacity or bool(code & (_BEYOND_CAPACITY << 2 * place))
        return Status(Code.UNRESOLVABLE if beyond_capacity else Code.UNSCHEDULABLE, tuple(reasons))

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return mean_score_of(node, pod, self._weights, self._scorer)

    def score_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints:
        return mean_score(self._nodes, rows, pod, self._weights, self._scorer)

    def _could_fit(self, pod: PodInfo, node: NodeInfo) -> bool:
        """Whether a node has room, or would have after preemption."""
        priority = pod.signature.priority
        others = [
            other for other in self._snapshot.nominated.get(node.name, {}).values()
            if other.priority >= priority and other.key != pod.key and other.key not in node.pods
        ]
        staying = list(node.pods.values())
        if pod.signature.preempts:
            staying = [other for other in staying if other.signature.priority >= priority]
        if len(staying) + len(others) >= node.max_pods:
            return False
        return all(
            asked + sum(other.signature.requests.get(name, 0) for other in (*staying, *others))
            <= node.allocatable.get(name, 0)
            for name, asked in self._demanded(pod)
        )

    def _demanded(self, pod: PodInfo) -> tuple[tuple[str, int], ...]:
        """What the pod asks for, in the order of its containers, without what extenders look after."""
        asked = pod.signature.demanded
        if not self._ignored and not self._ignored_groups:
            return asked
        return tuple(
            (name, amount) for name, amount in asked
            if name not in self._ignored and name.partition("/")[0] not in self._ignored_groups
        )
