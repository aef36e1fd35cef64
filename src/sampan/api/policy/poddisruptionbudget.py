"""PodDisruptionBudget: how many of some pods may be down by choice at once."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME, count
from sampan.api.int_or_percent import validate_int_or_percent
from sampan.api.kind import Column, Kind
from sampan.api.resources import POD_DISRUPTION_BUDGETS
from sampan.api.selector_rules import validate_label_selector
from sampan.api.strategy import (
    counting_from_zero,
    create_with_generation,
    status_subresource,
    update_with_generation,
    zero_status,
)
from sampan.apimachinery.field import FieldError, Path, invalid, not_supported
from sampan.apimachinery.object import Object, dig

_EVICTION_POLICIES = ("AlwaysAllow", "IfHealthyBudget")
_COUNTED = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")


def default(obj: Object) -> None:
    zero_status(obj, *_COUNTED)


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors: list[FieldError] = []
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        errors.append(invalid(path, {}, "minAvailable and maxUnavailable cannot be both set"))
    for key in ("minAvailable", "maxUnavailable"):
        if spec.get(key) is not None:
            errors += validate_int_or_percent(spec[key], path.child(key))
    errors += validate_label_selector(spec.get("selector"), path.child("selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in _EVICTION_POLICIES:
        errors.append(not_supported(path.child("unhealthyPodEvictionPolicy"), policy, _EVICTION_POLICIES))
    return errors


def validate_status(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
        value = dig(new, "status", key, default=0)
        if value < 0:
            errors.append(invalid(Path("status").child(key), value, "must be greater than or equal to 0"))
    return errors


def _bound(key: str, obj: Object) -> str:
    value = dig(obj, "spec", key)
    return "N/A" if value is None else str(value)


def min_available(obj: Object, now: datetime) -> str:
    return _bound("minAvailable", obj)


def max_unavailable(obj: Object, now: datetime) -> str:
    return _bound("maxUnavailable", obj)


POD_DISRUPTION_BUDGET = Kind(
    resource=POD_DISRUPTION_BUDGETS,
    definition="io.k8s.api.policy.v1.PodDisruptionBudget",
    singular="poddisruptionbudget",
    short_names=("pdb",),
    default=default,
    prepare_create=counting_from_zero(create_with_generation, *_COUNTED),
    prepare_update=update_with_generation,
    validate=validate,
    columns=(
        NAME,
        Column("Min Available", "string", min_available, "The minimum number of pods that must be available."),
        Column("Max Unavailable", "string", max_unavailable, "The maximum number of pods that may be unavailable."),
        Column("Allowed Disruptions", "integer", count("status", "disruptionsAllowed"),
               "Calculated number of pods that may be disrupted at this time."),
        AGE,
    ),
    subresources=status_subresource(validate_status),
)
