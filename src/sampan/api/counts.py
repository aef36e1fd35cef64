"""Rules of numbers that count something: never negative, and a part never above the whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.object import Object


def not_negative(value: Any, path: Path) -> list[FieldError]:
    if value is not None and value < 0:
        return [invalid(path, value, "must be greater than or equal to 0")]
    return []


def all_not_negative(counts: Object, keys: Iterable[str], path: Path) -> list[FieldError]:
    return [error for key in keys for error in not_negative(counts.get(key), path.child(key))]


def not_above(counts: Object, keys: Iterable[str], whole: tuple[str, str], path: Path) -> list[FieldError]:
    """`whole` is the count that bounds the others, and what to call it."""
    key_of_whole, words = whole
    bound = counts.get(key_of_whole) or 0
    return [invalid(path.child(key), counts.get(key) or 0, f"cannot be greater than {words}")
            for key in keys if (counts.get(key) or 0) > bound]
