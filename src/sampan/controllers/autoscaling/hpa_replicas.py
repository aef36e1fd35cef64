"""The arithmetic of horizontal autoscaling: how many replicas a metric asks for.

In principle `ceil(replicas * current / target)`, left alone while the ratio is within the tolerance of one. Care is
taken of pods whose number says nothing yet: pods that are not ready count as idle when scaling up and not at all
otherwise; pods without a number are assumed idle when scaling up and fully busy when scaling down, so that missing data
never makes the change larger. All amounts are in thousandths. Source: "Horizontal Pod Autoscaling", algorithm details.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from sampan.apimachinery.object import Object, dig, is_being_deleted, name_of
from sampan.apimachinery.quantity import milli_value
from sampan.controllers import times
from sampan.controllers.autoscaling.hpa_settings import DEFAULTS, AutoscalingSettings
from sampan.controllers.pods import condition, phase_of

_Ratio: TypeAlias = Callable[[Mapping[str, int]], float]


class MetricError(Exception):
    """The metric gives no number of replicas; the message says why, in upstream's words."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured of one pod, when and over how long."""

    value_m: int
    at: datetime
    window: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far the ratio may be from one, to either side, before anything is done."""

    up: float = 0.1
    down: float = 0.1

    def covers(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a metric asks for, and what it showed: `average_m` of a pod, `utilization` in percent of the request."""

    replicas: int
    average_m: int = 0
    utilization: int | None = None


@dataclass(slots=True)
class Groups:
    """Pods by what their numbers are worth."""

    ready: int = 0
    unready: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)


def group_pods(
    pods: Iterable[Object], samples: Mapping[str, Sample], now: datetime, *, cpu: bool,
    settings: AutoscalingSettings = DEFAULTS,
) -> Groups:
    """Sort the pods; only for CPU does a recent start make a number worthless."""
    groups = Groups()
    for pod in pods:
        name = name_of(pod)
        if is_being_deleted(pod) or phase_of(pod) == "Failed":
            groups.ignored.add(name)
        elif phase_of(pod) == "Pending":
            groups.unready.add(name)
        elif name not in samples:
            groups.missing.add(name)
        elif cpu and _starting(pod, samples[name], now, settings):
            groups.unready.add(name)
        else:
            groups.ready += 1
    return groups


def _starting(pod: Object, sample: Sample, now: datetime, settings: AutoscalingSettings) -> bool:
    ready, started = condition(pod, "Ready"), times.parse_or_none(dig(pod, "status", "startTime"))
    if ready is None or started is None:
        return True
    changed = times.parse_or_none(ready.get("lastTransitionTime")) or started
    young = timedelta(seconds=settings.cpu_initialization_s)
    if started <= now < started + young:  # ahead of now: the clock was set back since, it is not young
        return ready.get("status") == "False" or sample.at < changed + sample.window
    return ready.get("status") == "False" and started + timedelta(seconds=settings.initial_readiness_delay_s) > changed


def requests_of(pods: Iterable[Object], resource: str, container: str = "") -> dict[str, int]:
    """What each pod requests of a resource: the pod as a whole if it says so, or else its containers and sidecars.

    With `container`, what that one requests. Raises MetricError where nothing is stated.
    """
    return {name_of(pod): _requested(pod, resource, container) for pod in pods}


def _requested(pod: Object, resource: str, container: str) -> int:
    lasting = [*dig(pod, "spec", "containers", default=())]
    lasting += [one for one in dig(pod, "spec", "initContainers", default=()) if one.get("restartPolicy") == "Always"]
    if container:
        named = [one for one in lasting if one.get("name") == container]
        if not named:
            raise MetricError(f"container {container} not found in Pod {name_of(pod)}")
        return _request(pod, named[0], resource)
    whole = dig(pod, "spec", "resources", "requests", default={})
    if resource in whole:
        return milli_value(whole[resource])
    if whole:
        lasting = [one for one in lasting if resource in dig(one, "resources", "requests", default={})]
        if not lasting:
            raise MetricError(f"missing pod-level request for {resource} in Pod {name_of(pod)}")
    return sum(_request(pod, one, resource) for one in lasting)


def _request(pod: Object, container: Object, resource: str) -> int:
    amount = dig(container, "resources", "requests", resource)
    if amount is None:
        where = f"container {container.get('name')} of Pod {name_of(pod)}"
        raise MetricError(f"missing request for {resource} in {where}")
    return milli_value(amount)


@dataclass(frozen=True, slots=True)
class Measured:
    """The pods of a target: how many there should be now, what each showed, and what that is worth."""

    current: int
    samples: Mapping[str, Sample]
    groups: Groups
    tolerance: Tolerance


def by_utilization(measured: Measured, target: int, requests: Mapping[str, int]) -> Proposal:
    """Replicas for a target in percent of the request. Raises MetricError."""
    values = {name: value for name, value in _usable(measured).items() if name in requests}
    groups = measured.groups
    total = sum(requests.get(name, 0) for name in values)
    if not total:
        raise MetricError("no metrics returned matched known pods")
    utilization = sum(values.values()) * 100 // total
    average = sum(values.values()) // len(values)

    def ratio(numbers: Mapping[str, int]) -> float:
        whole = sum(requests.get(name, 0) for name in numbers)
        return (sum(numbers.values()) * 100 // whole if whole else 0) / target

    busy = {name: requests.get(name, 0) * max(100, target) // 100 for name in groups.missing}
    return Proposal(_replicas(measured, values, ratio, busy), average, utilization)


def by_average(measured: Measured, target_m: int) -> Proposal:
    """Replicas for a target that is the average of the pods. Raises MetricError."""
    values = _usable(measured)

    def ratio(numbers: Mapping[str, int]) -> float:
        return sum(numbers.values()) // len(numbers) / target_m

    busy = dict.fromkeys(measured.groups.missing, target_m)
    average = sum(values.values()) // len(values)
    return Proposal(_replicas(measured, values, ratio, busy), average)


def _usable(measured: Measured) -> dict[str, int]:
    left_out = measured.groups.ignored | measured.groups.unready
    values = {name: sample.value_m for name, sample in measured.samples.items() if name not in left_out}
    if not values:
        raise MetricError("did not receive metrics for targeted pods (pods might be unready)")
    return values


def _replicas(measured: Measured, values: Mapping[str, int], ratio_of: _Ratio, busy: Mapping[str, int]) -> int:
    """The rule of the module's docstring; `busy` are the numbers that missing pods have when they are busy."""
    current, groups, tolerance = measured.current, measured.groups, measured.tolerance
    ratio = ratio_of(values)
    idle_unready = bool(groups.unready) and ratio > 1.0
    if not idle_unready and not groups.missing:
        return current if tolerance.covers(ratio) else math.ceil(ratio * groups.ready)
    assumed = dict(values)
    if ratio < 1.0:
        assumed |= busy
    elif ratio > 1.0:
        assumed |= dict.fromkeys(groups.missing, 0)
    if idle_unready:
        assumed |= dict.fromkeys(groups.unready, 0)
    again = ratio_of(assumed)
    if tolerance.covers(again) or (ratio < 1.0 < again) or (again < 1.0 < ratio):
        return current
    wanted = math.ceil(again * len(assumed))
    grows_when_idle = (again < 1.0 and wanted > current) or (again > 1.0 and wanted < current)
    return current if grows_when_idle else wanted


def by_value(current: int, target_m: int, value_m: int, ready: int, tolerance: Tolerance) -> Proposal:
    """Replicas for one number that all pods share; a target of zero replicas starts from the ratio alone."""
    ratio = value_m / target_m
    if current == 0:
        return Proposal(math.ceil(ratio))
    return Proposal(current if tolerance.covers(ratio) else math.ceil(ratio * ready))


def by_value_per_pod(current: int, target_m: int, value_m: int, tolerance: Tolerance) -> Proposal:
    """Replicas for one number that is to be divided among the pods."""
    average = math.ceil(value_m / current) if current else 0
    if current and tolerance.covers(value_m / (target_m * current)):
        return Proposal(current, average)
    return Proposal(math.ceil(value_m / target_m), average)
