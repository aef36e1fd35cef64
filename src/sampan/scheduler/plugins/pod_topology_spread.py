"""PodTopologySpread: matching pods spread evenly over topologies (zones, hosts), as a filter and as a score.

Filter: on a node, a constraint's skew is the number of matching pods in its topology with the incoming pod, less
the number in the emptiest topology; it must not exceed maxSkew. Score: the fewer matching pods in a node's topologies
the better, a topology with many values (hosts) counting for more than one with few (zones).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.interface import MAX_NODE_SCORE, CycleState, Handle
from sampan.scheduler.framework.status import SKIP, Status, unresolvable, unschedulable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot
from sampan.scheduler.spread import (
    DO_NOT_SCHEDULE,
    HOSTNAME,
    SCHEDULE_ANYWAY,
    SpreadConstraint,
    default_constraints,
    own_constraints,
)

_SKEWED = unschedulable("node(s) didn't match pod topology spread constraints")
_NO_LABEL = unresolvable("node(s) didn't match pod topology spread constraints (missing required label)")
_SCORING = "PodTopologySpread scoring"


@dataclass(slots=True)
class _Counted:
    """A hard constraint with the matching pods in each topology; a topology without any counts too, as 0."""

    constraint: SpreadConstraint
    pods: Counter[str]

    def copy(self) -> _Counted:
        return _Counted(self.constraint, self.pods.copy())

    @property
    def least(self) -> int:
        if len(self.pods) < self.constraint.min_domains:
            return 0
        return min(self.pods.values(), default=0)


class _Filtering(list[_Counted]):
    """The hard constraints of the pod in hand."""

    def copy(self) -> _Filtering:
        return _Filtering(counted.copy() for counted in self)


@dataclass(slots=True)
class _Scoring:
    """Soft constraints with counts and weights; nodes without the labels are `ignored` and score 0."""

    constraints: list[SpreadConstraint]
    pods: list[Counter[str]]
    weights: list[float]
    ignored: set[str]


class PodTopologySpread:
    name: ClassVar[str] = "PodTopologySpread"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((
        ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS, ClusterEvent.NODE_TAINTS, ClusterEvent.NODE_DELETED,
        ClusterEvent.POD_PLACED, ClusterEvent.POD_LABELS, ClusterEvent.POD_FREED,
    ))

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._snapshot = handle.snapshot
        self._services = handle.services
        self._owners = handle.owners

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        constraints = own_constraints(pod, DO_NOT_SCHEDULE)
        if not constraints:
            return SKIP
        keys = {constraint.topology_key for constraint in constraints}
        result = _Filtering(_Counted(constraint, Counter()) for constraint in constraints)
        for node in snapshot.nodes():
            if not keys <= node.labels.keys():
                continue
            for counted in result:
                if counted.constraint.counts_node(pod, node):
                    topology = node.labels[counted.constraint.topology_key]
                    counted.pods[topology] += _matching(counted.constraint, pod, node)
        state[self.name] = result
        return None

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None:
        self._follow(state, pod, added, node, 1)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None:
        self._follow(state, pod, removed, node, -1)

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        counted: _Counted
        for counted in state[self.name]:
            constraint = counted.constraint
            topology = node.labels.get(constraint.topology_key)
            if topology is None:
                return _NO_LABEL
            itself = constraint.selector.matches(pod.labels)
            if counted.pods[topology] + itself - counted.least > constraint.max_skew:
                return _SKEWED
        return None

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Status | None:
        constraints = own_constraints(pod, SCHEDULE_ANYWAY)
        must_have_labels = bool(pod.spread)
        if not constraints:
            constraints = default_constraints(pod, self._services, self._owners)
        if not constraints:
            return SKIP
        keys = {constraint.topology_key for constraint in constraints}
        ignored = {node.name for node in nodes if must_have_labels and not keys <= node.labels.keys()}
        counts = [self._counts(constraint, pod, keys if must_have_labels else set()) for constraint in constraints]
        scored = [node for node in nodes if node.name not in ignored]
        weights = [math.log(_size(constraint, scored) + 2) for constraint in constraints]
        state[_SCORING] = _Scoring(constraints, counts, weights, ignored)
        return None

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        scoring: _Scoring = state[_SCORING]
        if node.name in scoring.ignored:
            return 0
        total = 0.0
        for constraint, pods, weight in zip(scoring.constraints, scoring.pods, scoring.weights, strict=True):
            topology = node.labels.get(constraint.topology_key)
            if topology is not None:
                total += pods[topology] * weight + (constraint.max_skew - 1)
        return round(total)

    def normalize(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], scores: list[int]) -> None:
        """The node with the fewest matching pods is best."""
        ignored = state[_SCORING].ignored
        counted = [score for node, score in zip(nodes, scores, strict=True) if node.name not in ignored]
        least, most = min(counted, default=0), max(counted, default=0)
        for position, node in enumerate(nodes):
            if node.name in ignored:
                scores[position] = 0
            elif most == 0:
                scores[position] = MAX_NODE_SCORE
            else:
                scores[position] = MAX_NODE_SCORE * (most + least - scores[position]) // most

    def _counts(self, constraint: SpreadConstraint, pod: PodInfo, keys: set[str]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for node in self._snapshot.nodes():
            topology = node.labels.get(constraint.topology_key)
            if topology is not None and keys <= node.labels.keys() and constraint.counts_node(pod, node):
                counts[topology] += _matching(constraint, pod, node)
        return counts

    def _follow(self, state: CycleState, pod: PodInfo, other: PodInfo, node: NodeInfo, sign: int) -> None:
        counted: _Counted
        for counted in state[self.name]:
            constraint = counted.constraint
            topology = node.labels.get(constraint.topology_key)
            if topology is None or topology not in counted.pods or not constraint.counts_node(pod, node):
                continue
            if constraint.matches(other, pod.namespace):
                counted.pods[topology] += sign


def _matching(constraint: SpreadConstraint, pod: PodInfo, node: NodeInfo) -> int:
    return sum(constraint.matches(other, pod.namespace) for other in node.pods.values())


def _size(constraint: SpreadConstraint, nodes: Sequence[NodeInfo]) -> int:
    """How many values the topology has; there are as many hosts as nodes."""
    if constraint.topology_key == HOSTNAME:
        return len(nodes)
    return len({node.labels[constraint.topology_key] for node in nodes if constraint.topology_key in node.labels})
