"""ImageLocality: better the node that has the pod's images already, the larger the better.

Each image counts with its size times the share of nodes that have it, so that one node with a rare image does not draw
every pod. Below 23 MB in sum the score is 0, from 1000 MB a container on it is 100. Scores change only when images or
nodes do, so they are kept for the images that pods have.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sampan.scheduler.framework.candidates import Candidates
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import MAX_NODE_SCORE, CycleState
from sampan.scheduler.framework.status import SKIP, Status
from sampan.scheduler.node_table import Ints, Rows
from sampan.scheduler.pod_info import PodInfo

_MB = 1024 * 1024
_LEAST_BYTES = 23 * _MB
_MOST_BYTES = 1000 * _MB
_KEPT = 128


class ImageLocality:
    name: ClassVar[str] = "ImageLocality"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset()
    row_local: ClassVar[bool] = False

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._snapshot = handle.snapshot
        self._kept: OrderedDict[tuple[str, ...], tuple[Any, Ints]] = OrderedDict()

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Candidates) -> Status | None:
        known = self._snapshot.image_nodes
        return None if known and any(known.get(normalized(image)) for image in pod.images) else SKIP

    def score_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints:
        version = (self._snapshot.images_version, self._snapshot.table.version, len(self._snapshot.table.exists))
        kept = self._kept.get(pod.images)
        if kept is None or kept[0] != version:
            kept = self._kept[pod.images] = (version, self._all_scores(pod.images))
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return kept[1][rows]

    def _all_scores(self, images: tuple[str, ...]) -> Ints:
        table, image_nodes = self._snapshot.table, self._snapshot.image_nodes
        total_nodes = max(len(table), 1)
        sizes = np.zeros(len(table.exists), np.int64)
        names = [name for name in map(normalized, images) if image_nodes.get(name)]
        for info in table.infos if names else ():
            if info is not None and info.images:
                sizes[info.row] = sum(info.images.get(name, 0) * image_nodes[name] // total_nodes for name in names)
        most = _MOST_BYTES * max(len(images), 1)
        return MAX_NODE_SCORE * (np.clip(sizes, _LEAST_BYTES, most) - _LEAST_BYTES) // (most - _LEAST_BYTES)


def normalized(image: str) -> str:
    """With the tag that an image without one means."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"
