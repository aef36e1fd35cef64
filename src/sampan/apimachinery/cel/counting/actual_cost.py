"""What a call costs once its arguments are known, and its result. The rules are cel-go's and Kubernetes'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, Final, TypeAlias

from sampan.apimachinery.cel import opaque
from sampan.apimachinery.cel.counting.most import AUTHORIZED
from sampan.apimachinery.cel.counting.values import Optional

_TEXT: Final = 0.1
_PATTERN: Final = 0.25
_BITS_IN_BYTE: Final = 8
Price: TypeAlias = Callable[[Sequence[Any], Any], int]
"""Of a call with these arguments, a method's target first among them, and this result."""


def price(name: str) -> Price | None:
    """None for functions that always cost 1."""
    return _PRICES.get(name)


def _equality(args: Sequence[Any], result: Any) -> int:
    return 1 if opaque.type_of(args[0]) else _shorter(args, result)


def _shorter(args: Sequence[Any], result: Any) -> int:
    return ceil(min(size(args[0]), size(args[1])) * _TEXT)


def _order(args: Sequence[Any], result: Any) -> int:
    return _shorter(args, result) if isinstance(args[0], str | bytes) else 1


def _first(args: Sequence[Any], result: Any) -> int:
    return ceil(size(args[0]) * _TEXT)


def _first_text(args: Sequence[Any], result: Any) -> int:
    return ceil(size(args[0]) * _TEXT) if isinstance(args[0], str | bytes) else 1


def _second(args: Sequence[Any], result: Any) -> int:
    return ceil(size(args[1]) * _TEXT)


def _sum(args: Sequence[Any], result: Any) -> int:
    return ceil((size(args[0]) + size(args[1])) * _TEXT) if isinstance(args[0], str | bytes) else 1


def _searched(args: Sequence[Any], result: Any) -> int:
    return ceil((size(args[0]) + 1) * _TEXT) * ceil(size(args[1]) * _PATTERN)


def _within_network(args: Sequence[Any], result: Any) -> int:
    return ceil(2 * size(args[0]) * _TEXT) + (_second(args, result) if isinstance(args[1], str) else 0)


def _sets(times: int) -> Price:
    return lambda args, result: 1 + times * size(args[0]) * size(args[1])


def size(value: Any) -> int:
    """1 of all that has none."""
    if isinstance(value, str | bytes | bytearray | list | dict):
        return len(value)
    if isinstance(value, Optional) and value.has:
        return size(value.value)
    return _address_bytes(value) if opaque.type_of(value) in (opaque.IP, opaque.CIDR) else 1


def _address_bytes(value: Any) -> int:
    address, _, prefix = opaque.text_of(value).partition("/")
    return ceil(int(prefix) / _BITS_IN_BYTE) if prefix else 16 if ":" in address else 4


def _all_of(args: Sequence[Any], result: Any) -> int:
    return _traversed(args[0])


def _traversed(value: Any) -> int:
    if isinstance(value, str | bytes):
        return int(len(value) * _TEXT)
    if isinstance(value, list):
        return sum(_traversed(item) for item in value)
    if isinstance(value, dict):
        return sum(_traversed(key) + _traversed(item) for key, item in value.items())
    return 1


_PRICES: Final[dict[str, Price]] = {
    "_==_": _equality, "_!=_": _equality, "_<_": _order, "_<=_": _order, "_>_": _order, "_>=_": _order, "_+_": _sum,
    "@in": lambda args, result: size(args[1]) if isinstance(args[1], list) else 1,
    **dict.fromkeys(("string", "bytes", "ip"), _first_text),
    **dict.fromkeys(("startsWith", "endsWith"), _second),
    **dict.fromkeys((
        "url", "lowerAscii", "upperAscii", "substring", "trim", "isIP", "isCIDR", "quantity", "isQuantity", "cidr",
        "semver", "isSemver", "strings.quote", "format", "jsonpatch.escapeKey",
    ), _first),
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), lambda args, result: ceil(size(args[0]) * 2 * _TEXT)),
    "join": lambda args, result: ceil(size(result) * 2 * _TEXT),
    "contains": lambda args, result: _first(args, result) * _second(args, result),
    **dict.fromkeys(("matches", "find", "findAll"), _searched),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _all_of),
    "sets.contains": _sets(1), "sets.intersects": _sets(1), "sets.equivalent": _sets(2),
    "containsIP": _within_network,
    "containsCIDR": lambda args, result: _within_network(args, result) + _first(args, result) + 1,
    "check": lambda args, result: AUTHORIZED,
}
