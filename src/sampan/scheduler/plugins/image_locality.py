"""ImageLocality: better the node that has the pod's images already, the larger the better.

Each image counts with its size times the share of nodes that have it, so that one node with a rare image does not draw
every pod. Below 23 MB in sum the score is 0, from 1000 MB a container on it is 100.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.interface import MAX_NODE_SCORE, CycleState, Handle
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo

_MB = 1024 * 1024
_LEAST_BYTES = 23 * _MB
_MOST_BYTES = 1000 * _MB


class ImageLocality:
    name: ClassVar[str] = "ImageLocality"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset()

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._snapshot = handle.snapshot

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        if not node.images or not pod.images:
            return 0
        total_nodes = len(self._snapshot.nodes())
        size = 0
        for image in pod.images:
            name = normalized(image)
            if name in node.images:
                size += node.images[name] * self._snapshot.image_nodes[name] // total_nodes
        most = _MOST_BYTES * len(pod.images)
        return MAX_NODE_SCORE * (min(max(size, _LEAST_BYTES), most) - _LEAST_BYTES) // (most - _LEAST_BYTES)


def normalized(image: str) -> str:
    """With the tag that an image without one means."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"
