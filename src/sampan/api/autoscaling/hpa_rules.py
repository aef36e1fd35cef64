"""HorizontalPodAutoscaler: defaults and rules of what both versions store."""

from __future__ import annotations

from sampan.api.core.resource_lists import parse
from sampan.api.strategy import ensure, setdefault, zero_status
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.names import path_segment_name
from sampan.apimachinery.object import Object, dig

_CPU_PERCENT = 80
_SELECT = ("Disabled", "Max", "Min")
_TARGETS = ("AverageValue", "Utilization", "Value")
_SOURCES = {"ContainerResource": "containerResource", "External": "external", "Object": "object", "Pods": "pods",
            "Resource": "resource"}
_MAX_WINDOW_S, _MAX_PERIOD_S = 3600, 1800


def default(obj: Object) -> None:
    zero_status(obj, "currentReplicas", "desiredReplicas")
    spec = ensure(obj, "spec")
    setdefault(spec, "minReplicas", 1)
    if not spec.get("metrics"):
        spec["metrics"] = [{"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": _CPU_PERCENT}}}]
    if isinstance(spec.get("behavior"), dict):
        _default_behaviour(spec["behavior"])


def _default_behaviour(behaviour: Object) -> None:
    """Up at once, by four pods or the double in 15 s; down as far as wanted, after the window."""
    up, down = ensure(behaviour, "scaleUp"), ensure(behaviour, "scaleDown")
    setdefault(up, "stabilizationWindowSeconds", 0)
    if not up.get("policies"):
        up["policies"] = [{"type": "Pods", "value": 4, "periodSeconds": 15},
                          {"type": "Percent", "value": 100, "periodSeconds": 15}]
    if not down.get("policies"):
        down["policies"] = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
    setdefault(up, "selectPolicy", "Max")
    setdefault(down, "selectPolicy", "Max")


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    errors: list[FieldError] = []
    floor = 0 if any(dig(metric, "type") in ("External", "Object") for metric in spec.get("metrics") or []) else 1
    if least is not None and least < floor:
        errors.append(invalid(path.child("minReplicas"), least, f"must be greater than or equal to {floor}"))
    if most < 1:
        errors.append(invalid(path.child("maxReplicas"), most, "must be greater than 0"))
    if least is not None and most < least:
        errors.append(invalid(path.child("maxReplicas"), most, "must be greater than or equal to `minReplicas`"))
    errors += _target(spec.get("scaleTargetRef") or {}, path.child("scaleTargetRef"))
    for position, metric in enumerate(spec.get("metrics") or []):
        errors += _metric(metric, path.child("metrics").index(position))
    for key in ("scaleUp", "scaleDown"):
        rules = dig(spec, "behavior", key)
        if rules is not None:
            errors += _rules(rules, path.child("behavior", key))
    return errors


def _target(reference: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in ("kind", "name"):
        value = reference.get(key) or ""
        if not value:
            errors.append(required(path.child(key)))
        else:
            errors += [invalid(path.child(key), value, why) for why in path_segment_name(value)]
    return errors


def _metric(metric: Object, path: Path) -> list[FieldError]:
    kind = metric.get("type") or ""
    if not kind:
        return [required(path.child("type"), "must specify a metric source type")]
    if kind not in _SOURCES:
        return [not_supported(path.child("type"), kind, _SOURCES)]
    key = _SOURCES[kind]
    source, where = metric.get(key), path.child(key)
    if source is None:
        return [required(where, "must populate information for the given metric source")]
    errors = [forbidden(path.child(other), "must populate the given metric source only")
              for other in _SOURCES.values() if other != key and metric.get(other) is not None]
    if kind in ("Resource", "ContainerResource"):
        if not source.get("name"):
            errors.append(required(where.child("name"), "must specify a resource name"))
        if kind == "ContainerResource" and not source.get("container"):
            errors.append(required(where.child("container"), "must specify a container"))
    elif not dig(source, "metric", "name"):
        errors.append(required(where.child("metric", "name"), "must specify a metric name"))
    if kind == "Object":
        errors += _target(source.get("describedObject") or {}, where.child("describedObject"))
    return errors + _metric_target(source.get("target") or {}, where.child("target"))


def _metric_target(target: Object, path: Path) -> list[FieldError]:
    kind = target.get("type") or ""
    errors: list[FieldError] = []
    if not kind:
        errors.append(required(path.child("type"), "must specify a metric target type"))
    elif kind not in _TARGETS:
        errors.append(invalid(path.child("type"), kind, "must be either Utilization, Value, or AverageValue"))
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        errors.append(invalid(path.child("averageUtilization"), percent, "must be greater than 0"))
    for key in ("value", "averageValue"):
        amount = parse(target.get(key))
        if amount is not None and amount.sign() <= 0:
            errors.append(invalid(path.child(key), str(amount), "must be positive"))
    if percent is None and target.get("value") is None and target.get("averageValue") is None:
        errors.append(required(path.child("averageUtilization"), "must set either a target raw value or a target "
                                                                 "utilization"))
    return errors


def _rules(rules: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    window, choice = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    if window is not None and not 0 <= window <= _MAX_WINDOW_S:
        words = ("must be greater than or equal to zero" if window < 0
                 else f"must be less than or equal to {_MAX_WINDOW_S}")
        errors.append(invalid(path.child("stabilizationWindowSeconds"), window, words))
    if choice is not None and choice not in _SELECT:
        errors.append(not_supported(path.child("selectPolicy"), choice, _SELECT))
    if not rules.get("policies"):
        errors.append(required(path.child("policies"), "must specify at least one Policy"))
    for position, policy in enumerate(rules.get("policies") or []):
        where = path.child("policies").index(position)
        if policy.get("type") not in ("Percent", "Pods"):
            errors.append(not_supported(where.child("type"), policy.get("type", ""), ("Percent", "Pods")))
        if (policy.get("value") or 0) <= 0:
            errors.append(invalid(where.child("value"), policy.get("value") or 0, "must be greater than zero"))
        period = policy.get("periodSeconds") or 0
        if period <= 0:
            errors.append(invalid(where.child("periodSeconds"), period, "must be greater than zero"))
        elif period > _MAX_PERIOD_S:
            errors.append(invalid(where.child("periodSeconds"), period, f"must be less than or equal to "
                                                                        f"{_MAX_PERIOD_S}"))
    return errors
