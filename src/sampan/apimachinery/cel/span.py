"""A range from least to most of what is counted: sizes of values, or units of cost. Never more than MOST."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

MOST: Final = 2**64 - 1


class Span(NamedTuple):
    """`low` to `high`, both included."""

    low: int
    high: int

    def plus(self, other: Span) -> Span:
        return Span(min(self.low + other.low, MOST), min(self.high + other.high, MOST))

    def times(self, other: Span) -> Span:
        return Span(min(self.low * other.low, MOST), min(self.high * other.high, MOST))

    def scaled(self, factor: float) -> Span:
        """Rounded up."""
        return Span(min(math.ceil(self.low * factor), MOST), min(math.ceil(self.high * factor), MOST))

    def union(self, other: Span) -> Span:
        return Span(min(self.low, other.low), max(self.high, other.high))


def exactly(number: int) -> Span:
    return Span(number, number)


UNKNOWN: Final = Span(0, MOST)
ZERO: Final = Span(0, 0)
ONE: Final = Span(1, 1)
