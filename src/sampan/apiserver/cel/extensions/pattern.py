"""Strings and regular expressions: find, findAll."""

from __future__ import annotations

import re

from sampan.apiserver.cel.function import method

MAX_INPUT_CHARACTERS = 100_000
_NESTED = re.compile(r"[*+}][^()]*\)[*+{]")


def _compiled(pattern: str) -> re.Pattern[str]:
    # Python's engine backtracks: a repeated group that repeats itself could run for ever, so it is refused.
    if _NESTED.search(pattern):
        raise ValueError(f"regular expression {pattern!r} repeats a repetition, which is not supported here")
    try:
        return re.compile(pattern.replace(r"\z", r"\Z"))
    except re.error as error:
        raise ValueError(f"Illegal regex: {error}") from None


def _find(text: str, pattern: str) -> str:
    found = _compiled(pattern).search(text[:MAX_INPUT_CHARACTERS])
    return found.group() if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match.group() for match in _compiled(pattern).finditer(text[:MAX_INPUT_CHARACTERS])]
    return found if limit < 0 else found[:limit]


FUNCTIONS = (
    method("find", ("string", "string"), "string", _find),
    method("findAll", ("string", "string"), "list(string)", _find_all),
    method("findAll", ("string", "string", "int"), "list(string)", _find_all),
)
