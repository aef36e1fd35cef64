"""One metric of an autoscaler, read: how many replicas it asks for, and what the status shows of it.

    Resource            what pods use of CPU or memory, as a share of their request or an average
    ContainerResource   the same of one container
    Pods                a custom metric of each pod, averaged
    Object              a custom metric of another object, as it is or divided among the pods
    External            a number from outside the cluster, as it is or divided among the pods
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.quantity import Quantity, milli_value
from sampan.controllers.autoscaling.hpa_metrics import Metrics
from sampan.controllers.autoscaling.hpa_replicas import (
    Measured,
    MetricError,
    Proposal,
    Tolerance,
    by_average,
    by_utilization,
    by_value,
    by_value_per_pod,
    group_pods,
    requests_of,
)
from sampan.controllers.autoscaling.hpa_settings import DEFAULTS, AutoscalingSettings
from sampan.controllers.pods import is_ready, phase_of


@dataclass(frozen=True, slots=True)
class Target:
    """What is scaled: its pods, how many it is told to have and has."""

    namespace: str
    selector: str
    replicas: int
    status_replicas: int
    pods: tuple[Object, ...]
    tolerance: Tolerance
    settings: AutoscalingSettings = DEFAULTS

    @property
    def ready(self) -> int:
        return sum(phase_of(pod) == "Running" and is_ready(pod) for pod in self.pods)

    def expect_pods(self) -> None:
        """Raises MetricError if there are none, for then no number says anything of them."""
        if not self.pods:
            raise MetricError("no pods returned by selector while calculating replica count")


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric's answer: a proposal and its part of the status, or an error, and the reason of its condition.

    `failure` says in words what could not be read; the error follows it.
    """

    name: str
    proposal: Proposal | None = None
    shown: Object | None = None
    error: str = ""
    reason: str = ""
    failure: str = ""

    @property
    def replicas(self) -> int:
        return self.proposal.replicas if self.proposal is not None else 0


async def read(metrics: Metrics, metric: Object, target: Target, now: datetime) -> Reading:
    """Ask for one metric of the spec. Never raises MetricError."""
    kind = str(metric.get("type"))
    field = kind[:1].lower() + kind[1:]
    source: Object = metric.get(field) or {}
    try:
        if kind in ("Resource", "ContainerResource"):
            return await _resource(metrics, field, source, target, now)
        if kind == "Pods":
            return await _pods(metrics, source, target, now)
        if kind in ("Object", "External"):
            return await _number(metrics, field, source, target)
    except (MetricError, KeyError, TypeError, ValueError) as found:  # what foreign servers answer may be anything
        problem = found if isinstance(found, MetricError) else MetricError(f"the answer is malformed: {found!r}")
        error = _failure(field, source, problem)
        return Reading(field, error=error, reason=f"FailedGet{kind}Metric", failure=_what_failed(field, source))
    return Reading(kind, error=f'unknown metric source type "{kind}"', reason="InvalidMetricSourceType")


def _failure(field: str, source: Object, problem: MetricError) -> str:
    if field in ("resource", "containerResource"):
        utilization = dig(source, "target", "averageUtilization") is not None
        text = f"unable to get metrics for resource {source.get('name')}: {problem}"
        return f"failed to get {source.get('name')} {'utilization' if utilization else 'usage'}: {text}"
    return f"unable to get {field} metric {dig(source, 'metric', 'name')}: {problem}"


def _what_failed(field: str, source: Object) -> str:
    named = {
        "resource": f"{source.get('name')} resource", "containerResource": f"{source.get('name')} container",
        "external": f"{dig(source, 'metric', 'name')} external",
    }
    return f"failed to get {named.get(field, field)} metric value"


async def _resource(metrics: Metrics, field: str, source: Object, target: Target, now: datetime) -> Reading:
    name, container = str(source.get("name")), str(source.get("container", ""))
    samples = await metrics.of_resource(target.namespace, target.selector, name, container)
    target.expect_pods()
    groups = group_pods(target.pods, samples, now, cpu=name == "cpu", settings=target.settings)
    measured = Measured(target.replicas, samples, groups, target.tolerance)
    wanted = dig(source, "target", "averageUtilization")
    what = f"{name} {'container ' if container else ''}resource"
    if wanted is None:
        proposal = by_average(measured, milli_value(dig(source, "target", "averageValue", default="0")))
        current: Object = {}
    else:
        proposal = by_utilization(measured, int(wanted), requests_of(target.pods, name, container))
        what += " utilization (percentage of request)"
        current = {"averageUtilization": proposal.utilization}
    current["averageValue"] = _text(proposal.average_m)
    shown = {"name": name, **({"container": container} if container else {}), "current": current}
    return Reading(what, proposal, {"type": field[:1].upper() + field[1:], field: shown})


async def _pods(metrics: Metrics, source: Object, target: Target, now: datetime) -> Reading:
    metric = source["metric"]
    samples = await metrics.of_pods(target.namespace, target.selector, metric)
    target.expect_pods()
    measured = Measured(
        target.replicas, samples, group_pods(target.pods, samples, now, cpu=False), target.tolerance
    )
    proposal = by_average(measured, milli_value(source["target"]["averageValue"]))
    shown = {"metric": metric, "current": {"averageValue": _text(proposal.average_m)}}
    return Reading(f"pods metric {metric['name']}", proposal, {"type": "Pods", "pods": shown})


async def _number(metrics: Metrics, field: str, source: Object, target: Target) -> Reading:
    """A metric of an object, or an external one."""
    metric = source["metric"]
    if field == "object":
        about = source["describedObject"]
        value = await metrics.of_object(target.namespace, _path(about), metric)
        name, more = f"{about['kind']} metric {metric['name']}", {"describedObject": about}
    else:
        value = await metrics.external(target.namespace, metric)
        name, more = f"external metric {metric['name']}({metric.get('selector')})", {}
    if (average := dig(source, "target", "averageValue")) is not None:
        proposal = by_value_per_pod(target.status_replicas, milli_value(average), value, target.tolerance)
        current = {"averageValue": _text(proposal.average_m)}
    else:
        wanted = milli_value(dig(source, "target", "value", default="0"))
        if target.replicas:
            target.expect_pods()
        proposal = by_value(target.replicas, wanted, value, target.ready, target.tolerance)
        current = {"value": _text(value)}
    shown = {"metric": metric, "current": current, **more}
    return Reading(name, proposal, {"type": field[:1].upper() + field[1:], field: shown})


def _path(about: Object) -> str:
    """`services/web`, `ingresses.networking.k8s.io/web`: the plural is made as upstream guesses it from the kind."""
    kind, group = str(about["kind"]).lower(), str(about.get("apiVersion", "")).rpartition("/")[0]
    if kind.endswith(("s", "x", "ch", "sh")):
        plural = f"{kind}es"
    else:
        plural = f"{kind[:-1]}ies" if kind.endswith("y") and kind[-2:-1] not in "aeiou" else f"{kind}s"
    return f"{plural}{'.' + group if group else ''}/{about['name']}"


def _text(milli: int) -> str:
    return str(Quantity.of_milli(milli))
