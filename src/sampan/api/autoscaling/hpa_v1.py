"""HorizontalPodAutoscaler (v1): the first CPU target of what v2 stores; the rest travels in annotations."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sampan.api.autoscaling.hpa_rules import default as default_stored
from sampan.api.autoscaling.hpa_rules import validate as validate_stored
from sampan.api.autoscaling.hpa_v2 import HORIZONTAL_POD_AUTOSCALER
from sampan.api.kind import Column, Kind
from sampan.api.resources import HORIZONTAL_POD_AUTOSCALERS, HORIZONTAL_POD_AUTOSCALERS_V1
from sampan.api.strategy import (
    counting_from_zero,
    drop_status,
    ensure,
    keep_status,
    setdefault,
    status_subresource,
    zero_status,
)
from sampan.apimachinery.field import FieldError
from sampan.apimachinery.object import Object, dig

_ANNOTATION = "autoscaling.alpha.kubernetes.io/"
_PARTS = (("metrics", ("spec", "metrics")), ("behavior", ("spec", "behavior")),
          ("current-metrics", ("status", "currentMetrics")), ("conditions", ("status", "conditions")))


def _is_cpu(metric: Object) -> bool:
    return dig(metric, "resource", "name") == "cpu" and metric.get("type") == "Resource"


def from_storage(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metadata = dict(obj.get("metadata") or {})
    extra: dict[str, Any] = {
        "metrics": [], "behavior": spec.pop("behavior", None), "current-metrics": status.pop("currentMetrics", None),
        "conditions": status.pop("conditions", None),
    }
    for metric in spec.pop("metrics", None) or []:
        percent = dig(metric, "resource", "target", "averageUtilization")
        if _is_cpu(metric) and percent is not None and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = percent
        else:
            extra["metrics"].append(metric)
    for metric in extra["current-metrics"] or []:
        percent = dig(metric, "resource", "current", "averageUtilization")
        if _is_cpu(metric) and percent is not None:
            status["currentCPUUtilizationPercentage"] = percent
    annotations = dict(metadata.get("annotations") or {})
    annotations.update({_ANNOTATION + key: json.dumps(value, separators=(",", ":"))
                        for key, value in extra.items() if value})
    if annotations:
        metadata["annotations"] = annotations
    return {**obj, "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}


def to_storage(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metadata = dict(obj.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    found = {key: _decoded(annotations.pop(_ANNOTATION + key, None)) for key, _ in _PARTS}
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    status.pop("currentCPUUtilizationPercentage", None)
    metrics = found["metrics"] if isinstance(found["metrics"], list) else []
    if percent is not None:
        metrics = [*metrics, {"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}}]
    for key, (part, name) in _PARTS:
        value = metrics if key == "metrics" else found[key]
        if value:
            (spec if part == "spec" else status)[name] = value
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    stored = {**obj, "apiVersion": "autoscaling/v2", "metadata": metadata, "spec": spec}
    return stored if "status" not in obj and not status else {**stored, "status": status}


def _decoded(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def default(obj: Object) -> None:
    zero_status(obj, "currentReplicas", "desiredReplicas")
    spec = ensure(obj, "spec")
    setdefault(spec, "minReplicas", 1)
    if not dig(obj, "metadata", "annotations", _ANNOTATION + "metrics"):
        stored = to_storage(obj)
        default_stored(stored)
        spec.setdefault("targetCPUUtilizationPercentage",
                        from_storage(stored)["spec"].get("targetCPUUtilizationPercentage"))


def validate(obj: Object) -> list[FieldError]:
    return validate_stored(to_storage(obj))


def _stored(column: Column) -> Column:
    """A column of the stored version, for a document of this one: both show the same table."""
    return replace(column, cell=lambda obj, now: column.cell(to_storage(obj), now))


HORIZONTAL_POD_AUTOSCALER_V1 = Kind(
    resource=HORIZONTAL_POD_AUTOSCALERS_V1,
    definition="io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    default=default,
    prepare_create=counting_from_zero(drop_status, "currentReplicas", "desiredReplicas"),
    prepare_update=keep_status,
    validate=validate,
    columns=tuple(_stored(column) for column in HORIZONTAL_POD_AUTOSCALER.columns),
    subresources=status_subresource(),
    storage_resource=HORIZONTAL_POD_AUTOSCALERS,
    from_storage=from_storage,
    to_storage=to_storage,
)
