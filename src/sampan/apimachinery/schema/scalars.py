"""Scalars as Go's decoder takes them: integers of a width, quantities, times, bytes in base64, int-or-strings.

Each check takes (value, format) and returns the value as it is to be kept. A value of another JSON type raises
ScalarError, which the schema puts into Go's words with the field's path; a value that is not well formed (a quantity,
a time, base64) raises Mismatch with upstream's own message, which names no field.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from sampan.apimachinery.duration import format_micro_time, format_time, parse_time
from sampan.apimachinery.quantity import FORMAT_WRONG, QuantityError, canonical

GO_TYPES: Final = {
    "boolean": "bool", "number": "float64", "int-or-string": "int32", "time": "string", "micro-time": "string",
    "bytes": "[]uint8", "any": "interface {}", "quantity": "resource.Quantity", "string": "string",
    "schema-or-else": "v1.JSONSchemaProps",
}
_RANGES: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_MICRO_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_LONGEST_TIME: Final = 40
_TIME_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT: Final = "2006-01-02T15:04:05.000000Z07:00"


class Mismatch(Exception):
    """A value that the decoder refuses; the message is complete."""


class ScalarError(Exception):
    """The JSON type is wrong. `shown` replaces the type's name in the message where Go shows the value itself."""

    def __init__(self, shown: str = "") -> None:
        super().__init__(shown)
        self.shown = shown


def json_type(value: Any) -> str:
    """What Go calls a JSON value's type."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _string(value: Any, format: str) -> Any:
    if type(value) is str:
        return value
    raise ScalarError


def _boolean(value: Any, format: str) -> Any:
    if type(value) is bool:
        return value
    raise ScalarError


def _integer(value: Any, format: str) -> Any:
    if type(value) is int:
        low, high = _RANGES.get(format, _RANGES["int64"])
        if low <= value <= high:
            return value
        raise ScalarError(f"number {value}")
    if type(value) is float:
        raise ScalarError(f"number {value!r}")
    raise ScalarError


def _number(value: Any, format: str) -> Any:
    if type(value) in (int, float):
        return value
    raise ScalarError


def _int_or_string(value: Any, format: str) -> Any:
    return value if type(value) is str else _integer(value, "int32")


def _quantity(value: Any, format: str) -> Any:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise Mismatch(FORMAT_WRONG)
    try:
        return canonical(value)
    except QuantityError as error:
        raise Mismatch(str(error)) from None


def _time(value: Any, format: str) -> Any:
    if type(value) is not str:
        raise ScalarError
    return _known_time(value) if len(value) <= _LONGEST_TIME else _canonical_time(value)


def _canonical_time(value: str) -> str:
    try:
        moment = parse_time(value)
    except ValueError:
        raise Mismatch(_no_time(value, _TIME_LAYOUT)) from None
    return value if _TIME.fullmatch(value) else format_time(moment)


_known_time = lru_cache(maxsize=256)(_canonical_time)
"""A status says many times over when, and mostly the same."""


def _micro_time(value: Any, format: str) -> Any:
    if type(value) is not str:
        raise ScalarError
    try:
        moment = parse_time(value)
    except ValueError:
        raise Mismatch(_no_time(value, _MICRO_LAYOUT)) from None
    return value if _MICRO_TIME.fullmatch(value) else format_micro_time(moment)


def _no_time(value: str, layout: str) -> str:
    """As Go's time.Parse complains: which part of the layout the rest of the text does not fit."""
    shape = re.match(r"(\d{4})?(-)?(\d{2})?(-)?(\d{2})?(T)?(\d{2})?(:)?(\d{2})?(:)?(\d{2})?(\.\d+)?", value, re.ASCII)
    elements = ("2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05")
    for group, element in enumerate(elements, start=1):
        if shape is None or shape.group(group) is None:
            rest = value[shape.start(group - 1) + len(elements[group - 2]):] if shape and group > 1 else value
            return f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as "{element}"'
    assert shape is not None
    rest = value[shape.end():]
    if rest and re.fullmatch(r"Z|[+-]\d{2}:\d{2}", rest, re.ASCII):
        return f'parsing time "{value}": {_out_of_range(value)} out of range'
    return f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as "Z07:00"'


def _out_of_range(value: str) -> str:
    month, hour, minute, second = int(value[5:7]), int(value[11:13]), int(value[14:16]), int(value[17:19])
    if not 1 <= month <= 12:
        return "month"
    if hour > 23:
        return "hour"
    if minute > 59:
        return "minute"
    return "second" if second > 59 else "day"


def _bytes(value: Any, format: str) -> Any:
    if type(value) is not str:
        raise ScalarError
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return _lenient_bytes(value)
    return value


def _lenient_bytes(value: str) -> str:
    """Go takes line breaks within base64; anything else is refused with the place where it stands."""
    joined = value.replace("\n", "").replace("\r", "")
    try:
        base64.b64decode(joined, validate=True)
    except (binascii.Error, ValueError):
        wrong = re.search(r"[^A-Za-z0-9+/\r\n]", value)
        position = wrong.start() if wrong else len(value) - len(joined) % 4
        raise Mismatch(f"illegal base64 data at input byte {position}") from None
    return joined


CHECKS: Final[dict[str, Callable[[Any, str], Any]]] = {
    "string": _string, "boolean": _boolean, "integer": _integer, "number": _number, "int-or-string": _int_or_string,
    "quantity": _quantity, "time": _time, "micro-time": _micro_time, "bytes": _bytes,
}
