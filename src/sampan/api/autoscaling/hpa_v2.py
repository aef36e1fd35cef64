"""HorizontalPodAutoscaler (v2): replicas that follow metrics."""

from __future__ import annotations

from datetime import datetime

from sampan.api.autoscaling.hpa_rules import default, validate
from sampan.api.columns import AGE, NAME, UNKNOWN, UNSET, at, count
from sampan.api.kind import Column, Kind
from sampan.api.resources import HORIZONTAL_POD_AUTOSCALERS
from sampan.api.strategy import counting_from_zero, drop_status, keep_status, status_subresource
from sampan.apimachinery.object import Object, dig

_SHOWN = 2
_SOURCES = {"ContainerResource": "containerResource", "External": "external", "Object": "object", "Pods": "pods",
            "Resource": "resource"}


def reference_text(obj: Object, now: datetime) -> str:
    target = dig(obj, "spec", "scaleTargetRef", default={})
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def targets_text(obj: Object, now: datetime) -> str:
    """`cpu: 30%/80%`, the first two metrics and how many more."""
    metrics, current = dig(obj, "spec", "metrics", default=()), dig(obj, "status", "currentMetrics", default=())
    if not metrics:
        return "<none>"
    shown = [_metric(metric, current[position] if position < len(current) else {})
             for position, metric in enumerate(metrics)]
    if len(shown) > _SHOWN:
        return f"{', '.join(shown[:_SHOWN])} + {len(shown) - _SHOWN} more..."
    return ", ".join(shown)


def _metric(metric: Object, current: Object) -> str:
    kind = metric.get("type") or ""
    source = _SOURCES.get(kind)
    if source is None:
        return "<unknown type>"
    wanted, found = dig(metric, source, "target", default={}), dig(current, source, "current", default={})
    name = dig(metric, source, "name", default="")
    if wanted.get("averageUtilization") is not None:
        shown = found.get("averageUtilization")
        return f"{name}: {UNKNOWN if shown is None else f'{shown}%'}/{wanted['averageUtilization']}%"
    prefix = f"{name}: " if name else ""
    if wanted.get("averageValue") is not None:
        suffix = " (avg)" if kind in ("External", "Object") else ""
        return f"{prefix}{found.get('averageValue', UNKNOWN)}/{wanted['averageValue']}{suffix}"
    return f"{prefix}{found.get('value', UNKNOWN)}/{wanted.get('value', '<auto>')}"


COUNT_COLUMNS = (
    Column("MinPods", "string", at("spec", "minReplicas", default=UNSET),
           doc="autoscaling.v2.HorizontalPodAutoscalerSpec#minReplicas"),
    Column("MaxPods", "string", count("spec", "maxReplicas"),
           doc="autoscaling.v2.HorizontalPodAutoscalerSpec#maxReplicas"),
    Column("Replicas", "string", count("status", "currentReplicas"),
           doc="autoscaling.v2.HorizontalPodAutoscalerStatus#currentReplicas"),
    AGE,
)

HORIZONTAL_POD_AUTOSCALER = Kind(
    resource=HORIZONTAL_POD_AUTOSCALERS,
    definition="io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    default=default,
    prepare_create=counting_from_zero(drop_status, "currentReplicas", "desiredReplicas"),
    prepare_update=keep_status,
    validate=validate,
    columns=(
        NAME,
        Column("Reference", "string", reference_text, doc="autoscaling.v2.HorizontalPodAutoscalerSpec#scaleTargetRef"),
        Column("Targets", "string", targets_text, doc="autoscaling.v2.HorizontalPodAutoscalerSpec#metrics"),
        *COUNT_COLUMNS,
    ),
    subresources=status_subresource(),
)
