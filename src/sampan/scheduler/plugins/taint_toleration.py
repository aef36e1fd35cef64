"""TaintToleration: NoSchedule and NoExecute taints refuse what does not tolerate them, PreferNoSchedule is a cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.interface import CycleState, Handle, scaled_to_max
from sampan.scheduler.framework.status import Status, unresolvable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.taints import tolerated


class TaintToleration:
    name: ClassVar[str] = "TaintToleration"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((ClusterEvent.NODE_ADDED, ClusterEvent.NODE_TAINTS))

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        """Nothing to set."""

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        for taint in node.taints:
            if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerated(taint, pod.tolerations):
                return unresolvable(f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}")
        return None

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        """How many soft taints the pod does not tolerate."""
        if not node.taints:
            return 0
        tolerations = [t for t in pod.tolerations if (t.get("effect") or "PreferNoSchedule") == "PreferNoSchedule"]
        return sum(
            taint.get("effect") == "PreferNoSchedule" and not tolerated(taint, tolerations) for taint in node.taints
        )

    def normalize(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], scores: list[int]) -> None:
        scaled_to_max(scores, reverse=True)
