"""What makes a LabelSelector valid (apimachinery's metav1 validation), wherever a kind has one."""

from __future__ import annotations

from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, required
from sampan.apimachinery.metadata import validate_labels
from sampan.apimachinery.names import label_value, qualified_name
from sampan.apimachinery.object import Object


def validate_label_selector(selector: Object | None, path: Path) -> list[FieldError]:
    """Keys are qualified names; In and NotIn need values, Exists and DoesNotExist have none."""
    if not selector:
        return []
    errors = list(validate_labels(selector.get("matchLabels"), path.child("matchLabels")))
    for position, rule in enumerate(selector.get("matchExpressions") or []):
        errors += _requirement(rule, path.child("matchExpressions").index(position))
    return errors


def _requirement(rule: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    operator, values = rule.get("operator", ""), rule.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.append(forbidden(path.child("values"), "may not be specified when `operator` is 'Exists' or "
                                                          "'DoesNotExist'"))
    else:
        errors.append(invalid(path.child("operator"), operator, "not a valid selector operator"))
    key = rule.get("key", "")
    errors += [invalid(path.child("key"), key, why) for why in qualified_name(key)]
    for position, value in enumerate(values):
        errors += [invalid(path.child("values").index(position), value, why) for why in label_value(value)]
    return errors


def is_empty(selector: Object | None) -> bool:
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def matches(selector: Object | None, labels: dict[str, str]) -> bool:
    """Whether a valid LabelSelector selects these labels; a missing selector selects nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(rule, labels) for rule in selector.get("matchExpressions") or [])


def _holds(rule: Object, labels: dict[str, str]) -> bool:
    key, operator, values = rule.get("key", ""), rule.get("operator"), rule.get("values") or []
    if operator == "In":
        return key in labels and labels[key] in values
    if operator == "NotIn":
        return key not in labels or labels[key] not in values
    return (key in labels) == (operator == "Exists")
