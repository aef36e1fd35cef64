"""An evaluator that counts what it does, in the units of `cost.py`, and stops where a limit is passed.

An expression becomes a tree of closures over a `Run`. The CEL library is quicker, but it counts nothing and gives up
after a number of iterations that Kubernetes does not know; so it evaluates wherever its answer is certain to be within
all limits (see `most`), and this decides everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from sampan.apimachinery.cel.checked import Expr, Loop
from sampan.apimachinery.cel.cost import LIST_COST, MAP_COST
from sampan.apimachinery.cel.counting import actual_cost, functions, values
from sampan.apimachinery.cel.counting.values import Optional, no_overload
from sampan.apimachinery.cel.errors import CostExceeded, EvaluationError


class Run:
    """One evaluation: its variables, what it has cost, what it may cost.

    `work` is what calls of the library take that by Kubernetes' prices cost 1 however large their arguments are: no
    cost, but not without a limit either.
    """

    __slots__ = ("cost", "limit", "names", "work")

    def __init__(self, names: dict[str, Any], limit: int) -> None:
        self.names = names
        self.limit = limit
        self.cost = self.work = 0

    def check(self) -> None:
        """Loops ask at every turn. Raises CostExceeded."""
        if self.cost > self.limit or self.work > self.limit:
            raise CostExceeded


Step: TypeAlias = Callable[[Run], Any]
_RESULT: Final = "@result"
_NOTHING: Final = object()


class _Failed(NamedTuple):
    """What a loop has come to so far, or what cel.bind gave a name to, when that is an error: it counts when read."""

    error: EvaluationError


class Counted:
    """What an evaluation cost, and its value or its error."""

    __slots__ = ("cost", "error", "value")

    def __init__(self, run: Run, value: Any = None, error: EvaluationError | None = None) -> None:
        self.cost, self.value, self.error = run.cost, value, error


class Counter:
    """Of one expression."""

    def __init__(self, expr: Expr) -> None:
        self._step = _step(expr)

    def evaluate(self, data: Mapping[str, Any], limit: int) -> Counted:
        """Stops soon after `limit` is passed."""
        run = Run(dict(data), limit)
        try:
            value = self._step(run)
            run.check()
            return Counted(run, value)
        except EvaluationError as error:
            return Counted(run, error=CostExceeded() if run.cost > limit else error)
        except RecursionError:
            return Counted(run, error=EvaluationError("recursion limit exceeded"))


def _step(expr: Expr) -> Step:
    match expr.kind:
        case "const":
            value = expr.value
            return lambda run: value
        case "ident":
            return _ident(expr.name)
        case "select":
            return _select(expr)
        case "list":
            return _list(expr)
        case "map":
            return _map(expr)
        case "comprehension":
            assert expr.loop is not None
            return _loop(expr.loop)
        case "call":
            return _call(expr)
    return _refused


def _refused(run: Run) -> Any:
    raise no_overload()


def _ident(name: str) -> Step:
    def step(run: Run) -> Any:
        run.cost += 1
        names = run.names
        found = names[name] if name in names else functions.identifier(name)
        if type(found) is _Failed:
            raise found.error
        return found

    return step


def _select(expr: Expr) -> Step:
    assert expr.target is not None
    target, name, whole = _step(expr.target), expr.name, _dotted(expr)
    if expr.is_test:
        return lambda run: values.has_part(target(run), name)

    def step(run: Run) -> Any:
        if whole and whole in run.names:  # `authorizer.requestResource` is one variable
            run.cost += 1
            return run.names[whole]
        found = target(run)
        run.cost += 1
        return values.part(found, name)

    return step


def _dotted(expr: Expr) -> str:
    """`a.b`, if that is all there is."""
    return f"{expr.target.name}.{expr.name}" if expr.target is not None and expr.target.kind == "ident" else ""


def _list(expr: Expr) -> Step:
    elements, optional = [_step(one) for one in expr.args], frozenset(expr.optional)

    def step(run: Run) -> Any:
        found = []
        for position, element in enumerate(elements):
            value = element(run)
            if position not in optional:
                found.append(value)
            elif _is_there(value):
                found.append(value.value)
        run.cost += LIST_COST
        return found

    return step


def _map(expr: Expr) -> Step:
    entries, optional = [_step(one) for one in expr.args], frozenset(expr.optional)

    def step(run: Run) -> Any:
        found: dict[Any, Any] = {}
        for position in range(0, len(entries), 2):
            key, value = entries[position](run), entries[position + 1](run)
            if position // 2 not in optional:
                found[key] = value
            elif _is_there(value):
                found[key] = value.value
        run.cost += MAP_COST
        return found

    return step


def _is_there(value: Any) -> bool:
    if isinstance(value, Optional):
        return value.has
    raise no_overload()


def _call(expr: Expr) -> Step:
    match expr.name:
        case "_&&_":
            return _logical(expr, decisive=False)
        case "_||_":
            return _logical(expr, decisive=True)
        case "_?_:_":
            return _conditional(expr)
        case "@not_strictly_false":
            return _not_strictly_false(_step(expr.args[0]))
        case "_+_" if _appends(expr):
            return _append(expr)
        case "orValue" | "or" if expr.target is not None:
            return _alternative(expr.target, expr.args[0], is_value=expr.name == "orValue")
    return _function(expr)


def _function(expr: Expr) -> Step:
    parts = (expr.target, *expr.args) if expr.target is not None else expr.args
    steps = [_step(one) for one in parts]
    run_it = functions.call(expr.name, len(steps), is_method=expr.target is not None)
    if len(steps) == 2 and (native := functions.NATIVE.get((expr.name, 2))) is not None:
        return _binary(expr.name, steps, native, run_it)
    price, is_foreign = actual_cost.price(expr.name), isinstance(run_it, functions.Library)
    if price is None:

        def cheap(run: Run) -> Any:
            args = [step(run) for step in steps]
            run.cost += 1
            if is_foreign:
                run.work += sum(map(actual_cost.size, args))
            return run_it(args)

        return cheap

    def priced(run: Run) -> Any:
        args = [step(run) for step in steps]
        result = run_it(args)
        run.cost += price(args, result)
        return result

    return priced


def _binary(name: str, steps: list[Step], native: Callable[[Any, Any], Any], otherwise: functions.Call) -> Step:
    """Most of what loops do, without the lists of arguments."""
    left, right = steps
    price = actual_cost.price(name)

    def step(run: Run) -> Any:
        args = left(run), right(run)
        try:
            result = native(*args)
        except functions.Unknown:
            result = otherwise(args)
        run.cost += 1 if price is None else price(args, result)
        return result

    return step


def _appends(expr: Expr) -> bool:
    """`map` and `filter` add to their result one by one."""
    return expr.args[0].kind == "ident" and expr.args[0].name == _RESULT and expr.args[1].kind == "list"


def _append(expr: Expr) -> Step:
    """In place: nothing else has the loop's list, and a copy for each item would be quadratic."""
    made, more = (_step(one) for one in expr.args)

    def step(run: Run) -> Any:
        found = made(run)
        found.extend(more(run))
        run.cost += 1
        return found

    return step


def _logical(expr: Expr, *, decisive: bool) -> Step:
    """One side that decides does so whatever the other one fails with."""
    left, right = (_step(one) for one in expr.args)

    def step(run: Run) -> Any:
        failed: EvaluationError | None = None
        try:
            value = left(run)
            if value is decisive:
                return decisive
            if not isinstance(value, bool):
                failed = no_overload()
        except CostExceeded:
            raise
        except EvaluationError as error:
            failed = error
        value = right(run)
        if value is decisive:
            return decisive
        if not isinstance(value, bool):
            raise no_overload()
        if failed is not None:
            raise failed
        return not decisive

    return step


def _conditional(expr: Expr) -> Step:
    condition, yes, no = (_step(one) for one in expr.args)

    def step(run: Run) -> Any:
        value = condition(run)
        if not isinstance(value, bool):
            raise no_overload()
        return yes(run) if value else no(run)

    return step


def _alternative(optional: Expr, other: Expr, *, is_value: bool) -> Step:
    """What stands behind `or` is only looked at if it is needed."""
    first, second = _step(optional), _step(other)

    def step(run: Run) -> Any:
        found = first(run)
        run.cost += 1
        if not _is_there(found):
            return second(run)
        return found.value if is_value else found

    return step


def _not_strictly_false(inner: Step) -> Step:
    def step(run: Run) -> Any:
        try:
            value = inner(run)
        except CostExceeded:
            raise
        except EvaluationError:
            value = True
        run.cost += 1
        return value is not False

    return step


def _loop(loop: Loop) -> Step:
    over, init, result = _step(loop.range), _step(loop.init), _step(loop.result)
    condition, body = _step(loop.condition), _step(loop.step)

    bound = tuple(name for name in (loop.accumulator, loop.variable, loop.second) if name)

    variable, second, accumulator = loop.variable, loop.second, loop.accumulator

    def turns(run: Run, items: Any) -> Any:
        names = run.names
        names[accumulator] = _reached(init, run)
        for item in _entries(items, two=bool(second)):
            if second:
                names[variable], names[second] = item
            else:
                names[variable] = item
            if condition(run) is not True:
                break
            run.check()
            names[accumulator] = _reached(body, run)
        return result(run)

    def step(run: Run) -> Any:
        items = over(run)
        hidden = [(name, run.names.get(name, _NOTHING)) for name in bound]
        try:
            return turns(run, items)
        finally:
            for name, value in hidden:
                if value is _NOTHING:
                    run.names.pop(name, None)
                else:
                    run.names[name] = value

    return step


def _reached(body: Step, run: Run) -> Any:
    try:
        return body(run)
    except CostExceeded:
        raise
    except EvaluationError as error:
        return _Failed(error)


def _entries(items: Any, *, two: bool) -> Iterable[Any]:
    """What a loop's variable stands for, one after another, or what its two variables do."""
    if isinstance(items, list):
        return enumerate(items) if two else items
    if isinstance(items, dict):
        return items.items() if two else items
    raise no_overload()
