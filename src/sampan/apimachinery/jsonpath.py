"""The part of Kubernetes' JSONPath that a CustomResourceDefinition may use: fields, indexes, wildcards, filters.

    .spec.replicas   .metadata.annotations['a.b/c']   .status.conditions[?(@.type=="Ready")].status   .spec.list[*].name

`compile_path` turns a path into a function that finds values; what is not there finds nothing. Raises JSONPathError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

Find: TypeAlias = Callable[[Any], list[Any]]
_Step: TypeAlias = Callable[[Any], list[Any]]

_FIELD: Final = re.compile(r"\.((?:[\w$-]|\\.)+)")
_BRACKET: Final = re.compile(r"\[(?:'([^']*)'|\"([^\"]*)\"|(-?\d+)|(\*)|(-?\d*):(-?\d*))\]")
_FILTER: Final = re.compile(
    r"\[\?\(\s*@((?:\.[\w-]+|\['[^']*'\])+)\s*(?:(==|!=|>=|<=|>|<)\s*(\"[^\"]*\"|'[^']*'|-?\d+(?:\.\d+)?|true|false))?\s*\)\]"
)


class JSONPathError(ValueError):
    """Not a path."""


def compile_path(text: str) -> Find:
    """The values at a path, in order."""
    body = text.strip()
    if body.startswith("{") and body.endswith("}"):
        body = body[1:-1]
    body = body.removeprefix("$")
    if not body.startswith((".", "[")):
        body = "." + body
    steps = _steps(body, text)

    def find(document: Any) -> list[Any]:
        found = [document]
        for step in steps:
            found = [value for item in found for value in step(item)]
        return found

    return find


def simple_fields(text: str) -> tuple[str, ...] | None:
    """The names along a path that has nothing but names (`.spec.replicas`); None for any other."""
    names: list[str] = []
    position = 0
    while position < len(text):
        found = _FIELD.match(text, position)
        if found is None:
            return None
        names.append(_unescaped(found.group(1)))
        position = found.end()
    return tuple(names) or None


def _steps(body: str, text: str) -> list[_Step]:
    steps: list[_Step] = []
    position = 0
    while position < len(body):
        if body[position:] == ".":
            break
        if found := _FIELD.match(body, position):
            steps.append(_field(_unescaped(found.group(1))))
        elif body.startswith(".*", position):
            steps.append(_all)
            position += 2
            continue
        elif found := _BRACKET.match(body, position):
            steps.append(_bracket(found))
        elif found := _FILTER.match(body, position):
            steps.append(_filter(found))
        elif body.startswith(".[", position):
            position += 1
            continue
        else:
            raise JSONPathError(f"unrecognized character in path {text!r} at {body[position:]!r}")
        position = found.end()
    return steps


def _unescaped(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)


def _field(name: str) -> _Step:
    return lambda value: [value[name]] if isinstance(value, dict) and name in value else []


def _all(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _bracket(found: re.Match[str]) -> _Step:
    single, double, index, star, start, stop = found.groups()
    if single is not None or double is not None:
        return _field(single if single is not None else double)
    if star:
        return _all
    if index is not None:
        at = int(index)
        return lambda value: [value[at]] if isinstance(value, list) and -len(value) <= at < len(value) else []
    part = slice(int(start) if start else None, int(stop) if stop else None)
    return lambda value: value[part] if isinstance(value, list) else []


_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, ">": lambda a, b: a > b, "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b,
}


def _filter(found: re.Match[str]) -> _Step:
    path, operator, literal = found.groups()
    inner = compile_path(path)
    if operator is None:
        return lambda value: [item for item in value if inner(item)] if isinstance(value, list) else []
    wanted = _literal(literal)
    compare = _COMPARE[operator]

    def keeps(item: Any) -> bool:
        values = inner(item)
        if not values or isinstance(values[0], str) is not isinstance(wanted, str):
            return False
        return compare(values[0], wanted)

    return lambda value: [item for item in value if keeps(item)] if isinstance(value, list) else []


def _literal(text: str) -> Any:
    if text[0] in "\"'":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    return float(text) if "." in text else int(text)
