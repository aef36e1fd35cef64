"""NodePorts: two pods cannot hold the same host port on a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.interface import CycleState, Handle
from sampan.scheduler.framework.status import SKIP, Status, unschedulable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

_REFUSED = unschedulable("node(s) didn't have free ports for the requested pod ports")


class NodePorts:
    name: ClassVar[str] = "NodePorts"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((ClusterEvent.NODE_ADDED, ClusterEvent.POD_FREED))

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        """Nothing to set."""

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        return None if pod.ports else SKIP

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return _REFUSED if any(node.has_port_conflict(port) for port in pod.ports) else None
