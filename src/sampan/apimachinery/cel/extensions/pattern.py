"""Strings and regular expressions: find, findAll, by the CEL library's own engine, whose time is linear in the text."""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from sampan.apimachinery.cel.function import method

_NAMED_GROUP: Final = re.compile(r"\(\?P?<\w+>")


@functools.cache
def _extract() -> Any:
    """A program that gives all of a text `t` that the only group of a pattern `p` matches."""
    from cel_expr_python import cel

    config = cel.NewEnvConfigFromYaml("name: pattern\nextensions:\n  - name: cel.lib.ext.regex\n  - name: optional\n")
    env = cel.NewEnv(config=config, variables={"t": cel.Type.STRING, "p": cel.Type.STRING})
    return env.compile("regex.extractAll(t, p)")


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    result = _extract().eval(data={"t": text, "p": f"({uncaptured(pattern)})"})
    if result.type().name() == "ERROR":
        raise ValueError(f"Illegal regex: {str(result.value()).partition(': ')[2]}")
    found: list[str] = result.plain_value()
    return found if limit < 0 else found[:limit]


def _find(text: str, pattern: str) -> str:
    found = _find_all(text, pattern)
    return found[0] if found else ""


@functools.lru_cache(maxsize=256)
def uncaptured(pattern: str) -> str:
    """The pattern with every group non-capturing."""
    pattern = _NAMED_GROUP.sub("(?:", pattern)
    parts: list[str] = []
    in_class = False
    position = 0
    while position < len(pattern):
        character = pattern[position]
        following = pattern[position + 1 : position + 2]
        if character == "\\":
            parts.append(character + following)
            position += 2
            continue
        if character == "[" and not in_class:
            in_class = True
            if following in ("]", "^"):
                parts.append(character)
                position += 1
                character = following
        elif character == "]":
            in_class = False
        parts.append("(?:" if character == "(" and not in_class and following != "?" else character)
        position += 1
    return "".join(parts)


FUNCTIONS = (
    method("find", ("string", "string"), "string", _find),
    method("findAll", ("string", "string"), "list(string)", _find_all),
    method("findAll", ("string", "string", "int"), "list(string)", _find_all),
)
