"""HorizontalPodAutoscaler: sets the number of replicas so that metrics come near their targets.

Observed, every 15 seconds for each autoscaler: the scale of its target, the target's pods, and its metrics. Desired: as
many replicas as the metric that wants most of them asks for (`hpa_replicas`), within minReplicas and maxReplicas, the
stabilisation windows and the policies (`hpa_behavior`). If that differs, the scale is written. A metric that cannot be
read never makes the target smaller: with any such, only what the others want more than now is done.

Conditions say what holds: AbleToScale (the scale can be read and written), ScalingActive (the metrics say something),
ScalingLimited (a bound or a rate held it back).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sampan import effects
from sampan.api.resources import (
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from sampan.apimachinery import errors, selectors
from sampan.apimachinery.object import (
    Object,
    dig,
    is_being_deleted,
    key_of,
    labels_of,
    meta,
    name_of,
    namespace_of,
    split_key,
)
from sampan.apimachinery.resource import Resource
from sampan.client.discovery import discover
from sampan.client.events import NORMAL, WARNING
from sampan.controllers import conditions, times
from sampan.controllers.autoscaling.hpa_behavior import Memory, limit, tolerance_of
from sampan.controllers.autoscaling.hpa_metrics import Metrics
from sampan.controllers.autoscaling.hpa_readings import Reading, Target, read
from sampan.controllers.autoscaling.hpa_settings import DEFAULTS, AutoscalingSettings
from sampan.controllers.conditions import Condition
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Note, Plan, Step, Update

CONFLICTS = 5
"""How often a scale is written again because somebody else wrote its target."""
_KNOWN = {one.kind: one for one in (DEPLOYMENTS, REPLICA_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS)}


@dataclass(slots=True)
class Decision:
    """What is to be written: the number of replicas, why, and what to tell."""

    replicas: int
    reason: str = ""
    conditions: list[Condition] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    readings: Sequence[Reading] = ()
    failed: bool = False
    """Nothing could be decided or done: what was desired before still is."""


def decide(hpa: Object, current: int, readings: Sequence[Reading], memory: Memory, now: datetime) -> Decision:
    """How many replicas there should be. `readings` are what each metric of the spec said; `now` is of a clock that
    does not jump, for windows and periods are counted with it."""
    most, least = int(hpa["spec"]["maxReplicas"]), int(dig(hpa, "spec", "minReplicas", default=1))
    decision = Decision(current, readings=readings)
    if current == 0 and least != 0:
        text = "scaling is disabled since the replica count of the target is zero"
        decision.conditions.append(Condition("ScalingActive", False, "ScalingDisabled", text))
        return decision
    if current > most:
        decision.replicas, decision.reason = most, "Current number of replicas above Spec.MaxReplicas"
        return decision
    if current < least:
        decision.replicas, decision.reason = least, "Current number of replicas below Spec.MinReplicas"
        return decision
    good = [one for one in readings if one.proposal is not None]
    bad = [one for one in readings if one.proposal is None]
    decision.notes += [Note(hpa, WARNING, one.reason, one.error) for one in bad]
    best = max(good, key=lambda one: one.replicas, default=None)
    if best is None or (bad and best.replicas < current):
        first = bad[0]
        text = f"the HPA was unable to compute the replica count: {first.error}"
        decision.conditions.append(Condition("ScalingActive", False, first.reason, text))
        why = f"{first.failure}: {first.error}" if first.failure else first.error
        text = f"invalid metrics ({len(bad)} invalid out of {len(readings)}), first error is: {why}"
        decision.notes.append(Note(hpa, WARNING, "FailedComputeMetricsReplicas", text))
        decision.failed = True
        return decision
    text = f"the HPA was able to successfully calculate a replica count from {best.name}"
    decision.conditions.append(Condition("ScalingActive", True, "ValidMetricFound", text))
    limited = limit(hpa, current, best.replicas, memory, now)
    decision.conditions += limited.conditions
    decision.replicas = limited.replicas
    if limited.replicas != current:
        up = best.replicas > current
        decision.reason = f"{best.name} above target" if up else "All metrics below target"
    return decision


def status_of(hpa: Object, decision: Decision, current: int, now: datetime) -> Object:
    """The status to write."""
    known = hpa.get("status") or {}
    found: list[Object] = list(known.get("conditions") or ())
    for one in decision.conditions:
        old = conditions.find(found, one.type)
        if old is not None and old.get("reason") == one.reason and old.get("message") != one.message:
            found = [{**old, "message": one.message} if item is old else item for item in found]
        found = conditions.with_condition(found, one, now)
    order = {"AbleToScale": 0, "ScalingActive": 1, "ScalingLimited": 2}
    status: Object = {
        "observedGeneration": meta(hpa).get("generation", 0), "currentReplicas": current,
        "desiredReplicas": int(known.get("desiredReplicas") or 0) if decision.failed else decision.replicas,
        "conditions": sorted(found, key=lambda one: order.get(one["type"], len(order))),
    }
    if shown := [one.shown for one in decision.readings if one.shown is not None]:
        status["currentMetrics"] = shown
    if decision.replicas != current and not decision.failed:
        status["lastScaleTime"] = times.text(now)
    elif last := known.get("lastScaleTime"):
        status["lastScaleTime"] = last
    return status


def _asked(hpa: Object) -> object:
    """What is worth a look at once. Its own status is not: right after a change the pods that go are still listed, have
    no number any more, and would be taken for busy ones."""
    return hpa.get("spec"), is_being_deleted(hpa)


def _steady_now() -> datetime:
    """A time that only goes forward: when the wall clock is set, no window ends and no period begins anew."""
    return datetime.fromtimestamp(effects.monotonic(), UTC)


def _asks_metrics(hpa: Object, current: int) -> bool:
    """Whether metrics decide: not while the target is switched off or out of bounds."""
    most, least = int(hpa["spec"]["maxReplicas"]), int(dig(hpa, "spec", "minReplicas", default=1))
    return least <= current <= most and (current != 0 or least == 0)


def _undecided(hpa: Object, event: str, why: str, reason: str, message: str) -> Decision:
    """Nothing is done, and both Events and the condition say why."""
    notes = [Note(hpa, WARNING, event, why), Note(hpa, WARNING, "FailedComputeMetricsReplicas", why)]
    return Decision(0, conditions=[Condition("ScalingActive", False, reason, message)], notes=notes, failed=True)


class HorizontalPodAutoscalerReconciler:
    """Keys are autoscalers, looked at again and again."""

    def __init__(self, wiring: Wiring, settings: AutoscalingSettings = DEFAULTS) -> None:
        self._settings = settings
        self._client = wiring.client
        self._metrics = Metrics(wiring.client)
        self._autoscalers = wiring.watch(HORIZONTAL_POD_AUTOSCALERS, facts=_asked)
        self._pods = wiring.read(PODS)
        self._memory: dict[str, Memory] = {}
        self._selectors: dict[str, str] = {}
        """Of the targets' scales, by autoscaler."""
        self._resources: dict[tuple[str, str], Resource] = {}

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        hpa = self._autoscalers.get(name, namespace)
        if hpa is None:
            self._memory.pop(key, None)
            self._selectors.pop(key, None)
            return NOTHING
        if is_being_deleted(hpa):
            return NOTHING
        now = effects.now()
        current = int(dig(hpa, "status", "currentReplicas", default=0))
        try:
            resource, scale = await self._scale(namespace, dig(hpa, "spec", "scaleTargetRef", default={}))
        except (errors.APIError, LookupError) as error:
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            decision = Decision(current, failed=True)
            decision.conditions.append(Condition("AbleToScale", False, "FailedGetScale", text))
            decision.notes.append(Note(hpa, WARNING, "FailedGetScale", str(error)))
            return self._plan(hpa, decision, current, now)
        current = int(dig(scale, "spec", "replicas", default=0))
        steady = _steady_now()
        decision = await self._decide(hpa, scale, current, now, steady)
        if decision.replicas != current:
            await self._rescale(hpa, resource, scale, decision, steady)
        return self._plan(hpa, decision, current, now)

    async def _decide(self, hpa: Object, scale: Object, current: int, now: datetime, steady: datetime) -> Decision:
        able = Condition(
            "AbleToScale", True, "SucceededGetScale",
            "the HPA controller was able to get the target's current scale",
        )
        memory = self._memory.setdefault(key_of(hpa), self._fresh([(steady, current)]))
        if not _asks_metrics(hpa, current):
            decision = decide(hpa, current, [], memory, steady)
            decision.conditions.insert(0, able)
            return decision
        namespace, selector = namespace_of(hpa), dig(scale, "status", "selector", default="")
        pods, problem = self._pods_of(hpa, selector)
        problem = problem or self._problem_with(hpa, selector, pods)
        if problem is not None:
            problem.conditions.insert(0, able)
            problem.replicas = current
            return problem
        status = int(dig(scale, "status", "replicas", default=0))
        tolerance = tolerance_of(hpa, self._settings)
        target = Target(namespace, selector, current, status, tuple(pods), tolerance, self._settings)
        readings = [await read(self._metrics, one, target, now) for one in dig(hpa, "spec", "metrics", default=())]
        decision = decide(hpa, current, readings, memory, steady)
        decision.conditions.insert(0, able)
        return decision

    def _fresh(self, recommendations: list[tuple[datetime, int]]) -> Memory:
        return Memory(recommendations, calm_s=self._settings.downscale_stabilization_s)

    def _pods_of(self, hpa: Object, selector: str) -> tuple[list[Object], Decision | None]:
        """The pods that the target's scale selects, or why nobody knows which they are."""
        self._selectors.pop(key_of(hpa), None)
        if not selector:
            text = "the HPA target's scale is missing a selector"
            return [], _undecided(hpa, "SelectorRequired", "selector is required", "InvalidSelector", text)
        try:
            selected = selectors.parse(selector)
        except ValueError as error:
            text = f"couldn't convert selector into a corresponding internal selector object: {error}"
            return [], _undecided(hpa, "InvalidSelector", text, "InvalidSelector", text)
        self._selectors[key_of(hpa)] = selector
        return sorted(self._pods.list(namespace_of(hpa), selected), key=key_of), None

    def _problem_with(self, hpa: Object, selector: str, pods: Sequence[Object]) -> Decision | None:
        """Why no metric can be asked for: other autoscalers have the same pods."""
        others = [
            key for key, one in sorted(self._selectors.items())
            if split_key(key)[0] == namespace_of(hpa) and one and self._autoscalers.get_by_key(key) is not None
            and any(selectors.parse(one).matches(labels_of(pod)) for pod in pods)
        ]
        if len(others) <= 1:
            return None
        listed = " ".join(f"{{{name} {namespace}}}" for namespace, name in map(split_key, others))
        text = f"pods by selector {selector} are controlled by multiple HPAs: [{listed}]"
        return _undecided(hpa, "AmbiguousSelector", text, "AmbiguousSelector", text)

    async def _rescale(
        self, hpa: Object, resource: Resource, scale: Object, decision: Decision, steady: datetime
    ) -> None:
        """Write the scale; what fails is told and tried again."""
        current = int(dig(scale, "spec", "replicas", default=0))
        size = f"New size: {decision.replicas}; reason: {decision.reason}"
        try:
            await self._resize(resource, scale, decision.replicas)
        except errors.APIError as error:
            text = f"the HPA controller was unable to update the target scale: {error}"
            decision.conditions.append(Condition("AbleToScale", False, "FailedUpdateScale", text))
            decision.notes.append(Note(hpa, WARNING, "FailedRescale", f"{size}; error: {error}"))
            decision.replicas, decision.failed = current, True
            return
        self._memory.setdefault(key_of(hpa), self._fresh([])).changes.append((steady, decision.replicas - current))
        text = f"the HPA controller was able to update the target scale to {decision.replicas}"
        decision.conditions.append(Condition("AbleToScale", True, "SucceededRescale", text))
        decision.notes.append(Note(hpa, NORMAL, "SuccessfulRescale", size))

    async def _resize(self, resource: Resource, scale: Object, replicas: int) -> None:
        """Write the scale, also if the target was written meanwhile, unless its size was. Raises APIError."""
        for tries_left in reversed(range(CONFLICTS)):
            changed = {**scale, "spec": {**scale["spec"], "replicas": replicas}}
            try:
                await self._client.update(resource, changed, subresource="scale")
                return
            except errors.Conflict:
                fresh = await self._client.get(resource, name_of(scale), namespace_of(scale), subresource="scale")
                if not tries_left or dig(fresh, "spec", "replicas") != dig(scale, "spec", "replicas"):
                    raise
                scale = fresh

    async def _scale(self, namespace: str, reference: Object) -> tuple[Resource, Object]:
        """The target's resource and its scale. Raises APIError, LookupError."""
        kind, version = str(reference.get("kind")), str(reference.get("apiVersion", ""))
        resource = _KNOWN.get(kind) or self._resources.get((version, kind))
        if resource is None or resource.group != version.rpartition("/")[0]:
            resource = (await discover(self._client)).of_kind(version, kind)
            if resource is None:
                raise LookupError(f'no matches for kind "{kind}" in group "{version.rpartition("/")[0]}"')
            self._resources[version, kind] = resource
        return resource, await self._client.get(resource, str(reference.get("name")), namespace, subresource="scale")

    def _plan(self, hpa: Object, decision: Decision, current: int, now: datetime) -> Plan:
        status = status_of(hpa, decision, current, now)
        steps: tuple[Step, ...] = ()
        if status != (hpa.get("status") or {}):
            steps = (Update(HORIZONTAL_POD_AUTOSCALERS, {**hpa, "status": status}, subresource="status"),)
        return Plan(steps, tuple(decision.notes), self._settings.sync_period_s)
