"""IntOrString fields that hold a count or a percentage, as `maxUnavailable: 25%`."""

from __future__ import annotations

from typing import Any

from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.names import percent


def validate_int_or_percent(value: Any, path: Path) -> list[FieldError]:
    """A whole number that is not negative, or a percentage up to any height."""
    if isinstance(value, str):
        return [invalid(path, value, why) for why in percent(value)]
    if isinstance(value, int) and value < 0:
        return [invalid(path, value, "must be greater than or equal to 0")]
    return []


def percent_of(value: Any) -> int | None:
    """The number of a valid percentage; None for anything else."""
    if isinstance(value, str) and not percent(value):
        return int(value[:-1])
    return None


def at_most_whole(value: Any, path: Path) -> list[FieldError]:
    """A percentage may not exceed 100%."""
    found = percent_of(value)
    return [invalid(path, value, "must not be greater than 100%")] if found is not None and found > 100 else []


def is_zero(value: Any) -> bool:
    """True for 0 and 0%."""
    return value == 0 or percent_of(value) == 0
