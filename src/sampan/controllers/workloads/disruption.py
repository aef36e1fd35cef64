"""PodDisruptionBudget: how many of its pods may be evicted right now.

Observed: the budget, the pods that it selects, and how many there should be (asked of their controllers: the scale of
the ReplicaSet's Deployment, the StatefulSet, or anything else with a scale subresource). Desired: a status that says
how many are healthy, how many must be, and the difference: `disruptionsAllowed`, which the eviction API spends.

Done about the difference: the status is written, nothing else. A pod that an eviction has been granted for
(`disruptedPods`) no longer counts as healthy, until it is gone, or until two minutes have passed without anyone
deleting it; a pod that was told of a disruption which did not come within that time is told so. When the number cannot
be known, nothing is allowed, and the condition says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
from sampan.apimachinery.resource import Resource
from sampan.client.discovery import discover
from sampan.client.events import NORMAL, WARNING
from sampan.controllers import conditions, times
from sampan.controllers.pods import DISRUPTION_TARGET, condition, is_finished, is_ready
from sampan.controllers.workloads.deployment_scaling import resolve
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Note, Patch, Plan, Step, Update

DELETION_TIMEOUT = timedelta(minutes=2)
ALLOWED = "DisruptionAllowed"
BY_KUBELET = "TerminationByKubelet"


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
    if expected.error:
        return _failed(budget, expected.error, notes, now)
    if expected.unmanaged:
        text = (
            f"Pods selected by this PodDisruptionBudget (selector: {dig(budget, 'spec', 'selector')}) were found to be "
            "unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in "
            "undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an "
            "integer value."
        )
        notes.append(Note(budget, WARNING, "UnmanagedPods", text))
    disrupted, again = _disrupted(budget, pods, now, notes)
    return Plan(_written(budget, _status(budget, pods, expected.count, disrupted, now)), tuple(notes), again)


def _failed(budget: Object, error: str, notes: list[Note], now: datetime) -> Plan:
    """Nothing is known: allow nothing, and leave the numbers as they were."""
    text = f"Failed to calculate the number of expected pods: {error}"
    status = {**(budget.get("status") or {}), "disruptionsAllowed": 0}
    status = _with_condition(status, "SyncFailed", error, now)
    return Plan(_written(budget, status), (*notes, Note(budget, WARNING, "CalculateExpectedPodCountFailed", text)))


def _written(budget: Object, status: Object) -> tuple[Step, ...]:
    if status == (budget.get("status") or {}):
        return ()
    return (Update(POD_DISRUPTION_BUDGETS, {**budget, "status": status}, subresource="status"),)


def needs_scale(budget: Object) -> bool:
    """Whether the number of pods that there should be matters: not where a fixed number must stay."""
    spec = budget["spec"]
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def _status(budget: Object, pods: Sequence[Object], scale: int, disrupted: Object, now: datetime) -> Object:
    spec = budget["spec"]
    if (bound := spec.get("maxUnavailable")) is not None:
        expected, desired = scale, max(scale - resolve(bound, scale, up=True), 0)
    elif (bound := spec.get("minAvailable")) is None:
        expected = desired = 0
    elif isinstance(bound, str):
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
    return _with_condition(status, "SufficientPods" if allowed else "InsufficientPods", "", now)


def _with_condition(status: Object, reason: str, message: str, now: datetime) -> Object:
    known = conditions.find(status.get("conditions") or (), ALLOWED)
    truth = "True" if reason == "SufficientPods" else "False"
    same = known is not None and known.get("status") == truth
    document = {
        "type": ALLOWED, "status": truth, "observedGeneration": status.get("observedGeneration", 0),
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
        if _distance(moment, now) > DELETION_TIMEOUT:
            text = f"Pod was expected by PDB {key_of(budget)} to be deleted but it wasn't"
            notes.append(Note(pod, WARNING, "NotDeleted", text))
        else:
            kept[name_of(pod)] = granted[name_of(pod)]
    ends = [times.parse(text) + DELETION_TIMEOUT for text in kept.values()]
    return kept, times.seconds_until(min(ends), now) + 1.0 if ends else None


def stale_target(pod: Object, now: datetime) -> tuple[Patch | None, float | None]:
    """Takes back the condition of an eviction that never came; or when to look again."""
    found = condition(pod, DISRUPTION_TARGET)
    if found is None or found.get("status") != "True" or is_being_deleted(pod) or is_finished(pod):
        return None, None
    if found.get("reason") == BY_KUBELET:
        return None, None  # which may take its time
    since = times.parse_or_none(found.get("lastTransitionTime"))
    if since is not None and _distance(since, now) < DELETION_TIMEOUT:
        return None, times.seconds_until(since + DELETION_TIMEOUT, now)
    document: Object = {
        "type": DISRUPTION_TARGET, "status": "False", "observedGeneration": meta(pod).get("generation", 0),
        "lastTransitionTime": times.text(now), "reason": None, "message": None,
    }
    patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [document]}}
    return Patch(PODS, name_of(pod), namespace_of(pod), patch, subresource="status", missing_ok=True), None


def _distance(moment: datetime, now: datetime) -> timedelta:
    """How long ago it was; or how far ahead it is: then the clock has been set back since, and nothing will come."""
    return abs(now - moment)


class _Unknown(Exception):
    """How many pods there should be cannot be known; its words are for the budget's condition."""


class DisruptionReconciler:
    """Keys are budgets, and `pod:` with a pod's key for pods that a disruption was announced to."""

    def __init__(self, wiring: Wiring) -> None:
        self._client = wiring.client
        self._budgets = wiring.watch(POD_DISRUPTION_BUDGETS)
        self._pods = wiring.watch(PODS, self._concerned)
        self._listers = {
            (resource.group, resource.kind): wiring.watch(resource, self._in_namespace)
            for resource in (DEPLOYMENTS, REPLICA_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS)
        }
        self._kinds: dict[tuple[str, str], Resource] = {}
        self._told: dict[str, set[str]] = {}
        """For each budget, the uids of pods of which it was said that others select them as well."""

    async def reconcile(self, key: str) -> Plan:
        if key.startswith("pod:"):
            pod = self._pods.get_by_key(key.removeprefix("pod:"))
            patch, again = stale_target(pod, effects.now()) if pod is not None else (None, None)
            return Plan((patch,) if patch else (), requeue_after_s=again)
        namespace, name = split_key(key)
        budget = self._budgets.get(name, namespace)
        if budget is None or is_being_deleted(budget):
            self._told.pop(key, None)
            return NOTHING
        selector = selectors.from_document(dig(budget, "spec", "selector"))
        pods = sorted((pod for pod in self._pods.list(namespace) if selector.matches(labels_of(pod))), key=key_of)
        expected = await self._expected(namespace, pods) if needs_scale(budget) else Expected()
        decided = plan(budget, pods, expected, effects.now())
        return replace(decided, notes=(*decided.notes, *self._overlaps(budget, pods)))

    async def _expected(self, namespace: str, pods: Iterable[Object]) -> Expected:
        scales: dict[str, int] = {}
        known: set[str] = set()
        unmanaged: list[str] = []
        for pod in pods:
            owner = controller_of(pod)
            if owner is None:
                unmanaged.append(name_of(pod))
            elif owner["uid"] not in known:
                known.add(owner["uid"])
                try:
                    found = await self._scale(namespace, owner)
                except _Unknown as problem:
                    return Expected(error=str(problem))
                if found is None:
                    return Expected(error=f'found no controllers for pod "{name_of(pod)}"')
                uid, size = found
                scales[uid] = size  # a Deployment counts once for all its ReplicaSets
        return Expected(sum(scales.values()), tuple(unmanaged))

    async def _scale(self, namespace: str, owner: Object) -> tuple[str, int] | None:
        """The uid and wanted size of what scales the pods of `owner`; None if nothing does. Raises _Unknown."""
        found = self._known(namespace, owner)
        if found is None:
            return await self._foreign_scale(namespace, owner)
        higher = controller_of(found) if owner["kind"] == REPLICA_SETS.kind else None
        if higher is not None and higher["kind"] == DEPLOYMENTS.kind:
            found = self._known(namespace, higher) or found
        return _size(found)

    def _known(self, namespace: str, owner: Object) -> Object | None:
        """The workload of a built-in kind that `owner` refers to."""
        lister = self._listers.get((owner["apiVersion"].rpartition("/")[0], owner["kind"]))
        found = lister.get(owner["name"], namespace) if lister is not None else None
        return found if found is not None and uid_of(found) == owner["uid"] else None

    async def _foreign_scale(self, namespace: str, owner: Object) -> tuple[str, int] | None:
        """What the scale subresource on the server says: of any other kind, and of what the copies do not have yet."""
        kind = owner["apiVersion"], owner["kind"]
        resource = self._kinds.get(kind) or (await discover(self._client)).of_kind(*kind)
        if resource is None:
            raise _Unknown(f'no matches for kind "{owner["kind"]}" in version "{owner["apiVersion"]}"')
        self._kinds[kind] = resource
        try:
            scale = await self._client.get(resource, owner["name"], namespace, subresource="scale")
        except errors.NotFound as problem:
            if (problem.details or {}).get("name"):
                return None
            raise _Unknown(f"{resource.qualified} does not implement the scale subresource") from problem
        except errors.APIError as problem:
            raise _Unknown(str(problem)) from problem
        return _size(scale) if uid_of(scale) == owner["uid"] else None

    def _overlaps(self, budget: Object, pods: Iterable[Object]) -> tuple[Note, ...]:
        """Tells of pods, once, that more than one budget selects; the first of the budgets does."""
        notes: list[Note] = []
        shared: set[str] = set()
        budgets = sorted(self._budgets.list(namespace_of(budget)), key=key_of)
        selected = [(name_of(one), selectors.from_document(dig(one, "spec", "selector"))) for one in budgets]
        for pod in pods if len(budgets) > 1 else ():
            names = [name for name, selector in selected if selector.matches(labels_of(pod))]
            if len(names) < 2 or names[0] != name_of(budget):
                continue
            shared.add(uid_of(pod))
            text = (
                f'Pod "{namespace_of(pod)}"/"{name_of(pod)}" matches multiple PodDisruptionBudgets.  '
                f'Chose "{names[0]}" arbitrarily.'
            )
            if uid_of(pod) not in self._told.get(key_of(budget), ()):
                notes.append(Note(pod, WARNING, "MultiplePodDisruptionBudgets", text))
        self._told[key_of(budget)] = shared
        return tuple(notes)

    def _concerned(self, pod: Object) -> list[str]:
        keys = [
            key_of(one) for one in self._budgets.list(namespace_of(pod))
            if selectors.from_document(dig(one, "spec", "selector")).matches(labels_of(pod))
        ]
        return [*keys, f"pod:{key_of(pod)}"] if condition(pod, DISRUPTION_TARGET) else keys

    def _in_namespace(self, obj: Object) -> list[str]:
        return sorted(key_of(one) for one in self._budgets.list(namespace_of(obj)))


def _size(obj: Object) -> tuple[str, int]:
    return uid_of(obj), int(dig(obj, "spec", "replicas", default=1))
