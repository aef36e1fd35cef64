"""Semantic versions: `semver("1.2.3").isLessThan(semver("1.10.0"))`; `semver(text, true)` is lenient."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from sampan.apimachinery.cel.function import Function, method
from sampan.apimachinery.cel.opaque import SEMVER, pack, text_of

_GRAMMAR = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?",
    re.ASCII,
)
Rank: TypeAlias = tuple[Any, ...]


def _parse(text: str, normalize: bool = False) -> Any:
    if normalize:
        text = _normalized(text)
    if not _GRAMMAR.fullmatch(text):
        raise ValueError(f'"{text}" is not a semantic version')
    return pack(SEMVER, text)


def _normalized(text: str) -> str:
    """Without a leading v or zeros, with three numbers."""
    head, mark, rest = re.fullmatch(r"([^-+]*)([-+]?)(.*)", text.strip().removeprefix("v")).groups()  # type: ignore[union-attr]
    numbers = [number.lstrip("0") or "0" for number in head.split(".")]
    return ".".join(numbers + ["0"] * (3 - len(numbers))) + mark + rest


def _is_semver(text: str, normalize: bool = False) -> bool:
    return _GRAMMAR.fullmatch(_normalized(text) if normalize else text) is not None


def _number(position: int) -> Callable[[Any], int]:
    def run(value: Any) -> int:
        match = _GRAMMAR.fullmatch(text_of(value))
        assert match is not None
        return int(match.group(position))

    return run


def _rank(value: Any) -> Rank:
    """Ordered as versions are: a pre-release is before its release, numbers are before words."""
    match = _GRAMMAR.fullmatch(text_of(value))
    assert match is not None
    pre = match.group(4)
    words = tuple((0, int(word), "") if word.isdigit() else (1, 0, word) for word in (pre or "").split("."))
    return (*(int(match.group(position)) for position in (1, 2, 3)), pre is None, words)


def _compared(test: Callable[[int], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: test((_rank(left) > _rank(right)) - (_rank(left) < _rank(right)))


FUNCTIONS = (
    Function("semver", ("string",), SEMVER, _parse),
    Function("semver", ("string", "bool"), SEMVER, _parse),
    Function("isSemver", ("string",), "bool", _is_semver),
    Function("isSemver", ("string", "bool"), "bool", _is_semver),
    method("major", (SEMVER,), "int", _number(1)),
    method("minor", (SEMVER,), "int", _number(2)),
    method("patch", (SEMVER,), "int", _number(3)),
    method("isGreaterThan", (SEMVER, SEMVER), "bool", _compared(lambda order: order > 0)),
    method("isLessThan", (SEMVER, SEMVER), "bool", _compared(lambda order: order < 0)),
    method("compareTo", (SEMVER, SEMVER), "int", _compared(lambda order: order)),
)
