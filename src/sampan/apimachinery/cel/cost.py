"""What an expression may cost at most, in CEL's units, before it ever runs.

The rules are cel-go's: an identifier and a selection cost 1, a call what its function costs, a loop its body times the
size of what it goes over; text costs a tenth of a unit a character. Sizes come from what is declared of the variable
(`declared.Declared`), followed along the path by which a value was reached (`self`, a field, @items, @values, @keys).
The functions that Kubernetes adds are in `call_cost.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from sampan.apimachinery.cel import call_cost
from sampan.apimachinery.cel.call_cost import Path
from sampan.apimachinery.cel.checked import Expr, Loop
from sampan.apimachinery.cel.declared import KEY, Declared
from sampan.apimachinery.cel.span import MOST, ONE, UNKNOWN, ZERO, Span, exactly

LIST_COST, MAP_COST, STRUCT_COST = 10, 30, 40
_SCALARS: Final = frozenset({"bool", "int", "uint", "double", "timestamp", "duration"})
_ACCUMULATORS: Final = frozenset({"@result", "__result__"})


class Entries(NamedTuple):
    """Sizes of the keys and values of a container that an expression made."""

    kind: str
    key: Span
    value: Span

    def union(self, other: Entries | None) -> Entries | None:
        return None if other is None else Entries(self.kind, self.key.union(other.key), self.value.union(other.value))


@dataclass(slots=True)
class _Local:
    """A variable of a loop or of cel.bind."""

    path: Path
    size: Span | None
    entries: Entries | None
    declared: Declared | None


class Estimate:
    """Of one expression; `cost()` is the answer."""

    def __init__(self, expr: Expr, root: Declared, variables: tuple[str, ...] = ("self", "oldSelf")) -> None:
        """`root` is what is declared of the `variables`, all alike."""
        self._expr = expr
        self._root = root
        self._variables = variables
        self._paths: dict[int, Path] = {}
        self._sizes: dict[int, Span] = {}
        self._entries: dict[int, Entries] = {}
        self._declared: dict[int, Declared | None] = {}
        self._locals: dict[str, list[_Local]] = {}

    def cost(self) -> Span:
        return self._cost(self._expr)

    # What is known of a node

    def kind(self, expr: Expr) -> str:
        """Of its value; dyn if nobody knows."""
        known = self.declared(expr)
        return known.kind if known is not None else expr.type

    def declared(self, expr: Expr) -> Declared | None:
        return self._declared.get(expr.id)

    def path(self, expr: Expr) -> Path:
        if expr.kind == "ident" and (local := self._local(expr.name)) is not None:
            return local.path
        return self._paths.get(expr.id, ())

    def size(self, expr: Expr) -> Span:
        """UNKNOWN if nobody knows."""
        found = self.known_size(expr)
        return UNKNOWN if found is None else found

    def known_size(self, expr: Expr) -> Span | None:
        if expr.id in self._sizes:
            return self._sizes[expr.id]
        if expr.kind == "const":
            return exactly(expr.size)
        if expr.kind in ("list", "map"):
            return exactly(len(expr.args) // (2 if expr.kind == "map" else 1))
        found = self.size_at(self.path(expr))
        if found is not None:
            self._sizes[expr.id] = found
            return found
        if self.kind(expr) in _SCALARS:
            return ONE
        local = self._local(expr.name) if expr.kind == "ident" else None
        return local.size if local is not None else None

    def size_at(self, path: Path) -> Span | None:
        """What is declared there. Paths begin with a variable, and all variables are declared alike."""
        if not path or path[0] in _ACCUMULATORS:
            return None
        at: Declared | None = self._root
        for step in path[1:]:
            assert at is not None
            at = {"@items": at.element, "@values": at.element}.get(step) or (
                (KEY if at.kind == "map" else None) if step == "@keys" else at.fields.get(step)
            )
            if at is None:
                return None
        assert at is not None
        return Span(0, at.size)

    def _entry_sizes(self, expr: Expr) -> Entries | None:
        found = self._entries.get(expr.id)
        if found is None and expr.kind == "ident" and (local := self._local(expr.name)) is not None:
            return local.entries
        return found

    # Variables

    def _local(self, name: str) -> _Local | None:
        stack = self._locals.get(name)
        return stack[-1] if stack else None

    @contextmanager
    def _bound(self, **variables: _Local) -> Iterator[None]:
        for name, local in variables.items():
            self._locals.setdefault(name, []).append(local)
        yield
        for name in variables:
            self._locals[name].pop()

    def _variable(self, expr: Expr) -> _Local:
        return _Local(self.path(expr), self.known_size(expr), self._entry_sizes(expr), self.declared(expr))

    def _part(self, over: Expr, *, key: bool) -> _Local:
        """What a loop's variable stands for: a key or index, or else a value."""
        entries, known = self._entry_sizes(over), self.declared(over)
        kind = entries.kind if entries is not None else self.kind(over)
        step = ("@indices" if kind == "list" else "@keys") if key else ("@items" if kind == "list" else "@values")
        size = None if entries is None else entries.key if key else entries.value
        part = (Declared("int") if kind == "list" else KEY) if key else known.element if known is not None else None
        return _Local((*self.path(over), step), size, None, part)

    # Costs

    def _cost(self, expr: Expr) -> Span:
        match expr.kind:
            case "const":
                self._declared[expr.id] = Declared(expr.type)
                return ZERO
            case "ident":
                return self._ident(expr)
            case "select":
                return self._select(expr)
            case "call":
                return self._call(expr)
            case "comprehension":
                assert expr.loop is not None
                return self._bind(expr, expr.loop) if _is_bind(expr.loop) else self._loop(expr, expr.loop)
        return self._made(expr)

    def _all(self, exprs: tuple[Expr, ...]) -> Span:
        total = ZERO
        for one in exprs:
            total = total.plus(self._cost(one))
        return total

    def _ident(self, expr: Expr) -> Span:
        local = self._local(expr.name)
        self._paths[expr.id] = local.path if local is not None else (expr.name,)
        known = local.declared if local is not None else self._root if expr.name in self._variables else None
        self._declared[expr.id] = known
        return ONE

    def _select(self, expr: Expr) -> Span:
        assert expr.target is not None
        total = self._cost(expr.target)
        if expr.is_test:  # has() costs nothing beside what it looks into
            return total
        known = self.declared(expr.target)
        self._declared[expr.id] = known and (known.fields.get(expr.name) or known.element)
        self._paths[expr.id] = (*self.path(expr.target), expr.name)
        return total if known is not None and known.kind not in ("map", "struct") else total.plus(ONE)

    def _made(self, expr: Expr) -> Span:
        """A list, a map or a message that the expression writes out."""
        total = self._all(expr.args)
        if expr.kind == "struct":
            return total.plus(exactly(STRUCT_COST))
        keys, values = (expr.args[::2], expr.args[1::2]) if expr.kind == "map" else ((), expr.args)
        key = self._together(keys) if expr.kind == "map" else ONE
        self._entries[expr.id] = Entries(expr.kind, key, self._together(values))
        element = self.declared(values[0]) if values else None
        self._declared[expr.id] = Declared(expr.kind, element=element)
        return total.plus(exactly(MAP_COST if expr.kind == "map" else LIST_COST))

    def _together(self, exprs: tuple[Expr, ...]) -> Span:
        if not exprs:
            return ZERO
        found = self.size(exprs[0])
        for one in exprs[1:]:
            found = found.union(self.size(one))
        return found

    def _bind(self, expr: Expr, loop: Loop) -> Span:
        total = self._cost(loop.range).plus(self._cost(loop.init))
        with self._bound(**{loop.accumulator: self._variable(loop.init)}):
            total = total.plus(self._cost(loop.result))
            self._same(expr, loop.result)
        return total

    def _loop(self, expr: Expr, loop: Loop) -> Span:
        total = self._cost(loop.range).plus(self._cost(loop.init))
        made = self._variable(loop.init)
        with self._bound(**{loop.accumulator: made}):
            if loop.second:
                parts = {
                    loop.variable: self._part(loop.range, key=True), loop.second: self._part(loop.range, key=False),
                }
            else:
                entries = self._entry_sizes(loop.range)
                kind = entries.kind if entries is not None else self.kind(loop.range)
                parts = {loop.variable: self._part(loop.range, key=kind != "list")}
            with self._bound(**parts):
                each = self._cost(loop.condition).plus(self._cost(loop.step))
            made.declared = self.declared(loop.step) or made.declared
            total = total.plus(self._cost(loop.result))
            self._declared[expr.id] = self.declared(loop.result)
        times = self.size(loop.range)
        if loop.init.kind == "const":
            self._set_size(expr, self.known_size(loop.init))
        elif loop.init.kind in ("list", "map"):
            self._set_size(expr, times)
            if (entries := self._entry_sizes(loop.step)) is not None:
                self._entries[expr.id] = entries
        return total.plus(times.times(each))

    def _set_size(self, expr: Expr, size: Span | None) -> None:
        if size is not None:
            self._sizes[expr.id] = size

    def _same(self, expr: Expr, other: Expr) -> None:
        """The two have one value."""
        self._set_size(expr, self.known_size(other))
        self._declared[expr.id] = self.declared(other)
        if (entries := self._entry_sizes(other)) is not None:
            self._entries[expr.id] = entries

    def _call(self, expr: Expr) -> Span:
        if expr.name == "dyn":
            total = self._cost(expr.args[0]).plus(ONE)
            self._same(expr, expr.args[0])
            return total
        costs = [self._cost(one) for one in expr.args]
        total = self._cost(expr.target) if expr.target is not None else ZERO
        if expr.name in ("_&&_", "_||_"):
            return total.plus(Span(costs[0].low, min(costs[0].high + costs[1].high, MOST)))
        if expr.name == "_?_:_":
            return self._conditional(expr, costs)
        for one in costs:
            total = total.plus(one)
        if expr.name in ("_[_]", "_[?_]"):
            return total.plus(self._index(expr))
        called = call_cost.of(self, expr)
        self._set_size(expr, called.size if called.size is not None else self.known_size(expr))
        if expr.name == "_+_":
            self._concatenated(expr)
        return total.plus(called.cost)

    def _conditional(self, expr: Expr, costs: list[Span]) -> Span:
        _, yes, no = expr.args
        self._sizes[expr.id] = self.size(yes).union(self.size(no))
        self._declared[expr.id] = self._of_either(yes, no)
        entries = self._entry_sizes(yes)
        if entries is not None and (both := entries.union(self._entry_sizes(no))) is not None:
            self._entries[expr.id] = both
        return costs[0].plus(costs[1].union(costs[2]))

    def _of_either(self, one: Expr, other: Expr) -> Declared | None:
        known, also = self.declared(one), self.declared(other)
        if known is not None and (known.kind != "list" or known.element is not None or also is None):
            return known
        return also or known

    def _index(self, expr: Expr) -> Span:
        over = expr.args[0]
        entries, known = self._entry_sizes(over), self.declared(over)
        self._declared[expr.id] = known.element if known is not None else None
        is_map = self.kind(over) == "map" if self.kind(over) != "dyn" else expr.args[1].type == "string"
        self._paths[expr.id] = (*self.path(over), "@values" if is_map else "@items")
        self._set_size(expr, entries.value if entries is not None else self.known_size(expr))
        return ONE

    def _concatenated(self, expr: Expr) -> None:
        one, other = expr.args
        self._declared[expr.id] = self._of_either(one, other)
        entries = self._entry_sizes(one)
        if entries is not None and (both := entries.union(self._entry_sizes(other))) is not None:
            self._entries[expr.id] = both


def _is_bind(loop: Loop) -> bool:
    return (
        loop.range.kind == "list" and not loop.range.args and loop.condition.value is False
        and loop.accumulator not in _ACCUMULATORS
    )
