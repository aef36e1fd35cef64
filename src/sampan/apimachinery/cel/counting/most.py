"""The most that an expression can cost on data in which no list, map or text is larger than some size.

Far above the truth and quickly found: where it is below a limit, nobody has to count. It follows an expression as it
would be evaluated, with every branch taken, every loop run to its end, and for every value one number, which neither
its own size nor that of anything in it exceeds. Guarantees: never below what `counter` counts.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from sampan.apimachinery.cel.checked import Expr, Loop
from sampan.apimachinery.cel.cost import LIST_COST, MAP_COST, STRUCT_COST
from sampan.apimachinery.cel.span import MOST

AUTHORIZED: Final = 350_000
_SCALARS: Final = frozenset({"bool", "int", "uint", "double", "timestamp", "duration", "null", "type"})
_SCALAR_SIZE: Final = 64
"""No number or time takes more characters."""
_TRAVERSALS: Final = frozenset({"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"})
_KEEPING: Final = frozenset({
    "_[_]", "_[?_]", "_?._", "dyn", "lowerAscii", "upperAscii", "substring", "trim", "charAt", "find", "findAll",
    "optional.of", "optional.ofNonZeroValue", "optional.none", "value", "orValue", "or", "reverse", "slice", "sort",
    "distinct", "split", "string", "first", "last",
    "group", "resource", "subresource", "namespace", "name", "serviceAccount", "path", "check", "allowed", "reason",
    "quantity", "add", "sub", "url", "getHost", "getHostname", "getPort", "getEscapedPath", "getScheme", "getQuery",
    "ip", "cidr", "masked", "semver",
})
"""Functions whose results, and what is in them, are no larger than their arguments together."""


class _Found(NamedTuple):
    cost: int
    size: int


_Sizes: TypeAlias = dict[str, int]


def most(expr: Expr, size: int) -> int:
    """`size`: the largest of all lists, maps and texts in the data."""
    return min(_of(expr, size, {}).cost, MOST)


def _of(expr: Expr, data: int, local: _Sizes) -> _Found:
    if expr.kind == "const":
        return _Found(0, max(expr.size, 1))
    if expr.kind == "ident":
        return _Found(1, local.get(expr.name, max(data, _SCALAR_SIZE)))
    if expr.kind == "select":
        assert expr.target is not None
        found = _of(expr.target, data, local)
        return _Found(found.cost + 1, found.size)
    if expr.kind == "comprehension":
        assert expr.loop is not None
        return _loop(expr.loop, data, local)
    parts = [_of(one, data, local) for one in (*((expr.target,) if expr.target is not None else ()), *expr.args)]
    cost = sum(part.cost for part in parts)
    if expr.kind == "call":
        return _call(expr, cost, [part.size for part in parts])
    own = {"list": LIST_COST, "map": MAP_COST}.get(expr.kind, STRUCT_COST)
    return _Found(cost + own, max([len(parts), *(part.size for part in parts)]))


def _loop(loop: Loop, data: int, local: _Sizes) -> _Found:
    over, init = _of(loop.range, data, local), _of(loop.init, data, local)
    is_bind = loop.range.kind == "list" and not loop.range.args
    times = 0 if is_bind else over.size
    inner = {**local, loop.accumulator: init.size, loop.variable: over.size}
    if loop.second:
        inner[loop.second] = over.size
    condition, step = _of(loop.condition, data, inner), _of(loop.step, data, inner)
    made = init.size if is_bind or loop.init.kind == "const" else max(times, step.size)
    result = _of(loop.result, data, {**local, loop.accumulator: made})
    return _Found(over.cost + init.cost + times * (condition.cost + step.cost) + condition.cost + result.cost,
                  result.size)


def _call(expr: Expr, cost: int, sizes: list[int]) -> _Found:
    return _Found(cost + _own(expr.name, sizes), _result(expr, sizes))


def _own(name: str, sizes: list[int]) -> int:
    """Without its arguments."""
    match name:
        case "check":
            return AUTHORIZED
        case "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_":
            return min(sizes) // 10 + 1
        case "startsWith" | "endsWith":
            return sizes[1] // 10 + 1
        case "@in":
            return sizes[1] + 1
        case "join":
            return _joined(sizes)
        case "contains":
            return (sizes[0] // 10 + 1) * (sizes[1] // 10 + 1)
        case "matches" | "find" | "findAll":
            return (sizes[0] // 10 + 2) * (sizes[1] // 4 + 1)
        case "sets.contains" | "sets.intersects" | "sets.equivalent":
            return 1 + 2 * sizes[0] * sizes[1]
    # of all others none costs more than two tenths of a unit for each part of its arguments
    return MOST if name in _TRAVERSALS else sum(sizes) // 5 + 10


def _joined(sizes: list[int]) -> int:
    return (sizes[0] + 1) * (sizes[0] + (sizes[1] if len(sizes) > 1 else 0) + 1)


def _result(expr: Expr, sizes: list[int]) -> int:
    together = sum(sizes)
    match expr.name:
        case "_?_:_":
            return max(sizes[1:])
        case "_+_":
            return max(together, _SCALAR_SIZE)
        case "join":
            return _joined(sizes)
        case "replace":
            return (sizes[0] + 1) * (sizes[2] + 1) if len(sizes) > 2 else MOST
    if expr.type in _SCALARS or expr.name in _KEEPING:
        return max(together, _SCALAR_SIZE)
    return MOST
