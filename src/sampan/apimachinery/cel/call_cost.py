"""What calls cost: the functions of CEL itself, and those that Kubernetes adds.

As in `cost.py` a call's cost is a span, and with it may come the size of its result, from which later calls get theirs.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple, Protocol, TypeAlias

from sampan.apimachinery.cel.checked import Expr
from sampan.apimachinery.cel.declared import Declared
from sampan.apimachinery.cel.span import MOST, ONE, UNKNOWN, ZERO, Span, exactly

Path: TypeAlias = "tuple[str, ...]"
"""The way by which a value was reached: a variable, then fields, @items, @values, @keys."""
TEXT_UNIT: Final = 0.1
"""A character that is looked at."""
PATTERN_UNIT: Final = 0.25
"""A character of a regular expression: each of its parts is guessed to be four."""
_AUTHORIZED: Final = exactly(350_000)
"""So much that an expression can ask twice."""
_ADDRESS: Final = Span(4, 16)
_TRAVERSED: Final = frozenset({"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"})
_TEXT_TO_TEXT: Final = frozenset({"lowerAscii", "upperAscii", "substring", "trim"})
_ORDERED: Final = frozenset({"_<_", "_<=_", "_>_", "_>=_"})
_TEXTS: Final = frozenset({"string", "bytes", "dyn"})


class Called(NamedTuple):
    """The cost of a call without its arguments, and the size of its result where it has one."""

    cost: Span
    size: Span | None = None


class Known(Protocol):
    """What is known of the parts of an expression (`cost.Estimate`)."""

    def kind(self, expr: Expr) -> str: ...
    def declared(self, expr: Expr) -> Declared | None: ...
    def path(self, expr: Expr) -> Path: ...
    def size(self, expr: Expr) -> Span: ...
    def size_at(self, path: Path) -> Span | None: ...


def of(known: Known, expr: Expr) -> Called:
    """The call's own cost, without its target's and arguments'."""
    found = _added(known, expr)
    return found if found is not None else _standard(known, expr)


def _standard(known: Known, expr: Expr) -> Called:
    """CEL's own functions; those that are not named cost 1."""
    sizes = [known.size(one) for one in expr.args]
    target = known.size(expr.target) if expr.target is not None else None
    match expr.name, target, sizes:
        case ("_==_" | "_!=_", _, [left, right]):
            return _compared(left, right)
        case (name, _, [left, right]) if name in _ORDERED and _are_texts(known, expr):
            return _compared(left, right)
        case ("_+_", _, [left, right]):
            return _added_up(known, expr, left, right)
        case ("@in", _, [_, container]) if known.kind(expr.args[1]) in ("list", "dyn"):
            return Called(container.scaled(1))
        case ("startsWith" | "endsWith", Span(), [part]):
            return Called(part.scaled(TEXT_UNIT))
        case ("contains", Span() as text, [part]):
            return Called(text.scaled(TEXT_UNIT).times(part.scaled(TEXT_UNIT)))
        case ("matches", Span() as text, [pattern]):
            return Called(_searched(text, pattern))
        case ("format", Span() as text, [values]):
            return Called(text.scaled(TEXT_UNIT), text.plus(values))
        case ("bytes", None, [text]) if known.kind(expr.args[0]) in ("string", "dyn"):
            return Called(text.scaled(TEXT_UNIT), Span(text.low, min(text.high * 4, MOST)))
        case ("string", None, [data]) if known.kind(expr.args[0]) == "bytes":
            return Called(data.scaled(TEXT_UNIT), Span(data.low // 4, data.high))
        case ("strings.quote", None, [text]):
            return Called(text.scaled(TEXT_UNIT), Span(text.low + 2, min(text.high * 2 + 2, MOST)))
    return Called(ONE)


def _compared(left: Span, right: Span) -> Called:
    """As far as the shorter one goes."""
    most = min(left.high, right.high)
    return Called(Span(1 if most else 0, most).scaled(TEXT_UNIT))


def _are_texts(known: Known, expr: Expr) -> bool:
    return all(known.kind(one) in _TEXTS for one in expr.args)


def _added_up(known: Known, expr: Expr, left: Span, right: Span) -> Called:
    """Text is copied; lists are joined at once."""
    kinds = {known.kind(one) for one in expr.args}
    if "list" in kinds:
        return Called(ONE, left.plus(right))
    if kinds & {"string", "bytes"} or kinds == {"dyn"}:
        return Called(left.plus(right).scaled(TEXT_UNIT), left.plus(right))
    return Called(ONE)


def _searched(text: Span, pattern: Span) -> Span:
    """One more than the text is long, so that no pattern is free."""
    return text.plus(ONE).scaled(TEXT_UNIT).times(pattern.scaled(PATTERN_UNIT))


def _added(known: Known, expr: Expr) -> Called | None:
    """Kubernetes' functions; None for others."""
    sizes = [known.size(one) for one in expr.args]
    target = known.size(expr.target) if expr.target is not None else None
    match expr.name, target, sizes:
        case ("check", Span(), _):
            return Called(_AUTHORIZED)
        case (name, Span() as over, _) if name in _TRAVERSED:
            return _traversed(known, expr, over)
        case ("url", None, [text]):
            return Called(text.scaled(TEXT_UNIT))
        case (name, Span() as text, _) if name in _TEXT_TO_TEXT:
            return Called(text.scaled(TEXT_UNIT), text)
        case ("replace", Span() as text, [old, new, *_]):
            return Called(text.scaled(2 * TEXT_UNIT), _replaced(text, old, new))
        case ("split", Span() as text, _):
            return Called(text.scaled(2 * TEXT_UNIT), Span(0, text.high))
        case ("join", Span() as over, separators):
            size = _joined(known, expr, over, separators)
            return Called(size.scaled(TEXT_UNIT), size)
        case ("find" | "findAll", Span() as text, [pattern, *_]):
            return Called(_searched(text, pattern), Span(0, text.high))
        case ("containsIP" | "containsCIDR", Span(), [other]):
            cost = _ADDRESS.plus(_ADDRESS).scaled(TEXT_UNIT)
            if expr.name == "containsCIDR":
                cost = cost.plus(_ADDRESS.scaled(TEXT_UNIT)).plus(ONE)
            return Called(cost.plus(other.scaled(TEXT_UNIT)) if known.kind(expr.args[0]) == "string" else cost)
    return None


def _traversed(known: Known, expr: Expr, over: Span) -> Called:
    """A list's items are compared one by one, and text in them character by character."""
    assert expr.target is not None
    if known.kind(expr.target) in ("string", "bytes"):
        return Called(over.scaled(TEXT_UNIT))
    each = ONE
    item = _item_size(known, expr.target)
    if item is not None:
        each = each.plus(item.scaled(TEXT_UNIT))
    return Called(over.times(each))


def _item_size(known: Known, over: Expr) -> Span | None:
    """Of a list of texts; None for other lists."""
    declared = known.declared(over)
    element = declared.element if declared is not None else None
    if element is None or element.kind not in ("string", "bytes"):
        return None
    path = known.path(over)
    found = known.size_at((*path, "@items")) if path else None
    return UNKNOWN if found is None else found


def _replaced(text: Span, old: Span, new: Span) -> Span:
    """The shortest and the longest that can become of it."""
    if old.low == 0:
        most = min(text.high + 1, MOST) * new.high + text.high
    elif new.high <= old.low:
        most = text.high
    else:
        most = math.ceil(text.high / old.low) * new.high
    if old.high == 0:
        least = min(text.low + 1, MOST) * new.low + text.low
    elif old.high <= new.low:
        least = text.low
    else:
        least = math.ceil(text.low / old.high) * new.low
    return Span(min(least, MOST), min(most, MOST))


def _joined(known: Known, expr: Expr, over: Span, separators: list[Span]) -> Span:
    assert expr.target is not None
    item = _item_size(known, expr.target)
    size = over.times(item) if item is not None else ZERO
    if separators:
        between = Span(max(over.low - 1, 0), max(over.high - 1, 0))
        size = size.plus(separators[0].times(between))
    return size
