"""What can be wrong with an expression: it does not compile, or it fails on the data at hand. Words are cel-go's."""

from __future__ import annotations

import re
from typing import Final

_CODES = re.compile(r"^[A-Z_]+: ")
_TRAILER = re.compile(r" \[[A-Z_]+\]$")
_UNDECLARED = re.compile(r"(undeclared reference to '\w+)(?:\.\w+)+")
_NO_OVERLOAD = re.compile(
    r"(ERROR: <input>:\d+:(\d+): found no matching overload for )'(\w+)' applied to "
    r"'\(((?:[^(),]|\([^()]*\))+)(?:, ([^\n]*))?\)'\n \| ([^\n]*)"
)
_MISSING_KEY = re.compile(r'^Key not found in map : "?(.*?)"?$')
_INDEX = re.compile(r"^Index error: index=(-?\d+) size=\d+$")
_PLAIN: Final = {
    "divide by zero": "division by zero",
}


class CELError(Exception):
    """An expression that is of no use; `str` says why."""


class CompileError(CELError):
    """The expression is malformed, names something unknown, or has the wrong type."""


class EvaluationError(CELError):
    """The expression has no value for this data."""


class CostExceeded(EvaluationError):
    """One evaluation cost more than any may."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


class BudgetExceeded(EvaluationError):
    """Several evaluations together cost more than they may: nothing more is evaluated."""

    def __init__(self) -> None:
        super().__init__(
            "validation failed due to running out of cost budget, no further validation rules will be run"
        )


def compile_error(error: Exception) -> CompileError:
    """As cel-go says it, position and marker lines included; of `a.b.c` it says that `a` is unknown."""
    text = _TRAILER.sub("", _CODES.sub("", str(error)))
    return CompileError("compilation failed: " + _NO_OVERLOAD.sub(_of_its_target, _UNDECLARED.sub(r"\1", text)))


def _of_its_target(found: re.Match[str]) -> str:
    """Of a method it is said what it was called on: `T.(A)` instead of `(T, A)`."""
    head, column, name, target, rest, line = found.groups()
    if not line[:int(column) - 1].rstrip().endswith(f".{name}"):
        return found.group()
    return f"{head}'{name}' applied to '{target}.({rest or ''})'\n | {line}"


def evaluation_error(text: str) -> EvaluationError:
    """The library's words for a run-time error, as cel-go would have them."""
    text = _TRAILER.sub("", _CODES.sub("", text))
    missing, index = _MISSING_KEY.match(text), _INDEX.match(text)
    if missing:
        return EvaluationError(f"no such key: {missing.group(1)}")
    if index:
        return EvaluationError(f"index out of bounds: {index.group(1)}")
    if text.startswith("No matching overloads found"):
        return EvaluationError("no such overload")
    return EvaluationError(_PLAIN.get(text, text))
