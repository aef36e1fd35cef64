"""NodePorts: two pods cannot hold the same host port on a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.framework.status import SKIP, Status, unschedulable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import Ints, Rows
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

_REFUSED = unschedulable("node(s) didn't have free ports for the requested pod ports")


class NodePorts:
    name: ClassVar[str] = "NodePorts"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((ClusterEvent.NODE_ADDED, ClusterEvent.POD_FREED))
    treats_alike: ClassVar[bool] = True
    row_local: ClassVar[bool] = True

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._snapshot = handle.snapshot

    def hint(self, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        if event is not ClusterEvent.POD_FREED:
            return True
        freed = NodeInfo("")
        freed.add(old)
        return any(freed.has_port_conflict(port) for port in pod.ports)

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        return None if pod.ports else SKIP

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return _REFUSED if self.code(state, pod, node) else None

    def code(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return int(any(node.has_port_conflict(port) for port in pod.ports))

    def filter_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints | None:
        table, ported = self._snapshot.table, self._snapshot.ported
        if not pod.ports or not ported:
            return None
        refused = np.zeros(len(table.exists), np.int64)
        for row in ported if isinstance(rows, slice) else (row for row in rows.tolist() if row in ported):
            refused[row] = self.code(state, pod, table.info(row))
        return refused[rows]

    def refusal(self, state: CycleState, pod: PodInfo, code: int) -> Status:
        return _REFUSED
