"""The variables of an evaluation: as the CEL library has them, as they were given, and how large they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from sampan.apimachinery.cel.span import MOST

if TYPE_CHECKING:
    from sampan.apimachinery.cel.counting.counter import Counted

_OPAQUE: Final = "x" * 64
"""Stands for what JSON does not know: times and opaque values, which have no size to speak of."""


class Activation:
    """`bytes`: its length in JSON, quickly found; no list, map or text within is larger. `level`: its binary digits.

    `counted`: what the evaluator that counts has found, by program.
    """

    __slots__ = ("_largest", "bytes", "converted", "counted", "data", "level")

    def __init__(self, converted: Any, data: Mapping[str, Any]) -> None:
        self.converted = converted
        self.data = data
        self.counted: dict[Any, Counted] = {}
        try:
            self.bytes = len(orjson.dumps(data, _size_of, orjson.OPT_NON_STR_KEYS))
        except TypeError:  # what is no JSON, or too deep
            self.bytes = MOST
        self.level = self.bytes.bit_length()
        self._largest = -1

    @property
    def largest(self) -> int:
        """The size of the largest list, map or text within."""
        if self._largest < 0:
            self._largest = _largest(self.data) if self.bytes < MOST else MOST
        return self._largest


def _size_of(value: Any) -> str:
    return "x" * len(value) if isinstance(value, bytes | bytearray) else _OPAQUE


def _largest(value: Any) -> int:
    found = 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str | bytes | bytearray):
            found = max(found, len(one))
        elif isinstance(one, Mapping):
            found = max(found, len(one))
            waiting += one
            waiting += one.values()
        elif isinstance(one, list):
            found = max(found, len(one))
            waiting += one
    return found
