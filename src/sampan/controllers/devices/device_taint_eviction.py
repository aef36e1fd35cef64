"""Device taint eviction: deletes pods that use devices with a NoExecute taint which they do not tolerate.

Observed: pods, the claims that are reserved for them, ResourceSlices, DeviceTaintRules. Desired: no pod uses a device
whose taint it does not answer (`device_taints`). A pod whose time has come gets the condition DisruptionTarget and is
deleted; if the taint goes before, the eviction is called off. The status of a rule says in its condition
EvictionInProgress how many pods are still to go and how many have gone; that of a rule of the effect None says once how
many would have to go if it were NoExecute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sampan import effects
from sampan.api.resources import DEVICE_TAINT_RULES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
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
from sampan.controllers import conditions, times
from sampan.controllers.devices.device_taints import DeviceTaints, Eviction, devices_of, means
from sampan.controllers.pods import is_finished
from sampan.controllers.taints import NO_EXECUTE
from sampan.reconcile.controller import Wiring
from sampan.reconcile.measures import Tally
from sampan.reconcile.plan import NOTHING, Delete, Note, Patch, Plan, Update, Write

IN_PROGRESS = "EvictionInProgress"
REASON = "DeviceTaintManagerEviction"
BY_POD = "pod"
STATUS_PERIOD_S = 10.0


def plan_pod(pod: Object, eviction: Eviction | None, now: datetime, *, waited: bool = False) -> Plan:
    """Delete the pod, wait, or let it be. `waited`: it was to go until now."""
    if eviction is None:
        return Plan(notes=(Note(pod, NORMAL, REASON, "Cancelling deletion"),)) if waited else NOTHING
    if eviction.at > now:
        return Plan(requeue_after_s=times.seconds_until(eviction.at, now))
    condition = {
        "type": "DisruptionTarget", "status": "True", "lastTransitionTime": times.text(now),
        "reason": "DeletionByDeviceTaintManager", "message": "Device Taint manager: deleting due to NoExecute taint",
    }
    name, namespace = name_of(pod), namespace_of(pod)
    patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [condition]}}
    return Plan(
        (Patch(PODS, name, namespace, patch, subresource="status", missing_ok=True),
         Delete(PODS, name, namespace, uid=uid_of(pod))),
        (Note(pod, NORMAL, REASON, "Marking for deletion"),),
    )


def plan_rule(rule: Object, pending: Sequence[Object], evicted: int, selected: tuple[int, int], now: datetime) -> Plan:
    """Write what comes of the rule. `pending` are the pods that are to go, or would have to; `selected` the devices
    that it means: published ones, and allocated ones."""
    known = conditions.find(dig(rule, "status", "conditions", default=()), IN_PROGRESS)
    generation = meta(rule).get("generation", 0)
    effect = dig(rule, "spec", "taint", "effect")
    if effect == "None" and known is not None and known.get("observedGeneration") == generation:
        return NOTHING  # it was said once, which is enough for what has no effect
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
        self._waiting: set[str] = set()
        self._evicted: dict[str, set[str]] = {}
        self._taints: DeviceTaints | None = None
        self._pods = wiring.watch(PODS, lambda pod: [key_of(pod)] if _has_devices(pod) else [])
        self._claims = wiring.watch(RESOURCE_CLAIMS, _users)
        self._claims.add_index(BY_POD, _users)
        self._slices = wiring.watch(RESOURCE_SLICES, lambda one: self._all_pods(), _tainted)
        self._rules = wiring.watch(
            DEVICE_TAINT_RULES, lambda rule: [name_of(rule), *self._all_pods()], lambda rule: rule.get("spec")
        )
        self._deletions = Tally(
            "device_taint_eviction_controller_pod_deletions_total",
            "Total number of Pods deleted by DeviceTaintEvictionController since its start.",
        )
        wiring.measure(self._deletions)
        wiring.observe(self._count)

    def _count(self, write: Write, error: APIError | None) -> None:
        if isinstance(write, Delete) and error is None:
            self._deletions.add()

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        return self._of_pod(key) if namespace else self._of_rule(name)

    def _of_pod(self, key: str) -> Plan:
        pod, waited = self._pods.get_by_key(key), key in self._waiting
        self._waiting.discard(key)
        if pod is None or is_being_deleted(pod) or is_finished(pod):
            return NOTHING
        now = effects.now()
        eviction = self._current().eviction(self._claims_of(pod), now)
        decided = plan_pod(pod, eviction, now, waited=waited)
        if eviction is not None:
            self._note(pod, eviction, goes=bool(decided.steps))
            if not decided.steps:
                self._waiting.add(key)
        return decided

    def _note(self, pod: Object, eviction: Eviction, *, goes: bool) -> None:
        """The rules that the eviction follows from have something to say soon."""
        for rule in self._rules.list():
            if uid_of(rule) in eviction.rules:
                self._queue.add_after(name_of(rule), STATUS_PERIOD_S)
                if goes:
                    self._evicted.setdefault(uid_of(rule), set()).add(uid_of(pod))

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
        pending = [
            pod for pod in self._pods.list()
            if _has_devices(pod) and not is_being_deleted(pod) and not is_finished(pod)
            and taints.eviction(self._claims_of(pod), now) is not None
        ]
        evicted = len(self._evicted.get(uid_of(rule), ()))
        return plan_rule(rule, pending, evicted, self._selected(rule), now)

    def _selected(self, rule: Object) -> tuple[int, int]:
        used = (id for claim in self._claims.list() for id, _ in devices_of(claim))
        return sum(means(rule, id) for id in self._current().devices), sum(means(rule, id) for id in used)

    def _current(self) -> DeviceTaints:
        if self._taints is None:
            self._taints = DeviceTaints(self._slices.list(), sorted(self._rules.list(), key=name_of))
        return self._taints

    def _claims_of(self, pod: Object) -> list[Object]:
        """The claims that are reserved for the pod."""
        return [
            claim for claim in sorted(self._claims.by_index(BY_POD, key_of(pod)), key=key_of)
            if any(one.get("uid") == uid_of(pod) for one in dig(claim, "status", "reservedFor", default=()))
        ]

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
