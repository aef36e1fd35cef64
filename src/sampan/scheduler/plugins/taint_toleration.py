"""TaintToleration: NoSchedule and NoExecute taints refuse what does not tolerate them, PreferNoSchedule is a cost.

Nodes with the same taints share a number in the node table, so each set of taints is looked at once. Which taint it was
is not told: its key and value may be nobody's business who only sees the pod (as upstream since 1.35).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sampan.apimachinery.object import Object
from sampan.scheduler.framework.candidates import Candidates
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.framework.normalize import scaled_to_max
from sampan.scheduler.framework.status import SKIP, Status, unresolvable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import Ints, Rows
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.taints import tolerated

_HARD = ("NoSchedule", "NoExecute")
_SOFT = "PreferNoSchedule"
_REFUSED = unresolvable("node(s) had untolerated taint(s)")


class TaintToleration:
    name: ClassVar[str] = "TaintToleration"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((ClusterEvent.NODE_ADDED, ClusterEvent.NODE_TAINTS))
    treats_alike: ClassVar[bool] = True
    row_local: ClassVar[bool] = True

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._nodes = handle.snapshot.table

    def hint(self, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        taints = tuple(((new or {}).get("spec") or {}).get("taints") or ())
        return _tolerates(pod, taints)

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return None if _tolerates(pod, node.taints) else _REFUSED

    def code(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return 0 if not node.taints or _tolerates(pod, node.taints) else 1

    def filter_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints | None:
        sets = self._nodes.taint_set[rows]
        codes = None
        for number in _present(sets):
            if not _tolerates(pod, self._nodes.taint_sets[number]):
                codes = np.zeros(len(sets), np.int64) if codes is None else codes
                codes[sets == number] = 1
        return codes

    def refusal(self, state: CycleState, pod: PodInfo, code: int) -> Status:
        return _REFUSED

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Candidates) -> Status | None:
        return None if self._nodes.has_soft_taints else SKIP

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return _cost(pod, node.taints) if node.taints else 0

    def score_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints:
        """How many soft taints the pod does not tolerate."""
        sets = self._nodes.taint_set[rows]
        costs = np.zeros(len(sets), np.int64)
        for number in _present(sets):
            costs[sets == number] = _cost(pod, self._nodes.taint_sets[number])
        return costs

    def normalize_rows(self, state: CycleState, pod: PodInfo, rows: Rows, scores: Ints) -> Ints:
        return scaled_to_max(scores, reverse=True)


def _present(sets: Ints) -> list[int]:
    """The sets of taints that there are, without the empty one."""
    if not sets.any():
        return []
    found: list[int] = np.unique(sets).tolist()
    return found[1:] if found[0] == 0 else found


def _tolerates(pod: PodInfo, taints: tuple[Object, ...]) -> bool:
    return all(taint.get("effect") not in _HARD or tolerated(taint, pod.tolerations) for taint in taints)


def _cost(pod: PodInfo, taints: tuple[Object, ...]) -> int:
    tolerations = [t for t in pod.tolerations if (t.get("effect") or _SOFT) == _SOFT]
    return sum(taint.get("effect") == _SOFT and not tolerated(taint, tolerations) for taint in taints)
