"""CEL's values as plain Python data: equality, order, arithmetic, parts. Raises EvaluationError, in cel-go's words."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any, Final

from sampan.apimachinery.cel import opaque
from sampan.apimachinery.cel.errors import EvaluationError

_LEAST_INT, _MOST_INT = -(2**63), 2**63 - 1
_NUMBERS: Final = (int, float)


def no_overload() -> EvaluationError:
    return EvaluationError("no such overload")


@dataclass(frozen=True, slots=True)
class Optional:
    """`has`: whether there is a value."""

    has: bool
    value: Any = None


NONE: Final = Optional(False)


class WithDefault(dict[str, Any]):
    """A map that has an empty map under every other key, though `in` does not say so."""

    def __missing__(self, key: str) -> Any:
        return {}


def equal(left: Any, right: Any) -> bool:
    """Numbers of all kinds are compared by value; anything else of different types differs."""
    if type(left) is str and type(right) is str:
        return left == right
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(
            equal(value, right[key]) for key, value in left.items()
        )
    if isinstance(left, Optional) and isinstance(right, Optional):
        return left.has == right.has and equal(left.value, right.value)
    return bool(left == right)


def is_number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def size(value: Any) -> int:
    if isinstance(value, str | bytes | bytearray | list | dict):
        return len(value)
    raise no_overload()


def in_range(value: int) -> int:
    if _LEAST_INT <= value <= _MOST_INT:
        return value
    raise EvaluationError("integer overflow")


def contains(item: Any, container: Any) -> bool:
    if isinstance(container, dict):
        return _key(item) in container
    if isinstance(container, list):
        return any(equal(item, one) for one in container)
    raise no_overload()


def part(container: Any, key: Any) -> Any:
    """`container[key]`, or a field of it."""
    if isinstance(container, dict):
        key = _key(key)
        if key in container or isinstance(container, WithDefault):
            return container[key]
        raise EvaluationError(f"no such key: {_worded(key)}")
    if isinstance(container, list) and is_number(key):
        if key == int(key) and 0 <= key < len(container):
            return container[int(key)]
        raise EvaluationError(f"index out of bounds: {int(key)}")
    if isinstance(container, Optional):
        return maybe_part(container, key)
    if isinstance(container, list):
        raise EvaluationError(f"unsupported index type '{_type_name(key)}' in list")
    raise EvaluationError(f"no such key: {_worded(key)}")


def _type_name(value: Any) -> str:
    names = ((bool, "bool"), (str, "string"), (bytes, "bytes"), (list, "list"), (dict, "map"))
    return next((name for type, name in names if isinstance(value, type)), "null_type" if value is None else "dyn")


def _worded(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def maybe_part(container: Any, key: Any) -> Optional:
    """`container.?key`"""
    if isinstance(container, Optional):
        return maybe_part(container.value, key) if container.has else NONE
    if isinstance(container, dict):
        return Optional(True, container[key]) if _key(key) in container else NONE
    if isinstance(container, list) and is_number(key):
        return Optional(True, container[int(key)]) if 0 <= key < len(container) and key == int(key) else NONE
    raise no_overload()


def has_part(container: Any, key: str) -> bool:
    if isinstance(container, Optional):
        return container.has and has_part(container.value, key)
    if isinstance(container, dict):
        return key in container
    raise no_overload()


def _key(key: Any) -> Any:
    if isinstance(key, str | int | float):
        return key
    raise no_overload()


def is_zero(value: Any) -> bool:
    return value is None or (not value if isinstance(value, str | bytes | list | dict | int | float) else False)


def as_python(value: Any) -> Any:
    """As the library gives it to functions that are written in Python: with their times."""
    if isinstance(value, list):
        return [as_python(item) for item in value]
    name = opaque.type_of(value)
    if name == "google.protobuf.Timestamp":
        return value.ToDatetime(datetime.UTC)
    return value.ToTimedelta() if name == "google.protobuf.Duration" else value


def shown(value: Any) -> Any:
    """As the library takes it: it gives times that it does not take back."""
    if isinstance(value, datetime.datetime):
        from google.protobuf.timestamp_pb2 import Timestamp

        stamp = Timestamp()
        stamp.FromDatetime(value)
        return stamp
    if isinstance(value, datetime.timedelta):
        from google.protobuf.duration_pb2 import Duration

        span = Duration()
        span.FromTimedelta(value)
        return span
    if isinstance(value, bytearray):
        return bytes(value)
    return [shown(item) for item in value] if isinstance(value, list) else value
