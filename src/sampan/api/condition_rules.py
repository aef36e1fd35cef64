"""What a list of `metav1.Condition` must keep to, in upstream's words (apimachinery/pkg/apis/meta/v1/validation)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sampan.apimachinery.field import FieldError, Path, duplicate, invalid, not_supported, required, too_long
from sampan.apimachinery.names import pattern_message, qualified_name
from sampan.apimachinery.object import Object

_REASON: Final = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_REASON_WORDS: Final = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_'"
)
_LONGEST_REASON: Final = 1024
_LONGEST_MESSAGE: Final = 32 * 1024


def validate_conditions(conditions: Sequence[Object], path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, condition in enumerate(conditions):
        at, kind = path.index(position), condition.get("type") or ""
        if kind in seen:
            errors.append(duplicate(at.child("type"), kind))
        seen.add(kind)
        errors += _validate_condition(condition, at)
    return errors


def _validate_condition(condition: Object, path: Path) -> list[FieldError]:
    kind, status = condition.get("type") or "", condition.get("status") or ""
    reason, message = condition.get("reason") or "", condition.get("message") or ""
    errors = [invalid(path.child("type"), kind, text) for text in qualified_name(kind)]
    if status not in ("True", "False", "Unknown"):
        errors.append(not_supported(path.child("status"), status, ("True", "False", "Unknown")))
    if (condition.get("observedGeneration") or 0) < 0:
        detail = "must be greater than or equal to zero"
        errors.append(invalid(path.child("observedGeneration"), condition["observedGeneration"], detail))
    if not condition.get("lastTransitionTime"):
        errors.append(required(path.child("lastTransitionTime"), "must be set"))
    if len(reason) > _LONGEST_REASON:
        errors.append(too_long(path.child("reason"), _LONGEST_REASON))
    if not reason:
        errors.append(required(path.child("reason"), "must be set"))
    elif not re.fullmatch(_REASON, reason):
        text = pattern_message(_REASON_WORDS, _REASON, "my_name", "MY_NAME", "MyName", "ReasonA,ReasonB",
                               "ReasonA:ReasonB")
        errors.append(invalid(path.child("reason"), reason, text))
    if len(message) > _LONGEST_MESSAGE:
        errors.append(too_long(path.child("message"), _LONGEST_MESSAGE))
    return errors
