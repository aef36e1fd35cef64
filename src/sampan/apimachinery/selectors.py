"""Label selectors and field selectors: parsed and compiled once, matched many times.

`parse` reads the text form (`a=b,c!=d,e in (x,y),!f,g>1`), `from_document` the structured LabelSelector of a spec.
Both give a `Selector`, whose `matches(labels)` is a closure made for its requirements: the usual one, a few equalities,
is a handful of dict look-ups. `parse_fields` reads a field selector (`metadata.name=x,status.phase!=Running`).

Guarantee: the text of a selector parses back to an equal selector. Messages are upstream's
(k8s.io/apimachinery/pkg/labels, pkg/fields, pkg/apis/meta/v1/validation).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sampan.apimachinery import names
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.metadata import validate_labels
from sampan.apimachinery.object import Object
from sampan.apimachinery.selector_grammar import SelectorError, Term, parse_terms

__all__ = [
    "EVERYTHING", "NOTHING", "FieldSelector", "Requirement", "Selector", "SelectorError", "format_document",
    "from_document", "from_labels", "parse", "parse_fields", "requirement_from_document", "validate_document",
    "validate_expression",
]

Labels: TypeAlias = Mapping[str, str]
Matcher: TypeAlias = Callable[[Labels], bool]

_IN: Final = ("in", "=", "==")
_NOT_IN: Final = ("notin", "!=")
_OPERATORS: Final = ("in", "notin", "=", "==", "!=", "gt", "lt", "exists", "!")
_DOCUMENT_OPERATORS: Final = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
_SYMBOL: Final = {"gt": ">", "lt": "<"}
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one key. `operator` is one of in, notin, =, ==, !=, gt, lt, exists, `!`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        values = ",".join(sorted(self.values))
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({values})"
        return f"{self.key}{_SYMBOL.get(self.operator, self.operator)}{values}"


class Selector:
    """All of its requirements must hold. Immutable and hashable; `requirements` are sorted by key."""

    __slots__ = ("matches", "requirements", "selects_nothing")

    matches: Matcher
    """Whether a set of labels is selected."""

    def __init__(self, requirements: Sequence[Requirement] = (), *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda requirement: requirement.key))
        self.selects_nothing = nothing
        self.matches = _never if nothing else _compile(self.requirements)

    @property
    def selects_everything(self) -> bool:
        return not self.requirements and not self.selects_nothing

    def required_value(self, key: str) -> str | None:
        """The only value that `key` may have, if the selector demands one: lets an index answer."""
        for requirement in self.requirements:
            if requirement.key == key and requirement.operator in _IN and len(requirement.values) == 1:
                return requirement.values[0]
        return None

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)

    def __repr__(self) -> str:
        return "Selector(nothing)" if self.selects_nothing else f"Selector({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selector):
            return NotImplemented
        return (self.requirements, self.selects_nothing) == (other.requirements, other.selects_nothing)

    def __hash__(self) -> int:
        return hash((self.requirements, self.selects_nothing))


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Selector:
    """A label selector from its text; the empty text selects everything. Raises SelectorError."""
    if not text:
        return EVERYTHING
    return Selector([_requirement(term) for term in parse_terms(text)])


def from_labels(labels: Labels | None) -> Selector:
    """The selector that demands each of these labels, as a Service's or a ReplicationController's; none: everything."""
    return Selector([Requirement(key, "=", (value,)) for key, value in (labels or {}).items()])


def from_document(selector: Object | None) -> Selector:
    """From a LabelSelector document: None selects nothing, an empty one everything. Raises SelectorError.

    Labels are not validated here; `validate_document` does that.
    """
    if selector is None:
        return NOTHING
    requirements = [Requirement(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    requirements += [requirement_from_document(one) for one in selector.get("matchExpressions") or ()]
    return Selector(requirements)


def requirement_from_document(expression: Object) -> Requirement:
    """From an entry of `matchExpressions`. Raises SelectorError for an operator that is none."""
    operator = _DOCUMENT_OPERATORS.get(expression.get("operator", ""))
    if operator is None:
        raise SelectorError(f'"{expression.get("operator", "")}" is not a valid label selector operator')
    return Requirement(expression.get("key", ""), operator, tuple(expression.get("values") or ()))


def format_document(selector: Object | None) -> str:
    """A LabelSelector as tables show it: `<none>` if it says nothing, `<error>` if it cannot be understood."""
    try:
        return str(from_document(selector)) or "<none>"
    except SelectorError:
        return "<error>"


def validate_document(selector: Object | None, path: Path) -> list[FieldError]:
    """What is wrong with a LabelSelector document."""
    if not selector:
        return []
    errors = validate_labels(selector.get("matchLabels"), path.child("matchLabels"))
    for position, expression in enumerate(selector.get("matchExpressions") or []):
        errors += validate_expression(expression, path.child("matchExpressions").index(position))
    return errors


def validate_expression(expression: Object, path: Path, *, unknown_operators: bool = False) -> list[FieldError]:
    """What is wrong with an entry of `matchExpressions`; reviews may have operators that this server does not know."""
    errors: list[FieldError] = []
    operator, key, values = expression.get("operator", ""), expression.get("key", ""), expression.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(path.child("values"), detail))
    elif not unknown_operators:
        errors.append(invalid(path.child("operator"), operator, "not a valid selector operator"))
    errors += [invalid(path.child("key"), key, message) for message in names.qualified_name(key)]
    for position, value in enumerate(values):
        at = path.child("values").index(position)
        errors += [invalid(at, value, message) for message in names.label_value(value)]
    return errors


def _requirement(term: Term) -> Requirement:
    """A checked requirement. Raises SelectorError."""
    errors: list[FieldError] = []
    if wrong := names.qualified_name(term.key):
        errors.append(invalid(Path("key"), term.key, "; ".join(wrong)))
    path, values = Path("values"), list(term.values)
    if term.operator in ("gt", "lt"):
        detail = "for 'Gt', 'Lt' operators, the value must be an integer"
        errors += [invalid(path.index(i), v, detail) for i, v in enumerate(values) if _integer(v) is None]
    elif term.operator not in _OPERATORS:
        errors.append(not_supported(Path("operator"), term.operator, _OPERATORS))
    for position, value in enumerate(values):
        if wrong := names.label_value(value):
            errors.append(invalid(path.index(position).key(term.key), value, "; ".join(wrong)))
    if errors:
        texts = [str(error) for error in errors]
        shown = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        raise SelectorError(f"unable to parse requirement: {shown}")
    return Requirement(term.key, term.operator, term.values)


def _never(labels: Labels) -> bool:
    return False


def _always(labels: Labels) -> bool:
    return True


def _compile(requirements: tuple[Requirement, ...]) -> Matcher:
    if not requirements:
        return _always
    if all(r.operator in _IN and len(r.values) == 1 for r in requirements):
        return _compile_equalities(tuple((r.key, r.values[0]) for r in requirements))
    conditions = tuple(_compile_one(requirement) for requirement in requirements)
    if len(conditions) == 1:
        return conditions[0]

    def matches(labels: Labels) -> bool:
        for condition in conditions:  # noqa: SIM110 - all() over a generator costs three times as much
            if not condition(labels):
                return False
        return True

    return matches


def _compile_equalities(pairs: tuple[tuple[str, str], ...]) -> Matcher:
    if len(pairs) == 1:
        [(only, wanted)] = pairs
        return lambda labels: labels.get(only) == wanted

    def matches(labels: Labels) -> bool:
        for key, value in pairs:  # noqa: SIM110
            if labels.get(key) != value:
                return False
        return True

    return matches


def _compile_one(requirement: Requirement) -> Matcher:
    key, operator = requirement.key, requirement.operator
    if operator == "exists":
        return lambda labels: key in labels
    if operator == "!":
        return lambda labels: key not in labels
    if operator in _IN:
        wanted = frozenset(requirement.values)
        return lambda labels: labels.get(key) in wanted
    if operator in _NOT_IN:
        unwanted = frozenset(requirement.values)
        return lambda labels: labels.get(key) not in unwanted
    return _compile_comparison(key, operator, requirement.values)


def _compile_comparison(key: str, operator: str, values: tuple[str, ...]) -> Matcher:
    bound = _integer(values[0]) if len(values) == 1 else None
    if bound is None:
        return _never
    limit = bound

    def matches(labels: Labels) -> bool:
        found = _integer(labels.get(key, ""))
        if found is None:
            return False
        return found > limit if operator == "gt" else found < limit

    return matches


def _integer(text: str) -> int | None:
    """As Go's ParseInt(text, 10, 64)."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


EVERYTHING: Final = Selector()
NOTHING: Final = Selector(nothing=True)


class FieldSelector:
    """Equalities and inequalities on an object's fields; a field that is not there counts as empty."""

    __slots__ = ("requirements",)

    def __init__(self, requirements: Sequence[Requirement] = ()) -> None:
        self.requirements = tuple(requirements)

    @property
    def selects_everything(self) -> bool:
        return not self.requirements

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields it names, to be checked against those that the kind supports."""
        return tuple(dict.fromkeys(requirement.key for requirement in self.requirements))

    def matches(self, values: Labels) -> bool:
        for requirement in self.requirements:
            if (values.get(requirement.key, "") == requirement.values[0]) is (requirement.operator == "!="):
                return False
        return True

    def required_value(self, field: str) -> str | None:
        """The only value that `field` may have, if the selector demands one."""
        for requirement in self.requirements:
            if requirement.key == field and requirement.operator == "=":
                return requirement.values[0]
        return None

    def __str__(self) -> str:
        return ",".join(f"{r.key}{r.operator}{_escape(r.values[0])}" for r in self.requirements)


@functools.lru_cache(maxsize=1024)
def parse_fields(text: str) -> FieldSelector:
    """A field selector from its text; the empty text selects everything. Raises SelectorError."""
    requirements = []
    for part in re.findall(r"(?:\\.|[^\\,]|\\$)+", text, re.DOTALL):
        match = re.search(r"!=|==|=", part)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        operator = "!=" if match.group() == "!=" else "="
        requirements.append(Requirement(part[: match.start()], operator, (_unescape(part[match.end():]),)))
    return FieldSelector(requirements)


def _escape(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)


def _unescape(value: str) -> str:
    plain: list[str] = []
    position = 0
    while position < len(value):
        char = value[position]
        if char == "\\":
            position += 1
            char = value[position] if position < len(value) else ""
            if char not in ("\\", ",", "="):
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{char}")
        elif char in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(char)}")
        plain.append(char)
        position += 1
    return "".join(plain)
