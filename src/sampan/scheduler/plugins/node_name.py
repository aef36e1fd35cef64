"""NodeName: a pod that names its node in the spec goes there or nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.framework.status import SKIP, Status, unresolvable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

_REFUSED = unresolvable("node(s) didn't match the requested node name")


class NodeName:
    """In the simple form: who names a node is not scheduled at all, but for a question what would be."""

    name: ClassVar[str] = "NodeName"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((ClusterEvent.NODE_ADDED,))

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        """Nothing to set."""

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        return None if pod.node_name else SKIP

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return _REFUSED if pod.node_name and pod.node_name != node.name else None
