"""NodeAffinity: nodeSelector and node affinity, required as a filter, preferred as a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.interface import CycleState, Handle, PreFilterResult, scaled_to_max
from sampan.scheduler.framework.status import SKIP, Status, unresolvable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

_REFUSED = unresolvable("node(s) didn't match Pod's node affinity/selector")
_CONTRADICTION = unresolvable("pod affinity terms conflict")


class NodeAffinity:
    name: ClassVar[str] = "NodeAffinity"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS))

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        """Nothing to set."""

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | PreFilterResult | None:
        if pod.selector is None:
            return SKIP
        if pod.selector.names is None:
            return None
        return PreFilterResult(pod.selector.names) if pod.selector.names else _CONTRADICTION

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        if pod.selector is None or pod.selector.matches(node.name, node.labels):
            return None
        return _REFUSED

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Status | None:
        return None if pod.preferences else SKIP

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return sum(wish.weight for wish in pod.preferences if wish.matches(node.name, node.labels))

    def normalize(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], scores: list[int]) -> None:
        scaled_to_max(scores, reverse=False)
