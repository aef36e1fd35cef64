"""`x-kubernetes-validations`: the rules of a schema in CEL, compiled once, evaluated on every write.

A rule sees the value where it stands as `self`. One that names `oldSelf` is a transition rule: it holds only for
updates of a value that was there before (or, with `optionalOldSelf`, always, and `oldSelf` is an optional). Unchanged
values are not judged again by rules that look at nothing else. All rules of an object have one budget: once that is
spent, or one evaluation is too dear, the write is refused and nothing more is evaluated. Words and field paths are
upstream's.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, NoReturn

import orjson

from sampan.apimachinery.cel.activation import Activation
from sampan.apimachinery.cel.budget import RUNTIME_BUDGET
from sampan.apimachinery.cel.budget import Budget as RuntimeBudget
from sampan.apimachinery.cel.checked import Expr
from sampan.apimachinery.cel.declared import Declared
from sampan.apimachinery.cel.declared import of as of_schema
from sampan.apimachinery.cel.environment import BOOL, STRING, Environment, Program, environment
from sampan.apimachinery.cel.errors import BudgetExceeded, CompileError, CostExceeded, EvaluationError
from sampan.apimachinery.field import ErrorType, FieldError, Path, invalid, required
from sampan.apimachinery.object import Object
from sampan.apimachinery.schema.structural import has_rules
from sampan.apimachinery.schema.values import MISSING, key_of
from sampan.apiserver.extensions import rule_values
from sampan.apiserver.extensions.rule_costs import Budget, occurrences

_REASONS: Final = {
    "FieldValueInvalid": ErrorType.INVALID, "FieldValueForbidden": ErrorType.FORBIDDEN,
    "FieldValueRequired": ErrorType.REQUIRED, "FieldValueDuplicate": ErrorType.DUPLICATE,
}
_OLD: Final = re.compile(r"\boldSelf\b")
_TEXT: Final = re.compile(r"""[rR]?(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")""", re.DOTALL)
_CHAIN: Final = re.compile(r"\b(?:self|oldSelf)((?:\.[A-Za-z_][A-Za-z0-9_]*+(?!\s*\())+)")
_STEP: Final = re.compile(r"\.(?:([A-Za-z_][\w-]*))|\['((?:[^'\\]|\\.)*)'\]")
_MAX_MESSAGE_BYTES: Final = 5 * 1024


class Rule:
    """One rule of one place. Raises CompileError."""

    def __init__(self, given: Object, env: Environment, raw: Object, *, is_resource: bool) -> None:
        self.text: str = given["rule"].strip()
        _check_fields(self.text, raw, is_resource=is_resource)
        self.is_optional = bool(given.get("optionalOldSelf"))
        self.compares = bool(_OLD.search(_TEXT.sub("", self.text)))
        self._env = env
        self._program = env.compile(self._bound(self.text), BOOL)
        self._message = (given.get("message") or "").strip()
        self._words: Program | None = None
        self._message_expression: str = given.get("messageExpression") or ""
        if self._message_expression:
            self._words = env.compile(self._bound(self._message_expression), STRING)
        self._type = _REASONS.get(given.get("reason") or "", ErrorType.INVALID)
        self._path = _relative(given.get("fieldPath") or "")

    @property
    def applies_without_old(self) -> bool:
        return self.is_optional or not self.compares

    def tree(self) -> Expr:
        """The rule as it was written, without what this file puts around it."""
        return self._written(self.text, self._program)

    def message_tree(self) -> Expr | None:
        return None if self._words is None else self._written(self._message_expression, self._words)

    def _written(self, text: str, program: Program) -> Expr:
        if self.is_optional:
            with contextlib.suppress(CompileError):  # a method of optionals only, which oldSelf is not without it
                program = self._env.compile(text)
        return program.tree()

    def _bound(self, text: str) -> str:
        if not self.is_optional:
            return text
        return f"cel.bind(oldSelf, hasOldSelf ? optional.of(oldSelf) : optional.none(), {text})"

    def judge(self, activation: Activation, path: Path, type_name: str, run: Run) -> None:
        """Tell `run` what the rule has to say about a value. Raises Stopped if nothing may be evaluated any more."""
        try:
            if run.budget.evaluate(self._program, activation) is True:
                return
        except BudgetExceeded as error:
            run.stop(invalid(path, type_name, str(error)))
        except EvaluationError as error:
            failure = invalid(path, type_name, _failure(error, self._message or self.text))
            if isinstance(error, CostExceeded):
                run.stop(failure)
            run.found.append(failure)
            return
        where = Path(f"{path}{self._path}".removeprefix(".")) if self._path else path
        try:
            says = self._says(activation, run.budget)
        except (BudgetExceeded, CostExceeded) as error:
            run.stop(invalid(where, type_name, self._message_failure(error)))
        run.found.append(FieldError(self._type, str(where), type_name, says))

    def _says(self, activation: Activation, budget: RuntimeBudget) -> str:
        """Raises BudgetExceeded, CostExceeded."""
        if self._words is not None:
            try:
                text = budget.evaluate(self._words, activation)
            except (BudgetExceeded, CostExceeded):
                raise
            except EvaluationError:
                text = ""
            line = text.strip() if isinstance(text, str) else ""
            if line and "\n" not in line and len(line.encode()) <= _MAX_MESSAGE_BYTES:
                return line
        return self._message or f"failed rule: {self.text}"

    def _message_failure(self, error: EvaluationError) -> str:
        stopped = "no further validation rules will be run"
        if isinstance(error, BudgetExceeded):
            return f"messageExpression evaluation failed due to running out of cost budget, {stopped}"
        expression = orjson.dumps(self._message_expression).decode()
        return f"{stopped} due to call cost exceeds limit for messageExpression: {expression}"


class Stopped(Exception):
    """Nothing more may be evaluated for this object."""


class Run:
    """All rules of one object as they are judged: what they found, and what they may still cost."""

    __slots__ = ("budget", "found")

    def __init__(self) -> None:
        self.budget = RuntimeBudget(RUNTIME_BUDGET)
        self.found: list[FieldError] = []

    def stop(self, error: FieldError) -> NoReturn:
        self.found.append(error)
        raise Stopped


def _failure(error: EvaluationError, rule: str) -> str:
    """Why a rule has no value, in upstream's words."""
    if str(error).startswith("no such overload"):
        why = "call arguments did not match a supported operator, function or macro signature"
        return f"'{error}': {why} for rule: {rule}"
    if isinstance(error, CostExceeded):
        return f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {rule}"
    return f"{error} evaluating rule: {rule}"


class RuleTree:
    """The rules at one place of a schema and below it; parts without rules are not there."""

    def __init__(self, raw: Object, *, is_resource: bool = False) -> None:
        self._raw = raw
        self._is_resource = is_resource or bool(raw.get("x-kubernetes-embedded-resource"))
        self._type = raw.get("type") or ("" if not raw.get("x-kubernetes-int-or-string") else "int-or-string")
        env = _environment(raw)
        self._rules = [
            Rule(given, env, raw, is_resource=self._is_resource) for given in raw.get("x-kubernetes-validations") or []
        ]
        self._fields = {name: tree for name, body in (raw.get("properties") or {}).items() if (tree := _tree(body))}
        self._items = _tree(raw.get("items"))
        self._values = _tree(raw.get("additionalProperties"))
        self._env = env

    def errors(self, value: Any, path: Path, old: Any = MISSING) -> list[FieldError]:
        """What the rules say of a value; `old` is what stood there before an update."""
        run = Run()
        with contextlib.suppress(Stopped):
            self._judge(value, path, old, run)
        return run.found

    def _judge(self, value: Any, path: Path, old: Any, run: Run) -> None:
        if value is None:
            return
        self._own(value, path, old, run)
        if isinstance(value, dict):
            before = old if isinstance(old, dict) else {}
            for name, item in value.items():
                tree = self._fields.get(name) or (None if name in self._known() else self._values)
                if tree is not None:
                    tree._judge(item, path.child(name), before.get(name, MISSING), run)
        elif isinstance(value, list) and self._items is not None:
            before_items = self._correlated(value, old)
            for position, item in enumerate(value):
                self._items._judge(item, path.index(position), before_items[position], run)

    def _known(self) -> Object:
        return self._raw.get("properties") or {}

    def _own(self, value: Any, path: Path, old: Any, run: Run) -> None:
        has_old = old is not MISSING and old is not None
        same = has_old and type(old) is type(value) and old == value
        rules = [rule for rule in self._rules
                 if (has_old or rule.applies_without_old) and (rule.compares or not same)]
        if not rules:
            return
        if run.budget.is_spent:
            run.stop(invalid(path, self._type, str(BudgetExceeded())))
        shown = rule_values.of(value, self._raw, is_resource=self._is_resource)
        data = {"self": shown, "hasOldSelf": has_old, "oldSelf": None}
        if has_old:
            data["oldSelf"] = rule_values.of(old, self._raw, is_resource=self._is_resource)
        activation = self._env.activation(data)
        for rule in rules:
            rule.judge(activation, path, self._type, run)

    def _correlated(self, value: list[Any], old: Any) -> list[Any]:
        """Only items of map lists are known to be what some item was before."""
        keys = tuple(self._raw.get("x-kubernetes-list-map-keys") or ())
        if not isinstance(old, list) or self._raw.get("x-kubernetes-list-type") != "map":
            return [MISSING] * len(value)
        by_key = {key_of(item, keys): item for item in old}
        return [by_key.get(key_of(item, keys), MISSING) for item in value]


def _tree(raw: Any) -> RuleTree | None:
    return RuleTree(raw) if isinstance(raw, dict) and has_rules(raw) else None


_CEL_TYPES: Final = {"string": STRING, "boolean": BOOL, "integer": "int", "number": "double", "array": "list(dyn)"}
_BY_FORMAT: Final = {
    "date-time": "google.protobuf.Timestamp", "date": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration", "byte": "bytes",
}


def _environment(raw: Object) -> Environment:
    """As much of the type as the checker needs to refuse `self.a` of a string, or a number added to it."""
    type = _CEL_TYPES.get(raw.get("type") or "", "dyn")
    if type == STRING:
        type = _BY_FORMAT.get(raw.get("format") or "", STRING)
    return environment(("self", type), ("oldSelf", "dyn"), ("hasOldSelf", BOOL))


def _check_fields(text: str, raw: Object, *, is_resource: bool) -> None:
    """`self.a.b` must be in the schema. Raises CompileError."""
    for found in _CHAIN.finditer(_TEXT.sub("''", text)):
        schema: Any = raw
        root = is_resource
        for name in found.group(1)[1:].split("."):
            if not isinstance(schema, dict) or ("properties" not in schema and not root):
                break
            if root and name in ("metadata", "apiVersion", "kind"):
                break
            fields = {rule_values.escaped(key): body for key, body in (schema.get("properties") or {}).items()}
            if name not in fields:
                column = found.start(1) + found.group(1).index(f".{name}") + 1
                raise CompileError(f"compilation failed: ERROR: <input>:1:{column}: undefined field '{name}'\n"
                                   f" | {text}\n | {'.' * (column - 1)}^")
            schema, root = fields[name], bool(fields[name].get("x-kubernetes-embedded-resource"))


def _relative(text: str) -> str:
    return "".join(f".{step.group(1) or step.group(2)}" for step in _STEP.finditer(text))


def check(raw: Object, path: Path) -> list[FieldError]:
    """What is wrong with the rules of a schema: each is compiled."""
    budget = Budget(path)
    found = list(_check(_Place(raw, path, True, 1), budget))
    return found + list(budget.errors())


class _Place(NamedTuple):
    """A part of a schema, and how often it can occur in one object (None: without limit)."""

    raw: Object
    path: Path
    is_resource: bool
    times: int | None

    def parts(self) -> Iterator[_Place]:
        times = occurrences(self.raw, self.times)
        for name, body in (self.raw.get("properties") or {}).items():
            yield _Place(body, self.path.child("properties").key(name), _is_embedded(body), times)
        for key in ("items", "additionalProperties"):
            if isinstance(body := self.raw.get(key), dict):
                yield _Place(body, self.path.child(key), _is_embedded(body), times)


def _is_embedded(raw: Object) -> bool:
    return bool(raw.get("x-kubernetes-embedded-resource"))


def _check(place: _Place, budget: Budget) -> Iterator[FieldError]:
    given = place.raw.get("x-kubernetes-validations") or []
    declared = of_schema(place.raw, rule_values.escaped, is_resource=place.is_resource) if given else None
    for position, one in enumerate(given):
        where = place.path.child("x-kubernetes-validations").index(position)
        wrong = list(_check_rule(one, where, place.raw, is_resource=place.is_resource))
        yield from wrong
        if not wrong and declared is not None:
            yield from _check_cost(one, where, _Priced(place, declared, budget))
    for part in place.parts():
        yield from _check(part, budget)


class _Priced(NamedTuple):
    """What the cost of a place's rules depends on."""

    place: _Place
    declared: Declared
    budget: Budget


def _check_cost(given: Object, path: Path, priced: _Priced) -> Iterator[FieldError]:
    """The rule compiles: how much may it cost?"""
    place, declared, budget = priced
    rule = Rule(given, _environment(place.raw), place.raw, is_resource=place.is_resource)
    yield from budget.rule(path.child("rule"), rule.tree(), declared, place.times)
    if (message := rule.message_tree()) is not None:
        yield from budget.message(path.child("messageExpression"), message, declared)


def _check_rule(given: Object, path: Path, raw: Object, *, is_resource: bool) -> Iterator[FieldError]:
    text, message = (given.get("rule") or "").strip(), given.get("message")
    if not text:
        yield required(path.child("rule"), "rule is not specified")
        return
    if message is not None and not message.strip():
        yield invalid(path.child("message"), message, "message must be non-empty if specified")
    elif message and "\n" in message:
        yield invalid(path.child("message"), message, "message must not contain line breaks")
    elif not message and "\n" in text and not given.get("messageExpression"):
        yield required(path.child("message"), "message must be specified if rule contains line breaks")
    if given.get("reason") and given["reason"] not in _REASONS:
        names = ", ".join(f'"{name}"' for name in sorted(_REASONS))
        yield FieldError(ErrorType.NOT_SUPPORTED, str(path.child("reason")), given["reason"],
                         f"supported values: {names}")
    if given.get("optionalOldSelf") and not _OLD.search(text):
        yield invalid(path.child("optionalOldSelf"), True, "may not be set if oldSelf is not used in rule")
    env = _environment(raw)
    try:
        Rule({**given, "messageExpression": None}, env, raw, is_resource=is_resource)
    except CompileError as error:
        yield invalid(path.child("rule"), text, str(error))
        return
    try:
        Rule(given, env, raw, is_resource=is_resource)
    except CompileError as error:
        yield invalid(path.child("messageExpression"), given["messageExpression"],
                      f"messageExpression {str(error).removeprefix('compilation failed: ')}")
