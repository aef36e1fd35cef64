"""What the rules of a schema may cost at most, and which are too dear. Limits and words are upstream's.

A rule's cost is what its expression may cost (`apimachinery.cel.cost`) times how often the place where it stands can
occur in one object: as often as the maxItems and maxProperties above it allow, or else as fits into a request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sampan.apimachinery.cel.checked import Expr
from sampan.apimachinery.cel.cost import Estimate
from sampan.apimachinery.cel.declared import Declared
from sampan.apimachinery.cel.span import MOST
from sampan.apimachinery.field import FieldError, Path, forbidden
from sampan.apimachinery.object import Object

RULE_LIMIT: Final = 10_000_000
SCHEMA_LIMIT: Final = 100_000_000
_NAMED: Final = 4
"""How many of the dearest rules are named."""
_CONTRIBUTED: Final = (
    "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
)
_ADVICE: Final = (
    "try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared"
)


def occurrences(raw: Object, times: int | None) -> int | None:
    """How often each part of what occurs so many times can occur; None is without limit."""
    if raw.get("type") == "object" and raw.get("additionalProperties") is not None:
        most = raw.get("maxProperties")
    elif raw.get("type") == "array":
        most = raw.get("maxItems")
    else:
        most = 1
    return None if times is None or most is None else min(times * max(most, 0), MOST)


@dataclass(slots=True)
class Budget:
    """Of one schema: add each rule and message expression, then ask for `errors`."""

    path: Path
    _total: int = 0
    _dear: list[tuple[int, Path]] = field(default_factory=list)

    def rule(self, path: Path, expr: Expr, declared: Declared, times: int | None) -> Iterator[FieldError]:
        cost = Estimate(expr, declared).cost().high
        each = declared.cardinality if times is None else times
        yield from self._add(path, "estimated rule cost", min(cost * each, MOST))

    def message(self, path: Path, expr: Expr, declared: Declared) -> Iterator[FieldError]:
        yield from self._add(path, "estimated messageExpression cost", Estimate(expr, declared).cost().high)

    def errors(self) -> Iterator[FieldError]:
        """What is wrong with all of them together."""
        if self._total > SCHEMA_LIMIT:
            for _, path in self._dear:
                yield forbidden(path, _CONTRIBUTED)
            name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
            yield forbidden(self.path, _exceeds(name, self._total, SCHEMA_LIMIT))

    def _add(self, path: Path, name: str, cost: int) -> Iterator[FieldError]:
        if cost > RULE_LIMIT:
            yield forbidden(path, _exceeds(name, cost, RULE_LIMIT))
        self._total = min(self._total + cost, MOST)
        if cost >= SCHEMA_LIMIT // 100:
            self._dear = sorted([*self._dear, (cost, path)], key=lambda one: -one[0])[:_NAMED]


def _exceeds(name: str, cost: int, limit: int) -> str:
    times = cost / limit
    factor = "more than 100x" if times > 100 else f"{times:f}x" if times < 1.5 else f"{times:.1f}x"
    return f"{name} exceeds budget by factor of {factor} ({_ADVICE})"
