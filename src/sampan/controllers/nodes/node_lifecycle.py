"""Node lifecycle: notices nodes that fell silent, and marks nodes so that nothing is put where it cannot run.

Observed: nodes, their Leases in kube-node-lease, the pods on them. Desired: a node's conditions, taints and the
readiness of its pods say what is known of it. It is alive while its kubelet renews its Lease or its status. Only
*changes* are timed, and by this controller's own clock, so clocks of nodes do not matter. After `node_monitor_grace_s`
without any (of a node that has never reported: `node_startup_grace_s` after its creation), every condition that the
kubelet reports becomes Unknown, and the node's pods are marked not ready, which takes them out of Services. A kubelet
that says itself that its node is not ready still speaks for its pods: those are left as it says they are.

From the conditions follow taints: NoSchedule at once; NoExecute, which evicts pods (see `taint_eviction.py`), at a pace
that depends on how the node's zone is (see `node_zones.py`), and not at all while no node of the cluster is ready: then
it is more likely that the control plane lost its network than that all nodes died. When that is over, the silence of
each node counts anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sampan import effects
from sampan.api.resources import LEASES, NODES, PODS
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.object import Object, dig, key_of, labels_of, meta, name_of, namespace_of, uid_of
from sampan.client.events import NORMAL, WARNING
from sampan.controllers import taints, times
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.nodes.node_zones import (
    EvictionQueues,
    Zone,
    all_lost,
    metric_label,
    rate_of,
    zone_of,
    zone_readings,
    zones_of,
)
from sampan.controllers.pods import condition, is_ready
from sampan.reconcile.controller import Wiring, no_key, own_key
from sampan.reconcile.measures import Tally
from sampan.reconcile.plan import NOTHING, Note, Parallel, Patch, Plan, Step, Update, Write

LEASE_NAMESPACE = "kube-node-lease"
KUBELET_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
BY_NODE = "node"
_RENAMED = tuple((f"kubernetes.io/{what}", f"beta.kubernetes.io/{what}") for what in ("os", "arch"))


@dataclass(frozen=True, slots=True)
class Health:
    """The newest signs of life, of Lease and status, and when (monotonic seconds) one was new. `uid` is the node's."""

    renewed: str
    heartbeat: str
    at: float
    uid: str


@dataclass(frozen=True, slots=True)
class Observed:
    """A node, its pods, for how long it has been silent, and whether NoExecute taints may be added now."""

    node: Object
    pods: tuple[Object, ...]
    silent_s: float
    may_evict: bool = True
    all_silent: bool = False


def plan(observed: Observed, config: ControllerManagerConfig, now: datetime) -> Plan:
    """Conditions, then labels, then taints and the node's pods. What comes first is changed first; the rest follows."""
    node = observed.node
    known = condition(node, "Ready")
    grace_s = config.node_monitor_grace_s if known else config.node_startup_grace_s
    if observed.silent_s > grace_s and _status(node, "Ready") != "Unknown":
        return _unknown(node, now, config)
    if labels := _older_labels(node):
        patch: Object = {"metadata": {"labels": labels}}
        renamed = Patch(NODES, name_of(node), "", patch, "merge", missing_ok=True)
        return Plan((renamed,), requeue_after_s=config.node_monitor_period_s)
    wanted = wanted_taints(node, observed, now)
    steps: list[Step] = []
    if wanted != list(dig(node, "spec", "taints", default=())):
        patch = {"metadata": {"resourceVersion": meta(node).get("resourceVersion")}, "spec": {"taints": wanted or None}}
        steps.append(Patch(NODES, name_of(node), "", patch, "merge", missing_ok=True))
    if known is not None and known.get("status") == "Unknown":
        writes = tuple(_not_ready(pod, now) for pod in observed.pods if is_ready(pod))
        steps += [Parallel(writes)] if writes else []
    return Plan(tuple(steps), requeue_after_s=config.node_monitor_period_s)


def _older_labels(node: Object) -> dict[str, str]:
    """What is missing of the former names of labels that have been renamed, for who still selects by them."""
    labels = labels_of(node)
    present = ((older, labels[name]) for name, older in _RENAMED if name in labels)
    return {older: value for older, value in present if labels.get(older) != value}


def _unknown(node: Object, now: datetime, config: ControllerManagerConfig) -> Plan:
    """Write that nobody knows how the node is."""
    found = {one.get("type"): one for one in dig(node, "status", "conditions", default=())}
    moment = times.text(now)
    for type in KUBELET_CONDITIONS:
        old = found.get(type)
        if old is not None and old.get("status") == "Unknown":
            continue
        never = old is None
        found[type] = {
            **(old or {"type": type, "lastHeartbeatTime": meta(node).get("creationTimestamp")}),
            "status": "Unknown", "lastTransitionTime": moment,
            "reason": "NodeStatusNeverUpdated" if never else "NodeStatusUnknown",
            "message": "Kubelet never posted node status." if never else "Kubelet stopped posting node status.",
        }
    was_ready = _status(node, "Ready") == "True"
    text = f"Node {name_of(node)} status is now: NodeNotReady"
    notes = (Note(node, NORMAL, "NodeNotReady", text),) if was_ready else ()
    changed = {**node, "status": {**(node.get("status") or {}), "conditions": list(found.values())}}
    return Plan(
        (Update(NODES, changed, subresource="status"),), notes, requeue_after_s=config.node_monitor_period_s
    )


def wanted_taints(node: Object, observed: Observed, now: datetime) -> list[Object]:
    """The node's taints as they should be: others' stay, ours follow the conditions."""
    present: Sequence[Object] = dig(node, "spec", "taints", default=())
    no_schedule = {taints.BY_CONDITION[type].get(_status(node, type)) for type in taints.BY_CONDITION}
    if dig(node, "spec", "unschedulable"):
        no_schedule.add(taints.UNSCHEDULABLE)
    ready = _status(node, "Ready")
    no_execute = {"False": taints.NOT_READY, "Unknown": taints.UNREACHABLE}.get(ready)
    if observed.all_silent:
        no_execute = None
    had = {taint["key"] for taint in present if taint.get("effect") == taints.NO_EXECUTE}
    if no_execute and not observed.may_evict and not had & taints.MANAGED_NO_EXECUTE:
        no_execute = None
    kept: list[Object] = []
    for taint in present:
        key, effect = taint.get("key"), taint.get("effect")
        if effect == taints.NO_SCHEDULE and key in taints.MANAGED_NO_SCHEDULE and key not in no_schedule:
            continue
        if effect == taints.NO_EXECUTE and key in taints.MANAGED_NO_EXECUTE and key != no_execute:
            continue
        kept.append(taint)
    there = {(taint.get("key"), taint.get("effect")) for taint in kept}
    kept += [
        {"key": key, "effect": taints.NO_SCHEDULE, "timeAdded": times.text(now)}
        for key in sorted(filter(None, no_schedule)) if (key, taints.NO_SCHEDULE) not in there
    ]
    if no_execute and (no_execute, taints.NO_EXECUTE) not in there:
        kept.append({"key": no_execute, "effect": taints.NO_EXECUTE, "timeAdded": times.text(now)})
    return kept


def _not_ready(pod: Object, now: datetime) -> Patch:
    """The pod is not ready: nobody can say that it is."""
    document = {"type": "Ready", "status": "False", "lastTransitionTime": times.text(now)}
    patch = {"metadata": {"uid": meta(pod).get("uid")}, "status": {"conditions": [document]}}
    note = Note(pod, WARNING, "NodeNotReady", "Node is not ready")
    return Patch(PODS, name_of(pod), namespace_of(pod), patch, subresource="status", missing_ok=True, done=note)


def _status(node: Object, type: str) -> str:
    found = condition(node, type)
    return str(found.get("status")) if found else ""


def next_health(known: Health | None, node: Object, lease: Object | None, now: float) -> Health:
    """What is known of a node after a look at what its kubelet changes while it lives.

    Any other time in the Lease or in the Ready condition is a sign of life; that the Lease is gone is none. Upstream
    wants a later time in the Lease: after a clock was set back by an hour all nodes would seem lost for an hour. A node
    that was never heard of has been silent since it was created.
    """
    ready = condition(node, "Ready")
    heartbeat = str((ready or {}).get("lastHeartbeatTime") or "")
    renewed = str(dig(lease, "spec", "renewTime", default="") or "")
    if known is None:
        never = ready is None and not renewed
        age_s = (effects.now() - times.parse(meta(node)["creationTimestamp"])).total_seconds() if never else 0.0
        return Health(renewed, heartbeat, now - age_s, uid_of(node))
    renewed = renewed or known.renewed
    if (renewed, heartbeat) == (known.renewed, known.heartbeat):
        return known
    return Health(renewed, heartbeat, now, uid_of(node))


def needs_eviction(node: Object) -> bool:
    """Whether the node is lost and its pods are not going yet."""
    return _status(node, "Ready") in ("False", "Unknown") and not _evicting(node)


def _evicting(node: Object) -> bool:
    return any(
        taint.get("effect") == taints.NO_EXECUTE and taint.get("key") in taints.MANAGED_NO_EXECUTE
        for taint in dig(node, "spec", "taints", default=())
    )


class NodeLifecycleReconciler:
    """Keys are nodes, each looked at when it changes and every five seconds."""

    def __init__(self, wiring: Wiring, config: ControllerManagerConfig) -> None:
        self._config = config
        self._nodes = wiring.watch(NODES, self._changed)
        self._zones: dict[str, Zone] | None = None
        leases = wiring.factory.informer(LEASES, LEASE_NAMESPACE)
        wiring.follow(leases, no_key)
        self._leases = leases.lister
        self._pods = wiring.read(PODS)
        self._pods.add_index(BY_NODE, node_of_pod)
        self._health: dict[str, Health] = {}
        self._well: dict[str, Object] = {}
        """Nodes as they were when they were ready and nothing was to do: then only silence can change that."""
        self._all_lost = False
        self._queues = EvictionQueues(config.node_eviction_per_s)
        self._begun: dict[str, str] = {}
        """The zone of each node whose taint is being written."""
        self._evictions = Tally(
            "node_collector_evictions_total",
            "Number of Node evictions that happened since current instance of NodeController started.", ("zone",),
        )
        wiring.measure(self._evictions, *zone_readings(self._present_zones))
        wiring.observe(self._count)
        wiring.pass_over(self._is_well_for)

    async def reconcile(self, key: str) -> Plan:
        node = self._nodes.get(key)
        if node is None:
            return self._removed(key)
        if (again_s := self._is_well_for(key)) is not None:
            return Plan(requeue_after_s=again_s)
        now = effects.monotonic()
        notes: tuple[Note, ...] = ()
        if key not in self._health:
            text = f"Node {key} event: Registered Node {key} in Controller"
            notes = (Note(node, NORMAL, "RegisteredNode", text),)
        wait_s = self._turn(node, now)
        pods = tuple(sorted(self._pods.by_index(BY_NODE, key), key=key_of))
        observed = Observed(node, pods, self._silence(node, now), wait_s <= 0.0, self._all_lost)
        decided = plan(observed, self._config, effects.now())
        if not decided.steps and not notes and is_ready(node):
            self._well[key] = node
        if begins_eviction(decided, node):
            self._begun[key] = zone_of(node)
        again_s = min(decided.requeue_after_s or self._config.node_monitor_period_s, wait_s or math.inf)
        return Plan(decided.steps, (*notes, *decided.notes), again_s)

    def _is_well_for(self, key: str) -> float | None:
        """After how many seconds to look at a node again that is well; None for any other."""
        node = self._nodes.get(key)
        if node is None or self._well.get(key) is not node:
            return None
        silent_s = self._silence(node, effects.monotonic())
        return self._config.node_monitor_period_s if silent_s <= self._config.node_monitor_grace_s else None

    def _turn(self, node: Object, now: float) -> float:
        """For how long the node has to wait until its pods may begin to go, if they are to."""
        name, zone, zones = name_of(node), zone_of(node), self._present_zones()
        rate_per_s = 0.0 if self._all_lost else rate_of(zones.get(zone, Zone()), self._config)
        self._queues.set_rate(zone, rate_per_s, now)
        self._evictions.add(metric_label(zone), amount=0.0)
        if needs_eviction(node):
            self._queues.join(zone, name)
        else:
            self._queues.leave(name)
        return self._queues.wait_s(zone, name, now)

    def _count(self, write: Write, error: APIError | None) -> None:
        if isinstance(write, Patch) and write.resource == NODES and "taints" in write.patch.get("spec", {}):
            zone = self._begun.pop(write.name, None)
            if zone is not None and error is None:
                self._queues.spend(zone, effects.monotonic())
                self._evictions.add(metric_label(zone))

    def _changed(self, node: Object) -> tuple[str, ...]:
        self._zones = None
        return own_key(node)

    def _present_zones(self) -> dict[str, Zone]:
        """Counted anew only after a node has changed: nodes are looked at far more often than that."""
        if self._zones is None:
            self._zones = zones_of(self._nodes.list())
            before, self._all_lost = self._all_lost, all_lost(self._zones)
            if before and not self._all_lost:
                now = effects.monotonic()
                self._health = {name: replace(known, at=now) for name, known in self._health.items()}
        return self._zones

    def _removed(self, key: str) -> Plan:
        self._well.pop(key, None)
        self._begun.pop(key, None)
        self._queues.leave(key)
        known = self._health.pop(key, None)
        if known is None:
            return NOTHING
        about = {"kind": "Node", "apiVersion": "v1", "name": key, "uid": known.uid}
        text = f"Node {key} event: Removing Node {key} from Controller"
        return Plan(notes=(Note(about, NORMAL, "RemovingNode", text),))

    def _silence(self, node: Object, now: float) -> float:
        name = name_of(node)
        lease = self._leases.get(name, LEASE_NAMESPACE)
        known = self._health[name] = next_health(self._health.get(name), node, lease, now)
        return now - known.at


def begins_eviction(decided: Plan, node: Object) -> bool:
    """Whether this makes the node's pods go that were not going before: one bad state for the other does not."""
    if _evicting(node):
        return False
    for step in decided.steps:
        if isinstance(step, Patch) and step.resource == NODES:
            new = dig(step.patch, "spec", "taints", default=())
            return any(one["effect"] == taints.NO_EXECUTE and one["key"] in taints.MANAGED_NO_EXECUTE for one in new)
    return False


def node_of_pod(pod: Object) -> tuple[str, ...]:
    name = dig(pod, "spec", "nodeName")
    return (name,) if name else ()
