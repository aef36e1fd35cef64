"""Pod garbage collection: removes pods that nobody else will.

Observed, every 20 seconds: all pods and nodes. Desired: no pod that nobody will ever finish or look at. Those are:
- finished pods beyond `terminated_pod_threshold`, evicted ones first, then the oldest;
- pods that are being deleted on a node which is not ready and has the taint node.kubernetes.io/out-of-service;
- pods on nodes that have been gone for 40 seconds (and are, asked again, gone on the server);
- pods that are being deleted and were never put on a node: no kubelet will finish that.

Done about it, for each by itself, so that one which cannot be removed keeps none of the others: a pod that has not
ended is marked Failed, then it is deleted at once. A finished pod that is only held by finalizers is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial

from sampan import effects
from sampan.api.resources import NODES, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import (
    Object,
    dig,
    is_being_deleted,
    key_of,
    meta,
    name_of,
    namespace_of,
    uid_of,
)
from sampan.controllers import taints
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.pods import disruption_mark, is_finished, is_ready
from sampan.reconcile.controller import Wiring, no_key
from sampan.reconcile.measures import Tally
from sampan.reconcile.plan import NOTHING, Account, Delete, Patch, Plan

TICK = "tick"


class Reason(StrEnum):
    """Why a pod is removed."""

    TERMINATED = "terminated"
    OUT_OF_SERVICE = "out-of-service"
    ORPHANED = "orphaned"
    UNSCHEDULED = "unscheduled"


@dataclass(frozen=True, slots=True)
class Observed:
    """All pods in key order, all nodes by name, and the nodes that are surely gone."""

    pods: tuple[Object, ...]
    nodes: Mapping[str, Object]
    gone: frozenset[str]


def leftovers(observed: Observed, threshold: int) -> dict[str, Reason]:
    """The uids of the pods that should go, and why."""
    found = {uid_of(pod): Reason.TERMINATED for pod in _surplus(observed.pods, threshold)}
    for pod in observed.pods:
        reason = _reason(pod, observed)
        if reason is not None and not _waits_for_finalizers(pod):
            found.setdefault(uid_of(pod), reason)
    return found


def plan(pod: Object, reason: Reason, now: datetime) -> Plan:
    """Mark the pod Failed, so that whoever waits for its end (a Job) sees one; then delete it."""
    name, namespace = name_of(pod), namespace_of(pod)
    delete = Delete(PODS, name, namespace, uid=uid_of(pod), grace_period_s=0)
    if is_finished(pod):
        return Plan((delete,))
    status: Object = {"phase": "Failed"}
    if reason is Reason.ORPHANED:
        mark = disruption_mark(pod, "DeletionByPodGC", "PodGC: node no longer exists", now)
        status |= {"conditions": [mark]} if mark else {}
    patch = {"metadata": {"uid": uid_of(pod)}, "status": status}
    return Plan((Patch(PODS, name, namespace, patch, subresource="status", missing_ok=True), delete))


def _surplus(pods: tuple[Object, ...], threshold: int) -> list[Object]:
    """The finished pods beyond the threshold. Those that finalizers hold count, but can't go."""
    if threshold <= 0:
        return []
    finished = [pod for pod in pods if is_finished(pod)]
    free = sorted((pod for pod in finished if not _waits_for_finalizers(pod)), key=lambda pod: (
        dig(pod, "status", "reason") != "Evicted", meta(pod).get("creationTimestamp") or "", key_of(pod)
    ))
    return free[: max(len(finished) - threshold, 0)]


def _reason(pod: Object, observed: Observed) -> Reason | None:
    node = dig(pod, "spec", "nodeName", default="")
    if node in observed.gone:
        return Reason.ORPHANED
    if not is_being_deleted(pod):
        return None
    if not node:
        return Reason.UNSCHEDULED
    return Reason.OUT_OF_SERVICE if _is_out_of_service(observed.nodes.get(node)) else None


def _waits_for_finalizers(pod: Object) -> bool:
    """Its end has been agreed to: deleting it again would change nothing."""
    agreed = is_being_deleted(pod) and meta(pod).get("deletionGracePeriodSeconds") == 0
    return agreed and is_finished(pod) and bool(meta(pod).get("finalizers"))


def _is_out_of_service(node: Object | None) -> bool:
    if node is None or is_ready(node):
        return False
    return any(taint.get("key") == taints.OUT_OF_SERVICE for taint in dig(node, "spec", "taints", default=()))


class PodGCReconciler:
    """A key that is looked at every 20 seconds, and one for each pod that was then found to be left over."""

    def __init__(self, wiring: Wiring, config: ControllerManagerConfig) -> None:
        self._client = wiring.client
        self._queue = wiring.queue
        self._config = config
        self._pods = wiring.watch(PODS, no_key)
        self._nodes = wiring.watch(NODES, no_key)
        self._deleted = Tally(
            "pod_gc_collector_force_delete_pods_total",
            "Number of pods that are being forcefully deleted since the Pod GC Controller started.",
            ("namespace", "reason"),
        )
        self._errors = Tally(
            "pod_gc_collector_force_delete_pod_errors_total",
            "Number of errors encountered when forcefully deleting the pods since the Pod GC Controller started.",
            ("namespace", "reason"),
        )
        wiring.measure(self._deleted, self._errors)
        self._missing: dict[str, float] = {}
        self._found: dict[str, Reason] = {}
        wiring.queue.add(TICK)

    async def reconcile(self, key: str) -> Plan:
        if key != TICK:
            pod = self._pods.get_by_key(key)
            reason = self._found.get(uid_of(pod)) if pod is not None else None
            if pod is None or reason is None:
                return NOTHING
            return replace(plan(pod, reason, effects.now()), tell=partial(self._count, namespace_of(pod), reason))
        nodes = {name_of(node): node for node in self._nodes.list()}
        pods = tuple(sorted(self._pods.list(), key=key_of))
        gone = await self._gone({dig(pod, "spec", "nodeName", default="") for pod in pods} - nodes.keys() - {""})
        self._found = leftovers(Observed(pods, nodes, gone), self._config.terminated_pod_threshold)
        for pod in pods:
            if uid_of(pod) in self._found:
                self._queue.add(key_of(pod))
        return Plan(requeue_after_s=self._config.pod_gc_period_s)

    def _count(self, namespace: str, reason: Reason, account: Account) -> None:
        self._deleted.add(namespace, reason)
        if account.error is not None:
            self._errors.add(namespace, reason)

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
