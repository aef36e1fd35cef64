"""NodeAffinity: nodeSelector and node affinity, required as a filter, preferred as a score.

`addedAffinity` of the plugin's arguments is demanded of every pod of the profile besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sampan.apimachinery.object import labels_of, name_of
from sampan.scheduler import node_selector
from sampan.scheduler.framework.candidates import Candidates
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState, PreFilterResult
from sampan.scheduler.framework.normalize import scaled_to_max
from sampan.scheduler.framework.status import SKIP, Status, unresolvable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_selector import Labels
from sampan.scheduler.node_table import Ints, Rows
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

_REFUSED = unresolvable("node(s) didn't match Pod's node affinity/selector")
_REFUSED_BY_PROFILE = unresolvable("node(s) didn't match scheduler-enforced node affinity")
_CONTRADICTION = unresolvable("pod affinity terms conflict")


class NodeAffinity:
    name: ClassVar[str] = "NodeAffinity"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS))
    treats_alike: ClassVar[bool] = True
    row_local: ClassVar[bool] = True

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._nodes = handle.snapshot.table
        added = {"affinity": {"nodeAffinity": arguments.get("addedAffinity") or {}}}
        self._added = node_selector.required(added)
        self._added_preferences = node_selector.preferred(added)

    def hint(self, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        return self._refuses(pod, name_of(new), labels_of(new)) is None

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | PreFilterResult | None:
        if pod.selector is None:
            return None if self._added is not None else SKIP
        if pod.selector.names is None:
            return None
        return PreFilterResult(pod.selector.names) if pod.selector.names else _CONTRADICTION

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return self._refuses(pod, node.name, node.labels)

    def code(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return self._code(pod, node)

    def filter_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints | None:
        if pod.selector is None and self._added is None:
            return None
        codes = [self._code(pod, info) for info in self._nodes.infos_of(rows)]
        return np.array(codes, np.int64)

    def refusal(self, state: CycleState, pod: PodInfo, code: int) -> Status:
        return _REFUSED_BY_PROFILE if code == 1 else _REFUSED

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Candidates) -> Status | None:
        return None if pod.preferences or self._added_preferences else SKIP

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        if not pod.signature.preferences and not self._added_preferences:
            return 0
        wishes = (*self._added_preferences, *pod.preferences)
        return sum(wish.weight for wish in wishes if wish.matches(node.name, node.labels))

    def score_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints:
        scores = np.zeros(self._nodes.count_of(rows), np.int64)
        if pod.preferences or self._added_preferences:
            for position, info in enumerate(self._nodes.infos_of(rows)):
                scores[position] = 0 if info is None else self.score(state, pod, info)
        return scores

    def normalize_rows(self, state: CycleState, pod: PodInfo, rows: Rows, scores: Ints) -> Ints:
        return scaled_to_max(scores, reverse=False)

    def _code(self, pod: PodInfo, info: NodeInfo | None) -> int:
        refused = None if info is None else self._refuses(pod, info.name, info.labels)
        return 0 if refused is None else 1 if refused is _REFUSED_BY_PROFILE else 2

    def _refuses(self, pod: PodInfo, name: str, labels: Labels) -> Status | None:
        if self._added is not None and not self._added.matches(name, labels):
            return _REFUSED_BY_PROFILE
        if pod.selector is not None and not pod.selector.matches(name, labels):
            return _REFUSED
        return None
