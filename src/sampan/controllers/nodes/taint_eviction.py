"""Taint eviction: deletes pods from nodes whose NoExecute taints they do not tolerate, or tolerate no longer.

Observed: pods and the nodes that they are on. Desired: no pod on a node whose taints it does not answer. A pod that
answers every NoExecute taint of its node stays for the shortest `tolerationSeconds` among the tolerations used (of each
taint, the first that answers it), counted from when the taint was added, or first seen where it does not say; without
such a time it stays for ever. A pod that waits gains nothing by a longer toleration: its time stays as long as the
taints do that it follows from. If the node recovers in between, the eviction is called off. Before a pod is deleted its
condition DisruptionTarget says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sampan import effects
from sampan.api.resources import NODES, PODS
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.object import (
    Object,
    dig,
    is_being_deleted,
    key_of,
    meta,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from sampan.client.events import NORMAL
from sampan.controllers import taints, times
from sampan.controllers.nodes.node_lifecycle import BY_NODE, node_of_pod
from sampan.controllers.pods import disruption_mark
from sampan.reconcile.controller import Wiring
from sampan.reconcile.measures import Tally
from sampan.reconcile.plan import NOTHING, Delete, Note, Patch, Plan, Write


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pod that will have to go: since when it has been waiting, until when, and because of which taints."""

    since: datetime
    until: datetime
    taints: frozenset[str]


def plan(pod: Object, node: Object, now: datetime, waiting: Waiting | None = None) -> Plan:
    """Delete the pod, wait, or let it be. `waiting` is what was decided before."""
    found = waits(pod, node, now, waiting)
    if found is None:
        return NOTHING
    if found.until > now:
        return Plan(requeue_after_s=times.seconds_until(found.until, now))
    return _evict(pod, now)


def waits(pod: Object, node: Object, now: datetime, waiting: Waiting | None = None) -> Waiting | None:
    """Until when the pod may stay; None: for ever."""
    found = [taint for taint in dig(node, "spec", "taints", default=()) if taint.get("effect") == taints.NO_EXECUTE]
    if not found or is_being_deleted(pod):
        return None
    since = waiting.since if waiting is not None else now
    deadline = eviction_time(pod, found, now, since)
    if deadline is None:
        return None
    present = frozenset(str(taint.get("key")) for taint in found)
    if waiting is not None and waiting.taints <= present:
        deadline = min(deadline, waiting.until)
    return Waiting(since, deadline, present)


def eviction_time(pod: Object, found: list[Object], now: datetime, seen: datetime) -> datetime | None:
    """When the pod has to go because of these NoExecute taints, which were there when first `seen`; None: never."""
    tolerations = dig(pod, "spec", "tolerations", default=())
    if taints.untolerated(found, tolerations):
        return now
    moments: list[datetime] = []
    for taint in found:
        added = times.parse_or_none(taint.get("timeAdded")) or seen
        created = times.parse_or_none(meta(pod).get("creationTimestamp")) or added
        used = next(toleration for toleration in tolerations if taints.tolerates(toleration, taint))
        if used.get("tolerationSeconds") is not None:
            moments.append(max(added, created) + timedelta(seconds=max(used["tolerationSeconds"], 0)))
    return min(moments) if moments else None


def _evict(pod: Object, now: datetime) -> Plan:
    name, namespace = name_of(pod), namespace_of(pod)
    mark = disruption_mark(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", now)
    patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [mark]}}
    marked = (Patch(PODS, name, namespace, patch, subresource="status", missing_ok=True),) if mark else ()
    note = Note(pod, NORMAL, "TaintManagerEviction", f"Marking for deletion Pod {namespace}/{name}")
    return Plan((*marked, Delete(PODS, name, namespace, uid=uid_of(pod))), (note,))


class TaintEvictionReconciler:
    """Keys are pods; a node concerns the pods on it. Remembers which pods wait, to tell when one may stay after all."""

    def __init__(self, wiring: Wiring) -> None:
        self._waiting: dict[str, Waiting] = {}
        self._pods = wiring.watch(PODS)
        self._pods.add_index(BY_NODE, node_of_pod)
        self._nodes = wiring.watch(NODES, self._on_node)
        self._deletions = Tally(
            "taint_eviction_controller_pod_deletions_total",
            "Total number of Pods deleted by TaintEvictionController since its start.",
        )
        wiring.measure(self._deletions)
        wiring.observe(self._count)

    def _count(self, write: Write, error: APIError | None) -> None:
        if isinstance(write, Delete) and error is None:
            self._deletions.add()

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        pod = self._pods.get(name, namespace)
        node = self._nodes.get(dig(pod, "spec", "nodeName", default="")) if pod else None
        now, before = effects.now(), self._waiting.pop(key, None)
        if pod is None or node is None:
            return NOTHING
        decided = plan(pod, node, now, before)
        after = waits(pod, node, now, before)
        if after is not None and decided.requeue_after_s is not None:
            self._waiting[key] = after
        if before is not None and after is None and not is_being_deleted(pod):
            return Plan(notes=(Note(pod, NORMAL, "TaintManagerEviction", f"Cancelling deletion of Pod {key}"),))
        return decided

    def _on_node(self, node: Object) -> list[str]:
        on_node = self._pods.by_index(BY_NODE, name_of(node))
        if any(taint.get("effect") == taints.NO_EXECUTE for taint in dig(node, "spec", "taints", default=())):
            return sorted(map(key_of, on_node))
        return sorted(key for pod in on_node if (key := key_of(pod)) in self._waiting)
