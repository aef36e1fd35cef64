"""Follows the cluster: each change of a pod, node or namespace into the snapshot, and into the queue if it may help."""

from __future__ import annotations

from collections.abc import Collection

from sampan.apimachinery.object import Object, dig, labels_of, name_of
from sampan.scheduler.framework.events import ClusterEvent, node_changes
from sampan.scheduler.listers import Listers
from sampan.scheduler.pod_groups import PodGroups
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.queue import SchedulingQueue
from sampan.scheduler.snapshot import Snapshot


def follow(
    snapshot: Snapshot, queue: SchedulingQueue, listers: Listers, groups: PodGroups, scheduler_names: Collection[str]
) -> None:
    """Begin to follow, for the pods of these schedulers."""
    listers.happened = queue.move
    nodes = _Nodes(snapshot, queue)
    listers.node_informer.add_handler(nodes.added, nodes.updated, nodes.deleted)
    listers.pods.handler = _Pods(snapshot, queue, groups, scheduler_names)
    namespaces = _Namespaces(snapshot, queue)
    listers.namespace_informer.add_handler(namespaces.added, namespaces.updated)


class _Namespaces:
    def __init__(self, snapshot: Snapshot, queue: SchedulingQueue) -> None:
        self._snapshot = snapshot
        self._queue = queue

    def added(self, namespace: Object) -> None:
        self._snapshot.counts.namespaces_changed()
        self._queue.move(ClusterEvent.NAMESPACE, None, namespace)

    def updated(self, old: Object, new: Object) -> None:
        if labels_of(old) != labels_of(new):
            self._snapshot.counts.namespaces_changed()
            self._queue.move(ClusterEvent.NAMESPACE, old, new)


class _Nodes:
    def __init__(self, snapshot: Snapshot, queue: SchedulingQueue) -> None:
        self._snapshot = snapshot
        self._queue = queue

    def added(self, node: Object) -> None:
        self._snapshot.set_node(node)
        self._queue.move(ClusterEvent.NODE_ADDED, None, node)

    def updated(self, old: Object, new: Object) -> None:
        self._snapshot.set_node(new)
        for change in node_changes(old, new):
            self._queue.move(change, old, new)

    def deleted(self, node: Object) -> None:
        self._snapshot.remove_node(name_of(node))
        self._queue.move(ClusterEvent.NODE_DELETED, node, None)


class _Pods:
    """A pod is either placed (in the snapshot) or waits (in the queue, if it is ours)."""

    def __init__(
        self, snapshot: Snapshot, queue: SchedulingQueue, groups: PodGroups, scheduler_names: Collection[str]
    ) -> None:
        self._snapshot = snapshot
        self._queue = queue
        self._groups = groups
        self._scheduler_names = scheduler_names

    def added(self, pod: PodInfo) -> None:
        self._groups.put(pod)
        if pod.node_name:
            self._placed(pod)
            self._queue.move(ClusterEvent.POD_PLACED, None, pod)
        elif self._is_ours(pod) and not pod.terminating:
            if pod.nominated_node:
                self._snapshot.nominate(pod, pod.nominated_node)
            self._queue.add(pod)
            self._queue.move(ClusterEvent.POD_WAITING, None, pod)

    def updated(self, old: PodInfo, new: PodInfo) -> None:
        self._groups.put(new)
        if not new.node_name:
            self._waiting_changed(old, new)
            return
        before = self._placed(new)
        if before is None or not old.node_name:
            self._queue.move(ClusterEvent.POD_PLACED, None, new)
            return
        if before.signature is new.signature:
            return
        if before.labels != new.labels:
            self._queue.move(ClusterEvent.POD_LABELS, before, new)
        if before.requests != new.requests:
            self._queue.move(ClusterEvent.POD_SCALED_DOWN, before, new)

    def deleted(self, pod: PodInfo) -> None:
        self._groups.remove(pod)
        self._queue.delete(pod.key)
        self._snapshot.withdraw_nomination(pod.key)
        before = self._snapshot.remove_pod(pod.key)
        if before is not None:
            self._queue.move(ClusterEvent.POD_FREED, before, None)

    def _placed(self, pod: PodInfo) -> PodInfo | None:
        """The pod is on a node; what was known of it there."""
        self._queue.delete(pod.key)
        self._snapshot.withdraw_nomination(pod.key)
        return self._snapshot.put_pod(pod)

    def _waiting_changed(self, old: PodInfo, new: PodInfo) -> None:
        if new.terminating or not self._is_ours(new):
            self._queue.delete(new.key)
            self._snapshot.withdraw_nomination(new.key)
            return
        self._queue.update(new)
        if _claims(old) != _claims(new):
            self._queue.move(ClusterEvent.POD_CLAIMS, old, new)
        if old.signature is not new.signature:
            self._queue.move(ClusterEvent.POD_WAITING, old, new)

    def _is_ours(self, pod: PodInfo) -> bool:
        return pod.signature.scheduler_name in self._scheduler_names


def _claims(pod: PodInfo) -> object:
    """The ResourceClaims that were made for the pod."""
    return dig(pod.obj or {}, "status", "resourceClaimStatuses") if pod.spec.get("resourceClaims") else None
