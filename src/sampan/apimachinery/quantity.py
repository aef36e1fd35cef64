"""Quantities: fixed-point numbers with a suffix, as `100m`, `1.5Gi` or `2e3` (k8s.io/apimachinery resource.Quantity).

A quantity is an exact whole number of nano-units plus the format in which it was written (decimal, binary or exponent),
so that arithmetic never loses anything and the canonical text is the one upstream prints: no fraction, the largest
suffix that keeps the number whole, the format of the left operand. Finer than a nano-unit rounds up (away from zero).

Guarantees: parsing the canonical text gives the same quantity; equal quantities hash equally whatever their format.
"""

from __future__ import annotations

import enum
import functools
import re
from typing import Final

FORMAT_WRONG: Final = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
SUFFIX_WRONG: Final = "unable to parse quantity's suffix"
NUMERIC_WRONG: Final = "unable to parse numeric part of quantity"

NANO: Final = 10**9
_MILLI: Final = 10**6
_MAX_BINARY: Final = (2**63 - 1) * NANO
_MAX_EXPONENT: Final = 1000
_MAX_DIGITS: Final = 512

_GRAMMAR = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX: Final = ("", *_BINARY)


class QuantityError(ValueError):
    """The text is not a quantity; the message is upstream's."""


class Format(enum.Enum):
    """How a quantity was written, and so how it is printed."""

    DECIMAL_SI = "DecimalSI"
    BINARY_SI = "BinarySI"
    DECIMAL_EXPONENT = "DecimalExponent"


@functools.total_ordering
class Quantity:
    """An immutable quantity. `nanos` is the exact amount in units of 10⁻⁹."""

    __slots__ = ("format", "nanos")

    nanos: int
    format: Format

    def __init__(self, nanos: int, format: Format = Format.DECIMAL_SI) -> None:
        self.nanos = nanos
        self.format = format

    @classmethod
    def of(cls, value: int, format: Format = Format.DECIMAL_SI) -> Quantity:
        """`value` whole units."""
        return cls(value * NANO, format)

    @classmethod
    def of_milli(cls, value: int, format: Format = Format.DECIMAL_SI) -> Quantity:
        """`value` thousandths, as CPU is counted."""
        return cls(value * _MILLI, format)

    @classmethod
    def parse(cls, text: str | int | float) -> Quantity:
        """From its text, or from a JSON number. Raises QuantityError."""
        if isinstance(text, bool) or not isinstance(text, str | int | float):
            raise QuantityError(FORMAT_WRONG)
        return _parse(text.strip() if isinstance(text, str) else repr(text))

    @property
    def value(self) -> int:
        """Whole units, rounded up away from zero."""
        return _round_up(self.nanos, NANO)

    @property
    def milli_value(self) -> int:
        """Thousandths, rounded up away from zero."""
        return _round_up(self.nanos, _MILLI)

    def rounded_up(self, scale: int) -> Quantity:
        """To a multiple of 10**`scale` (-9…0 or more), away from zero."""
        step = 10 ** max(scale + 9, 0)
        return Quantity(_round_up(self.nanos, step) * step, self.format)

    def is_zero(self) -> bool:
        return self.nanos == 0

    def sign(self) -> int:
        return (self.nanos > 0) - (self.nanos < 0)

    def __float__(self) -> float:
        return self.nanos / NANO

    def __bool__(self) -> bool:
        return self.nanos != 0

    def __eq__(self, other: object) -> bool:
        return self.nanos == other.nanos if isinstance(other, Quantity) else NotImplemented

    def __lt__(self, other: Quantity) -> bool:
        return self.nanos < other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos + other.nanos, self.format if self.nanos else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos - other.nanos, self.format if self.nanos else other.format)

    def __mul__(self, factor: int) -> Quantity:
        return Quantity(self.nanos * factor, self.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nanos, self.format)

    def __str__(self) -> str:
        """The canonical text."""
        if not self.nanos:
            return "0"
        if self.format is Format.BINARY_SI and abs(self.nanos) >= 1024 * NANO and self.nanos % NANO == 0:
            return _binary_text(self.nanos // NANO)
        return _decimal_text(self.nanos, self.format)

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"


ZERO: Final = Quantity(0)


def canonical(text: str | int | float) -> str:
    """The canonical text of a quantity. Raises QuantityError."""
    return _canonical(text) if type(text) is str else str(Quantity.parse(text))


def value(text: str | int | float) -> int:
    """Whole units, rounded up. Raises QuantityError."""
    return Quantity.parse(text).value


def milli_value(text: str | int | float) -> int:
    """Thousandths, rounded up. Raises QuantityError."""
    return Quantity.parse(text).milli_value


@functools.lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    return str(Quantity.parse(text))


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    match = _GRAMMAR.fullmatch(text)
    if not text or match is None:
        raise QuantityError(FORMAT_WRONG)
    if len(text) > _MAX_DIGITS:
        raise QuantityError(NUMERIC_WRONG)
    sign, whole, fraction, suffix = match.group(1), match.group(2), match.group(3) or "", match.group(4)
    base, exponent, format = _interpret(suffix)
    number = int((whole + fraction) or "0")
    nanos = _scaled(number, base, exponent, len(fraction))
    if format is Format.BINARY_SI:
        nanos = min(nanos, _MAX_BINARY)
        if 0 < nanos < NANO:
            format = Format.DECIMAL_SI
    return Quantity(-nanos if sign == "-" else nanos, format)


def _interpret(suffix: str) -> tuple[int, int, Format]:
    """(base, exponent, format) of a suffix."""
    if suffix in _DECIMAL:
        return 10, _DECIMAL[suffix], Format.DECIMAL_SI
    if suffix in _BINARY:
        return 2, _BINARY[suffix], Format.BINARY_SI
    if len(suffix) > 1 and suffix[0] in "eE":
        try:
            exponent = int(suffix[1:])
        except ValueError:
            raise QuantityError(SUFFIX_WRONG) from None
        if abs(exponent) <= _MAX_EXPONENT:
            return 10, exponent, Format.DECIMAL_EXPONENT
    raise QuantityError(SUFFIX_WRONG)


def _scaled(number: int, base: int, exponent: int, decimals: int) -> int:
    """number × base^exponent ÷ 10^decimals in nano-units, rounded up."""
    if base == 2:
        return _round_up((number << exponent) * NANO, 10**decimals)
    shift = exponent + 9 - decimals
    return number * 10**shift if shift >= 0 else _round_up(number, 10**-shift)


def _round_up(number: int, step: int) -> int:
    """number ÷ step, away from zero."""
    magnitude = -(-abs(number) // step)
    return magnitude if number >= 0 else -magnitude


def _binary_text(number: int) -> str:
    power = 0
    while power < len(_BINARY_SUFFIX) - 1 and number % 1024 == 0:
        number //= 1024
        power += 1
    return f"{number}{_BINARY_SUFFIX[power]}"


def _decimal_text(nanos: int, format: Format) -> str:
    exponent = -9
    while nanos % 1000 == 0:
        nanos //= 1000
        exponent += 3
    if format is not Format.DECIMAL_EXPONENT and exponent in _DECIMAL_SUFFIX:
        return f"{nanos}{_DECIMAL_SUFFIX[exponent]}"
    return f"{nanos}e{exponent}" if exponent else str(nanos)
