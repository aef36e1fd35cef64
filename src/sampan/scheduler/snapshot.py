"""What the scheduler knows of the cluster: every node, and every pod that is on one or assumed to be.

It follows the informers change by change, and a pod that was just placed is *assumed* on its node until the API server
says so itself, so the next decision already counts it. Decisions are made without waiting, between two changes, so
they need no copy. Nodes are in the order of their names, which makes decisions reproducible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sortedcontainers import SortedDict

from sampan.apimachinery.object import Object, name_of
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo


@dataclass(frozen=True, slots=True)
class _Placed:
    node_name: str
    uid: str
    assumed: bool


class Snapshot:
    """The present state. Only the scheduler's handlers and its cycle change it."""

    def __init__(self) -> None:
        self._nodes: SortedDict[str, NodeInfo] = SortedDict()
        self._placed: dict[str, _Placed] = {}
        self._listed: list[NodeInfo] | None = None
        self.image_nodes: Counter[str] = Counter()
        self.anti_affine_count = 0
        self.affine_count = 0
        self.nominated: dict[str, dict[str, PodInfo]] = {}

    def nodes(self) -> Sequence[NodeInfo]:
        """Nodes that exist, by name."""
        if self._listed is None:
            self._listed = [info for info in self._nodes.values() if info.node is not None]
        return self._listed

    def node(self, name: str) -> NodeInfo | None:
        info = self._nodes.get(name)
        return info if info is not None and info.node is not None else None

    def set_node(self, node: Object) -> None:
        info = self._info(name_of(node))
        self.image_nodes.subtract(info.images.keys())
        if info.node is None:
            self._listed = None
        info.set_node(node)
        self.image_nodes.update(info.images.keys())

    def remove_node(self, name: str) -> None:
        info = self._nodes.get(name)
        if info is None:
            return
        self.image_nodes.subtract(info.images.keys())
        info.set_node(None)
        self._listed = None
        self._drop_if_empty(info)

    def is_assumed(self, key: str) -> bool:
        placed = self._placed.get(key)
        return placed is not None and placed.assumed

    def placed_on(self, key: str) -> str:
        """The node that a pod is on or assumed to be on; empty if neither."""
        placed = self._placed.get(key)
        return placed.node_name if placed else ""

    def assume(self, pod: PodInfo, node_name: str) -> None:
        """Count a pod as placed before the API server knows."""
        assert pod.key not in self._placed, f"{pod.key} is placed already"
        self._place(pod.on(node_name), assumed=True)

    def forget(self, pod: PodInfo) -> None:
        """Take back an assumption, unless it has become true meanwhile."""
        placed = self._placed.get(pod.key)
        if placed is not None and placed.assumed and placed.uid == pod.uid:
            self._unplace(pod.key)

    def put_pod(self, pod: PodInfo) -> PodInfo | None:
        """A pod that the API server says is on a node: new, changed, or what was assumed. What it was before."""
        before = self._unplace(pod.key)
        self._place(pod, assumed=False)
        return before

    def remove_pod(self, key: str) -> PodInfo | None:
        """A pod is gone; what it was, None if it was not counted anywhere."""
        return self._unplace(key)

    def nominate(self, pod: PodInfo, node_name: str) -> None:
        """Remember that preemption makes room on a node for this pod."""
        self.withdraw_nomination(pod.key)
        self.nominated.setdefault(node_name, {})[pod.key] = pod

    def withdraw_nomination(self, key: str) -> None:
        for node_name, pods in list(self.nominated.items()):
            if pods.pop(key, None) is not None and not pods:
                del self.nominated[node_name]

    def _place(self, pod: PodInfo, *, assumed: bool) -> None:
        self._info(pod.node_name).add(pod)
        self._placed[pod.key] = _Placed(pod.node_name, pod.uid, assumed)
        self.affine_count += bool(pod.affinity)
        self.anti_affine_count += bool(pod.affinity.required_anti)

    def _unplace(self, key: str) -> PodInfo | None:
        placed = self._placed.pop(key, None)
        if placed is None:
            return None
        info = self._nodes[placed.node_name]
        pod = info.remove(key)
        assert pod is not None, f"{key} is recorded on {placed.node_name} but is not there"
        self.affine_count -= bool(pod.affinity)
        self.anti_affine_count -= bool(pod.affinity.required_anti)
        self._drop_if_empty(info)
        return pod

    def _info(self, name: str) -> NodeInfo:
        info = self._nodes.get(name)
        if info is None:
            info = self._nodes[name] = NodeInfo(name)
        return info

    def _drop_if_empty(self, info: NodeInfo) -> None:
        if info.node is None and not info.pods:
            del self._nodes[info.name]
            self._listed = None
