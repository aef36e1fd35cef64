"""VolumeZone: a pod goes to the zone and region in which its bound volumes are.

A volume says where it is by the labels `topology.kubernetes.io/zone` and `…/region` (or their beta names); a value may
list several, joined by `__`. Nodes without any such label belong to clusters without zones and are never refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sampan.api.core.volume_matching import SELECTED_NODE, class_of, waits_for_consumer
from sampan.apimachinery.object import annotations_of, dig, labels_of
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.framework.status import SKIP, Status, unresolvable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_masks import NodeMasks
from sampan.scheduler.node_table import Ints, Rows
from sampan.scheduler.pod_claims import claims_of
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

_SAME = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}
_LABELS = (*_SAME.values(), *_SAME)
_NOWHERE = "PersistentVolumeClaim had no pv name and storageClass name"
_ELSEWHERE = unresolvable("node(s) had no available volume zone")


class VolumeZone:
    name: ClassVar[str] = "VolumeZone"
    row_local: ClassVar[bool] = False
    events: ClassVar[frozenset[ClusterEvent]] = frozenset(
        (
            ClusterEvent.CLAIM, ClusterEvent.VOLUME, ClusterEvent.STORAGE_CLASS, ClusterEvent.NODE_ADDED,
            ClusterEvent.NODE_LABELS,
        )
    )

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._handle = handle
        self._masks = NodeMasks(handle.snapshot.table)

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        wanted: list[tuple[str, frozenset[str]]] = []
        for claim in claims_of(pod):
            if claim.ephemeral:
                continue  # VolumeBinding looks after those
            places = self._places(pod.namespace, claim.name)
            if isinstance(places, Status):
                return places
            wanted += places
        if not wanted:
            return SKIP
        state[self.name] = tuple(wanted)
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        if not any(label in node.labels for label in _LABELS):
            return None
        for label, values in state[self.name]:
            found = node.labels.get(label) or node.labels.get(_SAME.get(label) or _beta(label))
            if found not in values:
                return _ELSEWHERE
        return None

    def filter_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints | None:
        masks = self._masks
        zoned = masks.has_label(_LABELS[0])
        for label in _LABELS[1:]:
            zoned = zoned | masks.has_label(label)
        good = ~zoned
        there = np.ones(len(zoned), np.bool_)
        for label, values in state[self.name]:
            has, other = masks.has_label(label), _SAME.get(label) or _beta(label)
            there &= np.where(has, masks.has_value(label, values), masks.has_value(other, values))
        return np.where(good | there, 0, 1)[rows]

    def refusal(self, state: CycleState, pod: PodInfo, code: int) -> Status:
        return _ELSEWHERE

    def _places(self, namespace: str, name: str) -> list[tuple[str, frozenset[str]]] | Status:
        """Where the claim's volume is; nothing for one that will be bound only after its pod has a node."""
        storage = self._handle.storage
        claim = storage.claim(namespace, name)
        if claim is None:
            return unresolvable(f'persistentvolumeclaim "{name}" not found')
        bound = dig(claim, "spec", "volumeName")
        if not bound:
            late = waits_for_consumer(claim, storage.storage_class(class_of(claim)))
            return [] if late or SELECTED_NODE in annotations_of(claim) else unresolvable(_NOWHERE)
        volume = storage.volume(bound)
        if volume is None:
            return unresolvable(f'persistentvolume "{bound}" not found')
        labels = labels_of(volume)
        return [(label, frozenset(labels[label].split("__"))) for label in _LABELS if label in labels]


def _beta(label: str) -> str:
    return next(beta for beta, present in _SAME.items() if present == label)
