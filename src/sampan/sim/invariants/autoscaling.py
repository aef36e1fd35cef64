"""Invariants of autoscalers: their bounds, their pace, their windows, and care where numbers are missing.

What an autoscaler recommended is in no object. But it follows from what it was told: each answer of the metrics server
is noted, and where every pod was ready for long and known, the recommendation is plain arithmetic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sampan import effects
from sampan.apimachinery.object import Object, dig, labels_of, name_of, namespace_of, uid_of
from sampan.sim.cause import Life
from sampan.sim.invariants.pods import requested
from sampan.sim.invariants.replicas import size
from sampan.sim.metrics import Told
from sampan.sim.world import PODS, Change, GroupResource, World, is_active, is_ready, title

AUTOSCALERS: Final[GroupResource] = ("autoscaling", "horizontalpodautoscalers")
TARGETS: Final[Sequence[GroupResource]] = (("apps", "deployments"), ("apps", "statefulsets"))
BY: Final = "horizontal-pod-autoscaler"
AROUND_S: Final = 3.0
"""Between the moment that an autoscaler takes for now and its question to the metrics server lies at most this."""
READY_S: Final = 25.0
"""A pod whose number counts without any doubt has been ready for so long."""
DEFAULT_WINDOW_S: Final = 300


@dataclass(frozen=True, slots=True)
class Step:
    """An autoscaler set its target from one size to another."""

    scaler: Object
    target: Object
    before: int
    after: int
    life: Life
    at_s: float
    """When it decided so."""
    told: Told | None = None
    """What it was told last; nothing where a bound alone decided."""

    @property
    def is_up(self) -> bool:
        return self.after > self.before


@dataclass(frozen=True, slots=True)
class Advice:
    """What an answer meant: how many replicas it asked for at least; None where this is not plain."""

    told: Told
    replicas: int | None
    sure: bool
    """Whether all pods were ready for long, though not all may have been known."""
    pods: int


class Autoscalers:
    """See above."""

    name = "autoscalers"
    resources = (AUTOSCALERS, *TARGETS, PODS)

    def __init__(self) -> None:
        self._advice: defaultdict[str, list[Advice]] = defaultdict(list)
        """By the target's uid, of the last hour."""
        self._steps: defaultdict[str, list[tuple[Step, Change]]] = defaultdict(list)

    def check(self, world: World, change: Change) -> Iterator[str]:
        new = change.new
        if new is None:
            return
        if change.resource == AUTOSCALERS:
            bounds = (dig(new, "spec", "minReplicas", default=1), dig(new, "spec", "maxReplicas", default=0))
            world.note(uid_of(new), "bounds", bounds)
        elif change.resource == PODS:
            if world.objects[AUTOSCALERS] and is_active(new):
                world.note(uid_of(new), "ready", is_ready(new))
        else:
            world.note(uid_of(new), "size", size(new))
            if change.cause.by == BY and change.old is not None and size(change.old) != size(new):
                yield from self._scaled(world, change)

    def _scaled(self, world: World, change: Change) -> Iterator[str]:
        new, old = change.new, change.old
        assert new is not None and old is not None
        for scaler in world.objects[AUTOSCALERS].values():
            target = dig(scaler, "spec", "scaleTargetRef", default={})
            named = target.get("kind"), target.get("name"), namespace_of(scaler)
            if named != (new.get("kind"), name_of(new), namespace_of(new)):
                continue
            informed = world.informed_until_s(change.cause)
            bounds = world.lately(uid_of(scaler), "bounds", informed)
            if not min(low for low, _ in bounds) <= size(new) <= max(high for _, high in bounds):
                yield f"{title(scaler)} set {title(new)} to {size(new)}, outside of {bounds[-1]}"
            if not max(low for low, _ in bounds) <= size(old) <= min(high for _, high in bounds):
                step = Step(scaler, new, size(old), size(new), change.cause.life, change.cause.sent_at_s)
                self._steps[uid_of(new)].append((step, change))  # it was outside, whatever the metrics say
            else:
                yield from self._judged(world, change, scaler)

    def _judged(self, world: World, change: Change, scaler: Object) -> Iterator[str]:
        new, old, life = change.new, change.old, change.cause.life
        assert new is not None and old is not None
        heard: list[Told] = [
            one for one in world.lately(app_of(new), "told", change.at_s - 120) if one.life is life
        ]
        if not heard:
            if world.noted(app_of(new), "told"):
                yield f"{title(scaler)} set {title(new)} to {size(new)} without having asked for metrics"
            return
        step = Step(scaler, new, size(old), size(new), life, heard[-1].asked_at_s, heard[-1])
        for problem in (*self._heard(step), *self._too_fast(step), *self._too_soon(world, change, step)):
            yield f"{title(scaler)} set {title(new)} from {step.before} to {step.after}: {problem}"
        self._steps[uid_of(new)].append((step, change))

    def _heard(self, step: Step) -> Iterator[str]:
        """What it did is within what it was last told, missing pods taken for idle or for busy."""
        assert step.told is not None
        usages, wanted = step.told.usages_milli, target_milli(step.scaler, step.target)
        if not usages:
            yield "it had no metrics"
        elif step.is_up:
            most = -(-sum(usages.values()) // wanted)
            if step.after > most and dig(step.scaler, "spec", "behavior") is not None:
                yield f"the pods that are known use as much as {most} may"
        else:
            advice = self._advice_of(step)
            if advice is not None and advice.sure:
                each, unknown = requested_milli(step.target), advice.pods - len(usages)
                used = sum(usages.values()) + unknown * each
                fewest = -(-(used * 100 // (advice.pods * each) * advice.pods * each) // (wanted * 100))
                if step.after < min(fewest, step.before):
                    yield f"{unknown} pods are unknown and may be busy, so there should be {fewest}"

    def _advice_of(self, step: Step) -> Advice | None:
        return next((one for one in reversed(self._advice[uid_of(step.target)]) if one.told is step.told), None)

    def _too_fast(self, step: Step) -> Iterator[str]:
        """What its policies allow, counted from where each period surely began."""
        rule = dig(step.scaler, "spec", "behavior", "scaleUp" if step.is_up else "scaleDown", default={})
        policies = rule.get("policies") or []
        if rule.get("selectPolicy") == "Disabled":
            yield "its direction is disabled"
        if not policies:
            return
        furthest = rule.get("selectPolicy", "Max") == "Max"
        allowed = [self._allowed(step, policy) for policy in policies]
        limit = max(allowed) if furthest == step.is_up else min(allowed)
        if step.after > max(limit, step.before) if step.is_up else step.after < min(limit, step.before):
            yield f"its policies allow {limit} now"

    def _allowed(self, step: Step, policy: Object) -> int:
        """The furthest that a policy lets it go: of what was done about when the period began, what gives it room."""
        began = step.at_s - int(policy["periodSeconds"])
        start = step.before - sum(
            one.after - one.before for one, change in self._steps[uid_of(step.target)]
            if one.life is step.life and change.cause.acknowledged
            and one.at_s > began + (AROUND_S if one.is_up is step.is_up else -AROUND_S)
        )
        value = int(policy["value"])
        if policy["type"] == "Pods":
            return start + value if step.is_up else start - value
        return -(-start * (100 + value) // 100) if step.is_up else start * (100 - value) // 100

    def _too_soon(self, world: World, change: Change, step: Step) -> Iterator[str]:
        """Within its window nothing higher, or for scaling up nothing lower, was recommended."""
        if world.informed_until_s(change.cause) < change.at_s - 2 * AROUND_S:
            return
        up = step.is_up
        rule = dig(step.scaler, "spec", "behavior", "scaleUp" if up else "scaleDown", default={})
        window = int(rule.get("stabilizationWindowSeconds", 0 if up else DEFAULT_WINDOW_S))
        since = step.at_s - window + AROUND_S
        said = [
            one.replicas for one in self._advice[uid_of(step.target)]
            if one.told.life is step.life and one.told.asked_at_s > since and one.replicas is not None
        ]
        if not up:
            said += [
                one.after for one, _ in self._steps[uid_of(step.target)]
                if one.life is step.life and one.at_s > since and one.is_up and one.told is not None
            ]
        bar = (min if up else max)(said, default=step.after)
        if step.after > bar if up else step.after < bar:
            yield f"{bar} were recommended within its window of {window} s"

    def told(self, world: World, app: str, told: Told) -> None:
        """The metrics server answers."""
        world.note(f"app {app}", "told", told)
        for resource in TARGETS:
            for target in world.objects[resource].values():
                scaler = _scaler_of(world, target)
                if app_of(target) == f"app {app}" and scaler is not None:
                    kept = [one for one in self._advice[uid_of(target)] if one.told.asked_at_s > told.asked_at_s - 3600]
                    self._advice[uid_of(target)] = [*kept, _advice(world, target, scaler, told)]


def _advice(world: World, target: Object, scaler: Object, told: Told) -> Advice:
    now, since = told.asked_at_s, told.asked_at_s - told.old_s - READY_S
    pods = [pod for pod in world.pods_in[namespace_of(target)].values() if app_of(target) == f"app {_app(pod)}"]
    sure = bool(pods) and all(
        is_active(pod) and world.lately(uid_of(pod), "ready", since) == [True] and not _is_ahead(pod) for pod in pods
    ) and world.informed_until_of(told.life.component, now) > now - 2 * AROUND_S
    sure = sure and len(world.lately(uid_of(target), "size", since)) == 1
    usages, replicas = told.usages_milli, None
    if sure and usages and len(usages) == len(pods):
        each, wanted = requested_milli(target), target_milli(scaler, target)
        percent = sum(usages.values()) * 100 // (each * len(pods))
        if not 0.9 <= percent * each / (wanted * 100) <= 1.1:
            replicas = -(-percent * each * len(pods) // (wanted * 100))
    return Advice(told, replicas, sure, len(pods))


def _is_ahead(pod: Object) -> bool:
    """It began, or became ready, at a time to come: the clock was set back since, and the pod counts as just begun."""
    moments = [dig(pod, "status", "startTime", default="")]
    moments += [one.get("lastTransitionTime") or "" for one in dig(pod, "status", "conditions", default=())]
    return any(moment > effects.timestamp() for moment in moments)


def _scaler_of(world: World, target: Object) -> Object | None:
    for scaler in world.objects[AUTOSCALERS].values():
        reference = dig(scaler, "spec", "scaleTargetRef", default={})
        if (reference.get("kind"), reference.get("name")) == (target.get("kind"), name_of(target)):
            return scaler
    return None


def _app(pod: Object) -> str:
    return labels_of(pod).get("app", "")


def app_of(target: Object) -> str:
    return f"app {dig(target, 'spec', 'selector', 'matchLabels', 'app', default='')}"


def requested_milli(target: Object) -> int:
    return requested(dig(target, "spec", "template"), "cpu") // 10**6


def target_milli(scaler: Object, target: Object) -> int:
    """What a pod should use."""
    percent = dig(scaler, "spec", "metrics", 0, "resource", "target", "averageUtilization", default=100)
    return requested_milli(target) * int(percent) // 100
