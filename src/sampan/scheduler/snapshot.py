"""What the scheduler knows of the cluster: every node, and every pod that is on one or assumed to be.

It follows the informers change by change, and a pod that was just placed is *assumed* on its node until the API server
says so itself, so the next decision already counts it. Decisions are made without waiting, between two changes, so
they need no copy.

Three views of the same state are kept together: `NodeInfo`, one node with its pods; `table`, all nodes as columns; and
`counts`, pods per topology domain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sampan.apimachinery.object import Object, labels_of, name_of
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import NodeTable
from sampan.scheduler.pod_affinity import NamespaceLabels
from sampan.scheduler.pod_claims import claims_of
from sampan.scheduler.pod_counts import PodCounts
from sampan.scheduler.pod_info import PodInfo


@dataclass(slots=True)
class Placed:
    pod: PodInfo
    assumed: bool


class Snapshot:
    """The present state. Only the scheduler's handlers and its cycle change it."""

    def __init__(self, namespaces: Callable[[], NamespaceLabels] = dict) -> None:
        self.table = NodeTable()
        self.counts = PodCounts(self.table, namespaces)
        self._infos: dict[str, NodeInfo] = {}
        self._placed: dict[str, Placed] = {}
        self._listed: list[NodeInfo] | None = None
        self.image_nodes: Counter[str] = Counter()
        self.images_version = 0
        self.ported: dict[int, None] = {}
        """Rows on which host ports are taken."""
        self.claim_users: Counter[str] = Counter()
        """How many placed pods use each PersistentVolumeClaim, by `namespace/name`."""
        self.nominated: dict[str, dict[str, PodInfo]] = {}
        """By node, the pods for which room is being made there."""
        self._nominations: dict[str, str] = {}

    def nodes(self) -> Sequence[NodeInfo]:
        """Nodes that exist, by name."""
        if self._listed is None:
            self._listed = sorted((i for i in self._infos.values() if i.node is not None), key=lambda info: info.name)
        return self._listed

    def node(self, name: str) -> NodeInfo | None:
        info = self._infos.get(name)
        return info if info is not None and info.node is not None else None

    def set_node(self, node: Object) -> None:
        info = self._info(name_of(node))
        if info.node is None:
            self._listed = None
        self._take(info, node)

    def remove_node(self, name: str) -> None:
        info = self._infos.get(name)
        if info is None:
            return
        self._take(info, None)
        self._listed = None
        self._drop_if_empty(info)

    def placed(self) -> Mapping[str, Placed]:
        return self._placed

    def is_assumed(self, key: str) -> bool:
        placed = self._placed.get(key)
        return placed is not None and placed.assumed

    def placed_on(self, key: str) -> str:
        """The node that a pod is on or assumed to be on; empty if neither."""
        placed = self._placed.get(key)
        return placed.pod.node_name if placed else ""

    def assume(self, pod: PodInfo, node_name: str) -> None:
        """Count a pod as placed before the API server knows."""
        assert pod.key not in self._placed, f"{pod.key} is placed already"
        self._place(pod.on(node_name), assumed=True)

    def forget(self, pod: PodInfo) -> None:
        """Take back an assumption, unless it has become true meanwhile."""
        placed = self._placed.get(pod.key)
        if placed is not None and placed.assumed and placed.pod.uid == pod.uid:
            self._unplace(pod.key)

    def put_pod(self, pod: PodInfo) -> PodInfo | None:
        """A pod that the API server says is on a node: new, changed, or what was assumed. What it was before."""
        placed = self._placed.get(pod.key)
        if placed is not None and _counts_alike(placed.pod, pod):
            before, placed.pod, placed.assumed = placed.pod, pod, False
            self._infos[pod.node_name].pods[pod.key] = pod
            return before
        known = self._unplace(pod.key)
        self._place(pod, assumed=False)
        return known

    def remove_pod(self, key: str) -> PodInfo | None:
        """A pod is gone; what it was, None if it was not counted anywhere."""
        return self._unplace(key)

    def lift(self, key: str) -> Placed:
        """Take a pod away on trial; `put_back` makes it as it was."""
        placed = self._placed[key]
        self._unplace(key)
        return placed

    def put_back(self, placed: Placed) -> None:
        self._place(placed.pod, assumed=placed.assumed)

    def nominate(self, pod: PodInfo, node_name: str) -> None:
        """Remember that preemption makes room on a node for this pod."""
        self.withdraw_nomination(pod.key)
        self.nominated.setdefault(node_name, {})[pod.key] = pod
        self._nominations[pod.key] = node_name
        self._nominations_changed(node_name)

    def withdraw_nomination(self, key: str) -> None:
        node_name = self._nominations.pop(key, None)
        if node_name is None:
            return
        pods = self.nominated[node_name]
        del pods[key]
        if not pods:
            del self.nominated[node_name]
        self._nominations_changed(node_name)

    def nominated_node(self, key: str) -> str:
        """Where room is being made for a pod, empty if nowhere."""
        return self._nominations.get(key, "")

    def _nominations_changed(self, node_name: str) -> None:
        info = self._infos.get(node_name)
        if info is not None:
            self.table.changed(info.row)

    def _take(self, info: NodeInfo, node: Object | None) -> None:
        if node is not None and info.node is not None and _schedules_alike(info.node, node):
            info.node = node
            return
        images, labels = info.images, info.labels
        info.set_node(node)
        if images != info.images:
            self.image_nodes.subtract(images.keys())
            self.image_nodes.update(info.images.keys())
            self.images_version += 1
        if self.table.set_node(info, relabelled=labels != info.labels) and info.pods:
            self.counts.nodes_moved()

    def _place(self, pod: PodInfo, *, assumed: bool) -> None:
        info = self._info(pod.node_name)
        info.add(pod)
        self._placed[pod.key] = Placed(pod, assumed)
        self._count(info, pod, 1)

    def _unplace(self, key: str) -> PodInfo | None:
        placed = self._placed.pop(key, None)
        if placed is None:
            return None
        info = self._infos[placed.pod.node_name]
        pod = info.remove(key)
        assert pod is not None, f"{key} is recorded on {info.name} but is not there"
        self._count(info, pod, -1)
        self._drop_if_empty(info)
        return pod

    def _count(self, info: NodeInfo, pod: PodInfo, sign: int) -> None:
        self.table.count(info.row, pod, sign)
        self.counts.add(info.row, pod, sign)
        if pod.signature.volumes:
            self._count_claims(pod, sign)
        if pod.signature.ports:
            if info.ports:
                self.ported[info.row] = None
            else:
                self.ported.pop(info.row, None)

    def _count_claims(self, pod: PodInfo, sign: int) -> None:
        for claim in claims_of(pod):
            key = f"{pod.namespace}/{claim.name}"
            self.claim_users[key] += sign
            if not self.claim_users[key]:
                del self.claim_users[key]

    def _info(self, name: str) -> NodeInfo:
        info = self._infos.get(name)
        if info is None:
            info = self._infos[name] = NodeInfo(name)
            self.table.enter(info)
        return info

    def _drop_if_empty(self, info: NodeInfo) -> None:
        if info.node is None and not info.pods:
            del self._infos[info.name]
            self.table.leave(info)


def _schedules_alike(old: Object, new: Object) -> bool:
    """Whether nothing that is a column differs: most updates are a kubelet's sign of life."""
    old_status, new_status = old.get("status") or {}, new.get("status") or {}
    return (
        labels_of(old) == labels_of(new) and old.get("spec") == new.get("spec")
        and all(old_status.get(field) == new_status.get(field) for field in ("allocatable", "capacity", "images"))
    )


def _counts_alike(old: PodInfo, new: PodInfo) -> bool:
    """Whether nothing that is summed or counted differs: most updates are of a pod's status."""
    return (
        old.signature is new.signature and old.node_name == new.node_name and old.uid == new.uid
        and old.terminating == new.terminating
    )
