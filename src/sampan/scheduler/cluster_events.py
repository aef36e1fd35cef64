"""Follows the cluster: each change of a pod, node or namespace into the snapshot, and into the queue if it may help."""

from __future__ import annotations

from sampan.apimachinery.object import Object, key_of, labels_of, name_of
from sampan.scheduler.framework.events import ClusterEvent, node_changes
from sampan.scheduler.listers import Listers
from sampan.scheduler.pod_info import PodInfo, parse
from sampan.scheduler.queue import SchedulingQueue
from sampan.scheduler.snapshot import Snapshot


def follow(snapshot: Snapshot, queue: SchedulingQueue, listers: Listers, scheduler_name: str) -> None:
    """Begin to follow. Nodes come first, so that the pods that are listed next find theirs."""
    nodes = _Nodes(snapshot, queue)
    listers.node_informer.add_handler(nodes.added, nodes.updated, nodes.deleted)
    pods = _Pods(snapshot, queue, scheduler_name)
    listers.pod_informer.add_handler(pods.added, pods.updated, pods.deleted)
    listers.namespace_informer.add_handler(
        lambda namespace: queue.move(ClusterEvent.NAMESPACE),
        lambda old, new: queue.move(ClusterEvent.NAMESPACE) if labels_of(old) != labels_of(new) else None,
    )
    for informer in listers.storage_informers:
        informer.add_handler(
            lambda obj: queue.move(ClusterEvent.STORAGE), lambda old, new: queue.move(ClusterEvent.STORAGE),
            lambda obj: queue.move(ClusterEvent.STORAGE),
        )


class _Nodes:
    def __init__(self, snapshot: Snapshot, queue: SchedulingQueue) -> None:
        self._snapshot = snapshot
        self._queue = queue

    def added(self, node: Object) -> None:
        self._snapshot.set_node(node)
        self._queue.move(ClusterEvent.NODE_ADDED)

    def updated(self, old: Object, new: Object) -> None:
        self._snapshot.set_node(new)
        for change in sorted(node_changes(old, new), key=lambda change: change.value):
            self._queue.move(change)

    def deleted(self, node: Object) -> None:
        self._snapshot.remove_node(name_of(node))
        self._queue.move(ClusterEvent.NODE_DELETED)


class _Pods:
    """A pod is either placed (in the snapshot) or waits (in the queue, if it is ours)."""

    def __init__(self, snapshot: Snapshot, queue: SchedulingQueue, scheduler_name: str) -> None:
        self._snapshot = snapshot
        self._queue = queue
        self._scheduler_name = scheduler_name

    def added(self, obj: Object) -> None:
        pod = parse(obj)
        if pod.node_name:
            self._placed(pod)
            self._queue.move(ClusterEvent.POD_PLACED)
        elif self._is_ours(pod) and not pod.terminating:
            if pod.nominated_node:
                self._snapshot.nominate(pod, pod.nominated_node)
            self._queue.add(pod)

    def updated(self, old: Object, new: Object) -> None:
        pod = parse(new)
        if not pod.node_name:
            self._waiting_changed(pod)
            return
        before = self._placed(pod)
        if before is None or not (old.get("spec") or {}).get("nodeName"):
            self._queue.move(ClusterEvent.POD_PLACED)
            return
        if before.labels != pod.labels:
            self._queue.move(ClusterEvent.POD_LABELS)
        if before.requests != pod.requests:
            self._queue.move(ClusterEvent.POD_SCALED_DOWN)

    def deleted(self, obj: Object) -> None:
        key = key_of(obj)
        self._queue.delete(key)
        self._snapshot.withdraw_nomination(key)
        if self._snapshot.remove_pod(key) is not None:
            self._queue.move(ClusterEvent.POD_FREED)

    def _placed(self, pod: PodInfo) -> PodInfo | None:
        """The pod is on a node; what was known of it there."""
        self._queue.delete(pod.key)
        self._snapshot.withdraw_nomination(pod.key)
        return self._snapshot.put_pod(pod)

    def _waiting_changed(self, pod: PodInfo) -> None:
        if pod.terminating or not self._is_ours(pod):
            self._queue.delete(pod.key)
            self._snapshot.withdraw_nomination(pod.key)
        else:
            self._queue.update(pod)

    def _is_ours(self, pod: PodInfo) -> bool:
        return ((pod.obj.get("spec") or {}).get("schedulerName") or "default-scheduler") == self._scheduler_name
