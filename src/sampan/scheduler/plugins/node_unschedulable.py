"""NodeUnschedulable: a cordoned node (`spec.unschedulable`) takes only pods that tolerate exactly that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.framework.status import Status, unresolvable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import Ints, Rows
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.taints import tolerated

_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_REFUSED = unresolvable("node(s) were unschedulable")


class NodeUnschedulable:
    name: ClassVar[str] = "NodeUnschedulable"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((ClusterEvent.NODE_ADDED, ClusterEvent.NODE_TAINTS))
    treats_alike: ClassVar[bool] = True
    row_local: ClassVar[bool] = True

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._nodes = handle.snapshot.table

    def hint(self, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        return not ((new or {}).get("spec") or {}).get("unschedulable")

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return _REFUSED if self.code(state, pod, node) else None

    def code(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return int(node.unschedulable and not tolerated(_TAINT, pod.tolerations))

    def filter_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints | None:
        cordoned = self._nodes.unschedulable[rows]
        if not cordoned.any() or tolerated(_TAINT, pod.tolerations):
            return None
        return cordoned.astype(np.int64)

    def refusal(self, state: CycleState, pod: PodInfo, code: int) -> Status:
        return _REFUSED
