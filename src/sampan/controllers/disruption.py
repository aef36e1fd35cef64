"""PodDisruptionBudget: how many of its pods may be evicted right now.

Observed: the budget, the pods that it selects, and how many there should be (asked of their controllers: the scale of
the ReplicaSet's Deployment, the StatefulSet, or anything else with a scale subresource). Desired: a status that says
how many are healthy, how many must be, and the difference: `disruptionsAllowed`, which the eviction API spends.

A pod that an eviction has been granted for (`disruptedPods`) no longer counts as healthy, until it is gone, or until
two minutes have passed without anyone deleting it. When the number cannot be known, nothing is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sampan import effects
from sampan.api.resources import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from sampan.apimachinery import errors, selectors
from sampan.apimachinery.object import (
    Object,
    controller_of,
    dig,
    is_being_deleted,
    key_of,
    labels_of,
    meta,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from sampan.client.discovery import discover
from sampan.client.events import NORMAL, WARNING
from sampan.controllers import conditions, times
from sampan.controllers.deployment_scaling import resolve
from sampan.controllers.pods import condition, is_finished, is_ready
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Note, Patch, Plan, Step, Update

DELETION_TIMEOUT = timedelta(minutes=2)
ALLOWED = "DisruptionAllowed"
TARGET = "DisruptionTarget"


@dataclass(frozen=True, slots=True)
class Expected:
    """How many pods their controllers want in all; which pods have none; why it cannot be known."""

    count: int = 0
    unmanaged: tuple[str, ...] = ()
    error: str = ""


def plan(budget: Object, pods: Sequence[Object], expected: Expected, now: datetime) -> Plan:
    """Bring the status of the budget up to date. `pods` are those that it selects."""
    notes: list[Note] = []
    if not pods:
        notes.append(Note(budget, NORMAL, "NoPods", "No matching pods found"))
    if expected.unmanaged:
        text = (
            f"Pods selected by this PodDisruptionBudget (selector: {dig(budget, 'spec', 'selector')}) were found to be "
            "unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in "
            "undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an "
            "integer value."
        )
        notes.append(Note(budget, WARNING, "UnmanagedPods", text))
    disrupted, again = _disrupted(budget, pods, now, notes)
    if expected.error:
        text = f"Failed to calculate the number of expected pods: {expected.error}"
        notes.append(Note(budget, WARNING, "CalculateExpectedPodCountFailed", text))
        status = {**(budget.get("status") or {}), "disruptionsAllowed": 0}
        status = _with_condition(budget, status, "SyncFailed", expected.error, now)
    else:
        status = _status(budget, pods, expected.count, disrupted, now)
    steps: list[Step] = []
    if status != (budget.get("status") or {}):
        steps.append(Update(POD_DISRUPTION_BUDGETS, {**budget, "status": status}, subresource="status"))
    return Plan(tuple(steps), tuple(notes), again)


def needs_scale(budget: Object) -> bool:
    """Whether the number of pods that there should be matters: not where a fixed number must stay."""
    spec = budget["spec"]
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def _status(budget: Object, pods: Sequence[Object], scale: int, disrupted: Object, now: datetime) -> Object:
    spec = budget["spec"]
    if (bound := spec.get("maxUnavailable")) is not None:
        expected, desired = scale, max(scale - resolve(bound, scale, up=True), 0)
    elif isinstance(bound := spec.get("minAvailable", 1), str):
        expected, desired = scale, resolve(bound, scale, up=True)
    else:
        expected, desired = len(pods), int(bound)
    healthy = sum(
        is_ready(pod) and not is_being_deleted(pod) and name_of(pod) not in disrupted for pod in pods
    )
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    status: Object = {
        "observedGeneration": meta(budget).get("generation", 0), "disruptionsAllowed": allowed,
        "currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": expected,
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    if found := dig(budget, "status", "conditions"):
        status["conditions"] = found
    return _with_condition(budget, status, "SufficientPods" if allowed else "InsufficientPods", "", now)


def _with_condition(budget: Object, status: Object, reason: str, message: str, now: datetime) -> Object:
    known = conditions.find(status.get("conditions") or (), ALLOWED)
    truth = "True" if reason == "SufficientPods" else "False"
    same = known is not None and known.get("status") == truth
    document = {
        "type": ALLOWED, "status": truth, "observedGeneration": meta(budget).get("generation", 0),
        "lastTransitionTime": known["lastTransitionTime"] if known and same else times.text(now),
        "reason": reason, "message": message,
    }
    others = conditions.without(status.get("conditions") or (), ALLOWED)
    return {**status, "conditions": [*others, document]}


def _disrupted(
    budget: Object, pods: Sequence[Object], now: datetime, notes: list[Note]
) -> tuple[Object, float | None]:
    """The granted evictions whose pods are still there, and when the first of them is given up."""
    kept: Object = {}
    granted: Object = dig(budget, "status", "disruptedPods", default={})
    for pod in pods:
        moment = times.parse_or_none(granted.get(name_of(pod)))
        if moment is None or is_being_deleted(pod):
            continue
        if moment + DELETION_TIMEOUT < now:
            text = f"Pod was expected by PDB {key_of(budget)} to be deleted but it wasn't"
            notes.append(Note(pod, WARNING, "NotDeleted", text))
        else:
            kept[name_of(pod)] = granted[name_of(pod)]
    ends = [times.parse(text) + DELETION_TIMEOUT for text in kept.values()]
    return kept, times.seconds_until(min(ends), now) + 1.0 if ends else None


def stale_target(pod: Object, now: datetime) -> tuple[Patch | None, float | None]:
    """Takes back the condition of an eviction that never came; or when to look again."""
    found = condition(pod, TARGET)
    if found is None or found.get("status") != "True" or is_being_deleted(pod) or is_finished(pod):
        return None, None
    since = times.parse_or_none(found.get("lastTransitionTime"))
    if since is not None and since + DELETION_TIMEOUT > now:
        return None, times.seconds_until(since + DELETION_TIMEOUT, now)
    document = {"type": TARGET, "status": "False", "lastTransitionTime": times.text(now)}
    patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [document]}}
    return Patch(PODS, name_of(pod), namespace_of(pod), patch, subresource="status", missing_ok=True), None


class DisruptionReconciler:
    """Keys are budgets, and `pod:` with a pod's key for pods that a disruption was announced to."""

    def __init__(self, wiring: Wiring) -> None:
        self._client = wiring.client
        self._budgets = wiring.watch(POD_DISRUPTION_BUDGETS)
        self._pods = wiring.watch(PODS, self._concerned)
        self._listers = {
            resource.kind: wiring.watch(resource, self._in_namespace)
            for resource in (DEPLOYMENTS, REPLICA_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS)
        }

    async def reconcile(self, key: str) -> Plan:
        if key.startswith("pod:"):
            pod = self._pods.get_by_key(key.removeprefix("pod:"))
            patch, again = stale_target(pod, effects.now()) if pod is not None else (None, None)
            return Plan((patch,) if patch else (), requeue_after_s=again)
        namespace, name = split_key(key)
        budget = self._budgets.get(name, namespace)
        if budget is None or is_being_deleted(budget):
            return NOTHING
        selector = selectors.from_document(dig(budget, "spec", "selector"))
        pods = sorted((pod for pod in self._pods.list(namespace) if selector.matches(labels_of(pod))), key=key_of)
        expected = await self._expected(namespace, pods) if needs_scale(budget) else Expected()
        return plan(budget, pods, expected, effects.now())

    async def _expected(self, namespace: str, pods: Iterable[Object]) -> Expected:
        scales: dict[str, int] = {}
        unmanaged: list[str] = []
        for pod in pods:
            owner = controller_of(pod)
            if owner is None:
                unmanaged.append(name_of(pod))
            elif owner["uid"] not in scales:
                found = await self._scale(namespace, owner)
                if found is None:
                    return Expected(error=f'found no controllers for pod "{name_of(pod)}"')
                uid, scales[owner["uid"]] = found
                if uid != owner["uid"]:
                    scales[owner["uid"]] = 0  # a Deployment counts once for all its ReplicaSets
                    scales[uid] = found[1]
        return Expected(sum(scales.values()), tuple(unmanaged))

    async def _scale(self, namespace: str, owner: Object) -> tuple[str, int] | None:
        """The uid and wanted size of what scales the pods of `owner`; None if nothing does."""
        lister = self._listers.get(owner["kind"])
        if lister is None:
            return await self._foreign_scale(namespace, owner)
        found = lister.get(owner["name"], namespace)
        if found is None or uid_of(found) != owner["uid"]:
            return None
        higher = controller_of(found)
        if higher is not None and higher["kind"] == "Deployment":
            above = self._listers["Deployment"].get(higher["name"], namespace)
            found = above if above is not None and uid_of(above) == higher["uid"] else found
        elif higher is not None:
            return await self._foreign_scale(namespace, higher) or _size(found)
        return _size(found)

    async def _foreign_scale(self, namespace: str, owner: Object) -> tuple[str, int] | None:
        resource = (await discover(self._client)).of_kind(owner["apiVersion"], owner["kind"])
        if resource is None:
            return None
        try:
            scale = await self._client.get(resource, owner["name"], namespace, subresource="scale")
        except errors.NotFound:
            return None
        return _size(scale) if uid_of(scale) == owner["uid"] else None

    def _concerned(self, pod: Object) -> list[str]:
        keys = [
            key_of(one) for one in self._budgets.list(namespace_of(pod))
            if selectors.from_document(dig(one, "spec", "selector")).matches(labels_of(pod))
        ]
        return [*keys, f"pod:{key_of(pod)}"] if condition(pod, TARGET) else keys

    def _in_namespace(self, obj: Object) -> list[str]:
        return sorted(key_of(one) for one in self._budgets.list(namespace_of(obj)))


def _size(obj: Object) -> tuple[str, int]:
    return uid_of(obj), int(dig(obj, "spec", "replicas", default=1))
