"""NodeUnschedulable: a cordoned node (`spec.unschedulable`) takes only pods that tolerate exactly that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.interface import CycleState, Handle
from sampan.scheduler.framework.status import Status, unresolvable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.taints import tolerated

_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_REFUSED = unresolvable("node(s) were unschedulable")


class NodeUnschedulable:
    name: ClassVar[str] = "NodeUnschedulable"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((ClusterEvent.NODE_ADDED, ClusterEvent.NODE_TAINTS))

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        """Nothing to set."""

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        if node.unschedulable and not tolerated(_TAINT, pod.tolerations):
            return _REFUSED
        return None
