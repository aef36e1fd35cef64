"""Label selectors: all requirements must hold; an empty selector selects everything, a missing one nothing."""

from __future__ import annotations

from typing import Any


def matches(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    if selector is None:
        return False
    return (
        all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
        and all(requirement_holds(one, labels) for one in selector.get("matchExpressions") or [])
    )


def requirement_holds(requirement: dict[str, Any], labels: dict[str, str]) -> bool:
    """One expression over labels. Where the key is missing, only NotIn and DoesNotExist hold."""
    key, operator, values = requirement["key"], requirement["operator"], requirement.get("values") or []
    if key not in labels:
        return operator in ("NotIn", "DoesNotExist")
    if operator == "In":
        return labels[key] in values
    if operator == "NotIn":
        return labels[key] not in values
    if operator == "Exists":
        return True
    if operator == "DoesNotExist":
        return False
    number = int(labels[key]) if labels[key].lstrip("-").isdigit() else None
    if number is None:
        return False
    return number > int(values[0]) if operator == "Gt" else number < int(values[0])
