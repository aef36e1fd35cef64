"""CEL's functions for the evaluator that counts.

Those that rules use most are here; what sampan adds to CEL is called as it is; anything else is left to the CEL
library, one call at a time.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from sampan.apimachinery.cel import opaque
from sampan.apimachinery.cel.counting import values
from sampan.apimachinery.cel.counting.results import plain
from sampan.apimachinery.cel.counting.values import NONE, Optional, in_range, is_number, no_overload
from sampan.apimachinery.cel.errors import EvaluationError, evaluation_error
from sampan.apimachinery.cel.function import Function

Call: TypeAlias = Callable[[Sequence[Any]], Any]
_TYPES: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str), "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "double": lambda value: isinstance(value, float), "bytes": lambda value: isinstance(value, bytes),
    "dyn": lambda value: True,
}


def call(name: str, count: int, *, is_method: bool) -> Call:
    """What a call of that name does with so many arguments, a method's target among them."""
    native = NATIVE.get((name, count))
    fallback = Library(name, count, is_method=is_method)
    if native is not None:
        return _guarded(native, fallback)
    added = _added().get((name, count, is_method))
    return fallback if added is None else _chosen(added, fallback)


class Unknown(Exception):
    """The function here does not know such arguments."""


def _guarded(native: Callable[..., Any], fallback: Call) -> Call:
    def run(args: Sequence[Any]) -> Any:
        try:
            return native(*args)
        except Unknown:
            return fallback(args)

    return run


@functools.cache
def _added() -> dict[tuple[str, int, bool], list[Function]]:
    from sampan.apimachinery.cel import library

    found: dict[tuple[str, int, bool], list[Function]] = {}
    for one in library.FUNCTIONS:
        found.setdefault((one.name, len(one.takes), one.member), []).append(one)
    return found


def _chosen(overloads: Sequence[Function], fallback: Call) -> Call:
    def run(args: Sequence[Any]) -> Any:
        for one in overloads:
            if all(map(_is_of, args, one.takes)):
                try:
                    return values.shown(one.run(*map(values.as_python, args)))
                except ValueError as error:
                    raise evaluation_error(str(error)) from None
                except TypeError:
                    raise no_overload() from None
        return fallback(args)

    return run


def _is_of(value: Any, type: str) -> bool:
    if type.startswith("list("):
        return isinstance(value, list)
    known = _TYPES.get(type)
    return known(value) if known is not None else opaque.type_of(value) == type


class Library:
    """One call of the CEL library's."""

    def __init__(self, name: str, count: int, *, is_method: bool) -> None:
        self._names = [f"a{position}" for position in range(count)]
        self._parsed = _parsed(name, self._names, is_method=is_method)
        self._expression: Any = None

    def __call__(self, args: Sequence[Any]) -> Any:
        env = _environment(len(self._names))
        try:
            if self._expression is None:
                self._expression = env.deserialize(self._parsed)
            data = dict(zip(self._names, map(values.shown, args), strict=True))
            return plain(self._expression.eval(env.Activation(data)))
        except RuntimeError as error:
            raise evaluation_error(str(error)) from None


@functools.cache
def _environment(count: int) -> Any:
    from sampan.apimachinery.cel import library

    return library.new_env({f"a{position}": "dyn" for position in range(count)})


def _parsed(name: str, names: Sequence[str], *, is_method: bool) -> bytes:
    """The call as a `cel.expr.ParsedExpr`, packed in an Any."""
    idents = [_number(2, position + 1) + _field(4, _field(1, one.encode())) for position, one in enumerate(names)]
    target = _field(1, idents[0]) if is_method else b""
    args = b"".join(_field(3, one) for one in (idents[1:] if is_method else idents))
    expr = _number(2, len(names) + 1) + _field(6, target + _field(2, name.encode()) + args)
    return _field(1, b"type.googleapis.com/cel.expr.ParsedExpr") + _field(2, _field(2, expr))


def _number(field: int, number: int) -> bytes:
    return bytes((field << 3, number))


def _field(field: int, content: bytes) -> bytes:
    size, length = len(content), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes((field << 3 | 2,)) + bytes(length) + content


def identifier(name: str) -> Any:
    """What a name that is no variable stands for: a type."""
    env = _environment(0)
    try:
        return plain(env.compile(name).eval(env.Activation({})))
    except (RuntimeError, ValueError) as error:
        raise evaluation_error(str(error)) from None


# Those that are used most

def _plus(left: Any, right: Any) -> Any:
    if type(left) is int and type(right) is int:
        return in_range(left + right)
    if type(left) is type(right) and isinstance(left, str | float | list | bytes):
        return left + right
    raise Unknown


def _minus(left: Any, right: Any) -> Any:
    return _calculated(left, right, lambda: left - right)


def _times(left: Any, right: Any) -> Any:
    return _calculated(left, right, lambda: left * right)


def _divided(left: Any, right: Any) -> Any:
    if type(left) is not int or type(right) is not int:
        raise Unknown
    if right == 0:
        raise EvaluationError("division by zero")
    return in_range(abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1))


def _rest(left: Any, right: Any) -> Any:
    if type(left) is not int or type(right) is not int:
        raise Unknown
    if right == 0:
        raise EvaluationError("modulus by zero")
    return abs(left) % abs(right) * (-1 if left < 0 else 1)


def _calculated(left: Any, right: Any, run: Callable[[], Any]) -> Any:
    if type(left) is int and type(right) is int:
        return in_range(run())
    if type(left) is float and type(right) is float:
        return run()
    raise Unknown


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def run(left: Any, right: Any) -> bool:
        if type(left) is int and type(right) is int:
            return compare(left, right)
        if (is_number(left) and is_number(right)) or (
            type(left) is type(right) and isinstance(left, str | bool | bytes)
        ):
            return compare(left, right)
        raise Unknown

    return run


def _not(value: Any) -> bool:
    if isinstance(value, bool):
        return not value
    raise no_overload()


def _on_texts(run: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    def checked(text: Any, other: Any) -> bool:
        if isinstance(text, str) and isinstance(other, str):
            return run(text, other)
        raise Unknown

    return checked


def _opened(value: Any) -> Any:
    if not isinstance(value, Optional):
        raise no_overload()
    if not value.has:
        raise EvaluationError("optional.none() dereference")
    return value.value


def _has_value(value: Any) -> bool:
    if not isinstance(value, Optional):
        raise no_overload()
    return value.has


def _inserted(made: Any, key: Any, value: Any) -> Any:
    """A loop's own map: nobody else has it."""
    if key in made:
        raise EvaluationError(f"insert failed: key '{key}' already exists")
    made[key] = value
    return made


def _all_inserted(made: Any, entries: Any) -> Any:
    for key, value in entries.items():
        _inserted(made, key, value)
    return made


NATIVE: Final[dict[tuple[str, int], Callable[..., Any]]] = {
    ("_==_", 2): values.equal, ("_!=_", 2): lambda left, right: not values.equal(left, right),
    ("_<_", 2): _ordered(operator.lt),
    ("_<=_", 2): _ordered(operator.le),
    ("_>_", 2): _ordered(operator.gt),
    ("_>=_", 2): _ordered(operator.ge),
    ("_+_", 2): _plus, ("_-_", 2): _minus, ("_*_", 2): _times, ("_/_", 2): _divided, ("_%_", 2): _rest,
    ("!_", 1): _not, ("@in", 2): values.contains, ("_[_]", 2): values.part, ("_?._", 2): values.maybe_part,
    ("_[?_]", 2): values.maybe_part, ("size", 1): values.size, ("dyn", 1): lambda value: value,
    ("startsWith", 2): _on_texts(str.startswith), ("endsWith", 2): _on_texts(str.endswith),
    ("contains", 2): _on_texts(lambda text, part: part in text),
    ("optional.of", 1): lambda value: Optional(True, value), ("optional.none", 0): lambda: NONE,
    ("optional.ofNonZeroValue", 1): lambda value: NONE if values.is_zero(value) else Optional(True, value),
    ("hasValue", 1): _has_value, ("value", 1): _opened, ("cel.@mapInsert", 3): _inserted,
    ("cel.@mapInsert", 2): _all_inserted,
}
