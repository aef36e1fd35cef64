"""Quantities: `quantity("1.5Gi").isLessThan(quantity("2Gi"))`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sampan.apimachinery.cel.function import Function, method
from sampan.apimachinery.cel.opaque import QUANTITY, pack, text_of
from sampan.apimachinery.quantity import NANO, Quantity, QuantityError

_MAX_INT = 2**63 - 1


def _parse(text: str) -> Any:
    try:
        return pack(QUANTITY, str(Quantity.parse(text).nanos))
    except QuantityError as error:
        raise ValueError(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        Quantity.parse(text)
    except QuantityError:
        return False
    return True


def _nanos(value: Any) -> int:
    return int(text_of(value))


def _is_integer(value: Any) -> bool:
    return _nanos(value) % NANO == 0 and abs(_nanos(value)) <= _MAX_INT * NANO


def _as_integer(value: Any) -> int:
    if not _is_integer(value):
        raise ValueError("cannot convert value to integer")
    return _nanos(value) // NANO


def _compared(test: Callable[[int], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: test((_nanos(left) > _nanos(right)) - (_nanos(left) < _nanos(right)))


def _add(left: Any, right: Any) -> Any:
    return pack(QUANTITY, str(_nanos(left) + (right * NANO if isinstance(right, int) else _nanos(right))))


def _sub(left: Any, right: Any) -> Any:
    return pack(QUANTITY, str(_nanos(left) - (right * NANO if isinstance(right, int) else _nanos(right))))


FUNCTIONS = (
    Function("quantity", ("string",), QUANTITY, _parse),
    Function("isQuantity", ("string",), "bool", _is_quantity),
    method("sign", (QUANTITY,), "int", lambda value: (_nanos(value) > 0) - (_nanos(value) < 0)),
    method("isInteger", (QUANTITY,), "bool", _is_integer),
    method("asInteger", (QUANTITY,), "int", _as_integer),
    method("asApproximateFloat", (QUANTITY,), "double", lambda value: _nanos(value) / NANO),
    method("isGreaterThan", (QUANTITY, QUANTITY), "bool", _compared(lambda order: order > 0)),
    method("isLessThan", (QUANTITY, QUANTITY), "bool", _compared(lambda order: order < 0)),
    method("compareTo", (QUANTITY, QUANTITY), "int", _compared(lambda order: order)),
    method("add", (QUANTITY, QUANTITY), QUANTITY, _add),
    method("add", (QUANTITY, "int"), QUANTITY, _add),
    method("sub", (QUANTITY, QUANTITY), QUANTITY, _sub),
    method("sub", (QUANTITY, "int"), QUANTITY, _sub),
)
