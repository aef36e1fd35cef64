"""Pod garbage collection: removes pods that nobody else will.

Observed, every 20 seconds: all pods and nodes. Desired: no pod that nobody will ever finish or look at. Deleted are:
- finished pods beyond `terminated_pod_threshold`, evicted ones first, then the oldest;
- pods on nodes that have been gone for 40 seconds (and are, asked again, gone on the server): they are marked Failed;
- pods that are being deleted and were never put on a node: no kubelet will finish that;
- pods that are being deleted on a node which is not ready and has the taint node.kubernetes.io/out-of-service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sampan import effects
from sampan.api.resources import NODES, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig, is_being_deleted, key_of, meta, name_of, namespace_of, uid_of
from sampan.controllers import taints, times
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.pods import is_finished, is_ready
from sampan.reconcile.controller import Wiring, no_key
from sampan.reconcile.plan import Delete, Parallel, Patch, Plan, Write

TICK = "tick"


@dataclass(frozen=True, slots=True)
class Observed:
    """All pods in key order, all nodes by name, and the nodes that are surely gone."""

    pods: tuple[Object, ...]
    nodes: Mapping[str, Object]
    gone: frozenset[str]


def plan(observed: Observed, config: ControllerManagerConfig, now: datetime) -> Plan:
    """Delete what is left over."""
    marks: list[Write] = []
    deletions: dict[str, Write] = {}
    for pod in observed.pods:
        node = dig(pod, "spec", "nodeName", default="")
        if is_being_deleted(pod) and not node:
            if not is_finished(pod):
                marks.append(_mark_failed(pod))
            deletions[key_of(pod)] = _delete(pod)
        elif node in observed.gone:
            if not is_finished(pod):
                marks.append(_mark_failed(pod, _lost(now)))
            deletions[key_of(pod)] = _delete(pod)
        elif is_being_deleted(pod) and _is_out_of_service(observed.nodes.get(node)):
            if not is_finished(pod):
                marks.append(_mark_failed(pod))
            deletions[key_of(pod)] = _delete(pod)
    for pod in _surplus(observed.pods, config.terminated_pod_threshold):
        deletions.setdefault(key_of(pod), _delete(pod))
    steps = [Parallel(tuple(writes)) for writes in (marks, list(deletions.values())) if writes]
    return Plan(tuple(steps), requeue_after_s=config.pod_gc_period_s)


def _surplus(pods: tuple[Object, ...], threshold: int) -> list[Object]:
    """The finished pods beyond the threshold."""
    if threshold <= 0:
        return []
    finished = [pod for pod in pods if is_finished(pod) and not is_being_deleted(pod)]
    finished.sort(key=lambda pod: (
        dig(pod, "status", "reason") != "Evicted", meta(pod).get("creationTimestamp") or "", key_of(pod)
    ))
    return finished[: max(len(finished) - threshold, 0)]


def _is_out_of_service(node: Object | None) -> bool:
    if node is None or is_ready(node):
        return False
    return any(taint.get("key") == taints.OUT_OF_SERVICE for taint in dig(node, "spec", "taints", default=()))


def _lost(now: datetime) -> Object:
    return {
        "type": "DisruptionTarget", "status": "True", "lastTransitionTime": times.text(now),
        "reason": "DeletionByPodGC", "message": "PodGC: node no longer exists",
    }


def _mark_failed(pod: Object, *conditions: Object) -> Patch:
    """A pod that nobody will finish has failed: whoever waits for its end (a Job) must see one."""
    status: Object = {"phase": "Failed", **({"conditions": list(conditions)} if conditions else {})}
    patch = {"metadata": {"uid": uid_of(pod)}, "status": status}
    return Patch(PODS, name_of(pod), namespace_of(pod), patch, subresource="status", missing_ok=True)


def _delete(pod: Object) -> Delete:
    return Delete(PODS, name_of(pod), namespace_of(pod), uid=uid_of(pod), grace_period_s=0)


class PodGCReconciler:
    """One key, looked at every 20 seconds."""

    def __init__(self, wiring: Wiring, config: ControllerManagerConfig) -> None:
        self._client = wiring.client
        self._config = config
        self._pods = wiring.watch(PODS, no_key)
        self._nodes = wiring.watch(NODES, no_key)
        self._missing: dict[str, float] = {}
        wiring.queue.add(TICK)

    async def reconcile(self, key: str) -> Plan:
        nodes = {name_of(node): node for node in self._nodes.list()}
        pods = tuple(sorted(self._pods.list(), key=key_of))
        gone = await self._gone({dig(pod, "spec", "nodeName", default="") for pod in pods} - nodes.keys() - {""})
        return plan(Observed(pods, nodes, gone), self._config, effects.now())

    async def _gone(self, missing: set[str]) -> frozenset[str]:
        """Those that have been missing for long enough and that the server does not know either."""
        now = effects.monotonic()
        self._missing = {name: self._missing.get(name, now) for name in sorted(missing)}
        gone = set()
        for name, since in self._missing.items():
            if now - since < self._config.pod_gc_quarantine_s:
                continue
            try:
                await self._client.get(NODES, name)
            except errors.NotFound:
                gone.add(name)
        return frozenset(gone)
