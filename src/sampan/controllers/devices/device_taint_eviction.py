"""Device taint eviction: deletes pods that use devices with a NoExecute taint which they do not tolerate.

Observed: pods on nodes, the claims that they name and that are reserved for them, ResourceSlices, DeviceTaintRules.
Desired: no pod uses a device whose taint it does not answer (`device_taints`). A pod whose time has come gets the
condition DisruptionTarget and is deleted; if the taint goes before, the eviction is called off. The status of a rule
says in its condition EvictionInProgress how many pods are still to go and how many have gone, at most every ten
seconds; that of a rule of the effect None says once how many would have to go if it were NoExecute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from sampan import effects
from sampan.api.resources import DEVICE_TAINT_RULES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
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
from sampan.controllers import conditions, times
from sampan.controllers.devices.device_taints import DeviceTaints, Eviction, devices_of, means
from sampan.controllers.devices.resource_claim_pods import used_by
from sampan.controllers.pods import disruption_mark, is_finished
from sampan.controllers.taints import NO_EXECUTE
from sampan.reconcile.controller import Wiring
from sampan.reconcile.measures import Spread, Tally
from sampan.reconcile.plan import NOTHING, Account, Delete, Note, Patch, Plan, Update, Verify

IN_PROGRESS = "EvictionInProgress"
REASON = "DeviceTaintManagerEviction"
STATUS_PERIOD_S = 10.0
"""The shortest time between two statuses of one generation of a rule."""
LATENCY_BOUNDS_S = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 120.0, 180.0, 240.0)


def plan_pod(pod: Object, eviction: Eviction | None, now: datetime, *, waited: bool = False) -> Plan:
    """Delete the pod, wait, or let it be. `waited`: it was to go until now."""
    if eviction is None:
        return Plan(notes=(Note(pod, NORMAL, REASON, "Cancelling deletion"),)) if waited else NOTHING
    if eviction.at > now:
        return Plan(requeue_after_s=times.seconds_until(eviction.at, now))
    name, namespace = name_of(pod), namespace_of(pod)
    mark = disruption_mark(
        pod, "DeletionByDeviceTaintManager", "Device Taint manager: deleting due to NoExecute taint", now
    )
    patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [mark]}}
    marked = (Patch(PODS, name, namespace, patch, subresource="status", missing_ok=True),) if mark else ()
    told = Note(pod, NORMAL, REASON, "Marking for deletion")
    return Plan((
        Verify(PODS, name, namespace, uid_of(pod)),  # who goes already is not evicted
        *marked,
        Delete(PODS, name, namespace, uid=uid_of(pod), deleted=told),
    ))


def plan_rule(rule: Object, pending: Sequence[Object], evicted: int, selected: tuple[int, int], now: datetime) -> Plan:
    """Write what comes of the rule. `pending` are the pods that are to go, or would have to; `selected` the devices
    that it means: published ones, and allocated ones."""
    known = conditions.find(dig(rule, "status", "conditions", default=()), IN_PROGRESS)
    generation = meta(rule).get("generation", 0)
    effect = dig(rule, "spec", "taint", "effect")
    if known is not None and known.get("observedGeneration") == generation:
        if effect == "None":
            return NOTHING  # it was said once, which is enough for what has no effect
        said = times.parse_or_none(known.get("lastTransitionTime")) or now
        if said <= now < (due := said + timedelta(seconds=STATUS_PERIOD_S)):
            return Plan(requeue_after_s=times.seconds_until(due, now))
    reason, message = _told(effect, pending, evicted, selected)
    wanted = {
        "type": IN_PROGRESS, "status": "True" if reason == "PodsPendingEviction" else "False",
        "observedGeneration": generation, "reason": reason, "message": message,
    }
    again = STATUS_PERIOD_S if reason == "PodsPendingEviction" else None
    if known is not None and wanted.items() <= known.items():
        return Plan(requeue_after_s=again)
    others = conditions.without(dig(rule, "status", "conditions", default=()), IN_PROGRESS)
    found = [*others, {**wanted, "lastTransitionTime": times.text(now)}]
    status = {**(rule.get("status") or {}), "conditions": found}
    return Plan((Update(DEVICE_TAINT_RULES, {**rule, "status": status}, subresource="status"),), requeue_after_s=again)


def _told(effect: str, pending: Sequence[Object], evicted: int, selected: tuple[int, int]) -> tuple[str, str]:
    """The condition's reason and message."""
    spaces = len({namespace_of(pod) for pod in pending})
    where = "1 namespace" if spaces == 1 else f"{spaces} different namespaces"
    parts: list[str] = []
    if effect == NO_EXECUTE:
        reason = "PodsPendingEviction" if pending else "Completed" if evicted else "NotStarted"
        if pending:
            verb = "1 pod needs" if len(pending) == 1 else f"{len(pending)} pods need"
            parts.append(f"{verb} to be evicted in {where}.")
    elif effect == "None":
        reason = "NoEffect"
        devices = [f"{n} {kind} device{'' if n == 1 else 's'} selected." for n, kind in
                   zip(selected, ("published", "allocated"), strict=True)]
        pods = "1 pod" if len(pending) == 1 else f"{len(pending)} pods"
        parts += [
            *devices, f"{pods} would be evicted in {where} if the effect was NoExecute.",
            "This information will not be updated again. Recreate the DeviceTaintRule to trigger an update.",
        ]
    else:
        reason = "OtherEffect"
        parts.append("Eviction only happens for the NoExecute effect.")
    if evicted:
        parts.append(f"{'1 pod' if evicted == 1 else f'{evicted} pods'} evicted since starting the controller.")
    return reason, " ".join(parts)


class DeviceTaintEviction:
    """Keys are pods (`namespace/name`) and rules (`name`)."""

    def __init__(self, wiring: Wiring) -> None:
        self._queue = wiring.queue
        self._waiting: dict[str, str] = {}
        self._evicted: dict[str, set[str]] = {}
        self._taints: DeviceTaints | None = None
        self._pods = wiring.watch(PODS, lambda pod: [key_of(pod)] if _has_devices(pod) else [])
        self._claims = wiring.watch(RESOURCE_CLAIMS, _users)
        self._slices = wiring.watch(RESOURCE_SLICES, lambda one: self._all_pods(), _tainted)
        self._rules = wiring.watch(
            DEVICE_TAINT_RULES, lambda rule: [name_of(rule), *self._all_pods()], lambda rule: rule.get("spec")
        )
        self._deletions = Tally(
            "device_taint_eviction_controller_pod_deletions_total",
            "Total number of Pods deleted by DeviceTaintEvictionController since its start.",
        )
        self._latency = Spread(
            "device_taint_eviction_controller_pod_deletion_duration_seconds",
            "Latency, in seconds, between the time when a device taint effect has been activated and a Pod's deletion "
            "via DeviceTaintEvictionController.",
            LATENCY_BOUNDS_S,
        )
        wiring.measure(self._deletions, self._latency)

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        return self._of_pod(key) if namespace else self._of_rule(name)

    def _of_pod(self, key: str) -> Plan:
        pod, before = self._pods.get_by_key(key), self._waiting.pop(key, "")
        if pod is None or not _may_go(pod):
            return NOTHING
        now = effects.now()
        eviction = self._current().eviction(self._claims_of(pod), now)
        decided = plan_pod(pod, eviction, now, waited=before == uid_of(pod))
        if eviction is None:
            return decided
        self._waiting[key] = uid_of(pod)
        self._look_again(eviction)
        return replace(decided, tell=partial(self._tell, pod, eviction)) if decided.steps else decided

    def _tell(self, pod: Object, eviction: Eviction, account: Account) -> None:
        """Count the pod if it is gone by this loop's doing."""
        if not any(isinstance(write, Delete) for write in account.done):
            return
        self._deletions.add()
        self._latency.observe(max((effects.now() - eviction.at).total_seconds(), 0.0))
        for rule in eviction.rules:
            self._evicted.setdefault(rule, set()).add(uid_of(pod))
        self._look_again(eviction)

    def _look_again(self, eviction: Eviction) -> None:
        """The rules that the eviction follows from have something to say soon."""
        for rule in self._rules.list():
            if uid_of(rule) in eviction.rules:
                self._queue.add_after(name_of(rule), STATUS_PERIOD_S)

    def _of_rule(self, name: str) -> Plan:
        rule = self._rules.get(name)
        if rule is None:
            known = set(map(uid_of, self._rules.list()))
            self._evicted = {uid: pods for uid, pods in self._evicted.items() if uid in known}
            return NOTHING
        now, supposed = effects.now(), rule
        if dig(rule, "spec", "taint", "effect") == "None":
            taint = {**rule["spec"]["taint"], "effect": NO_EXECUTE}
            supposed = {**rule, "spec": {**rule["spec"], "taint": taint}}
        taints = DeviceTaints((), [supposed])
        gone = self._evicted.get(uid_of(rule), set())
        pending = [
            pod for pod in self._pods.list()
            if _has_devices(pod) and _may_go(pod) and uid_of(pod) not in gone
            and taints.eviction(self._claims_of(pod), now) is not None
        ]
        return plan_rule(rule, pending, len(gone), self._selected(rule), now)

    def _selected(self, rule: Object) -> tuple[int, int]:
        used = (id for claim in self._claims.list() for id, _ in devices_of(claim))
        return sum(means(rule, id) for id in self._current().devices), sum(means(rule, id) for id in used)

    def _current(self) -> DeviceTaints:
        if self._taints is None:
            self._taints = DeviceTaints(self._slices.list(), sorted(self._rules.list(), key=name_of))
        return self._taints

    def _claims_of(self, pod: Object) -> list[Object]:
        return used_by(pod, lambda name: self._claims.get(name, namespace_of(pod)))

    def _all_pods(self) -> list[str]:
        """What is known of taints has changed: everybody who uses devices is concerned."""
        self._taints = None
        return sorted({key for claim in self._claims.list() for key in _users(claim)})


def _users(claim: Object) -> list[str]:
    reserved: Sequence[Mapping[str, str]] = dig(claim, "status", "reservedFor", default=())
    return [f"{namespace_of(claim)}/{one.get('name')}" for one in reserved if one.get("resource") == "pods"]


def _tainted(one: Object) -> object:
    """What of a slice decides on taints."""
    spec = one["spec"]
    devices = [(device["name"], device.get("taints")) for device in spec.get("devices") or ()]
    return spec["driver"], spec["pool"], devices


def _has_devices(pod: Object) -> bool:
    """Whether the pod may have claims: it names them, or they were made for its extended resources."""
    return bool(dig(pod, "spec", "resourceClaims") or dig(pod, "status", "extendedResourceClaimStatus"))


def _may_go(pod: Object) -> bool:
    """Only who is on a node uses devices; who is about to leave it, or has ended, is not driven out."""
    return bool(dig(pod, "spec", "nodeName")) and not is_being_deleted(pod) and not is_finished(pod)
