"""Values as rules in CEL see them: typed by their schema, with names that are no identifiers escaped.

    date-time, date   timestamp        duration   duration       byte     bytes
    number            double           null where the schema allows it   as if it were not there
    a.b  a-b  a/b     a__dot__b, a__dash__b, a__slash__b; a__b is a__underscores__b; `namespace` is __namespace__

Fields that a schema does not name are not seen, but for those of maps.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from sampan.apimachinery import duration
from sampan.apimachinery.object import Object

_RESERVED: Final = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
})
_ESCAPES: Final = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_UNITS: Final = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART: Final = re.compile(r"([0-9]*\.?[0-9]+)(ns|us|µs|ms|s|m|h)")


def escaped(name: str) -> str:
    """A field's name as an identifier."""
    if name in _RESERVED:
        return f"__{name}__"
    for sign, words in _ESCAPES:
        name = name.replace(sign, words)
    return name


def of(value: Any, raw: Object, *, is_resource: bool = False) -> Any:
    """A value in the shape of its schema."""
    if isinstance(value, dict):
        return _object(value, raw, is_resource=is_resource or bool(raw.get("x-kubernetes-embedded-resource")))
    if isinstance(value, list):
        items = raw.get("items")
        return [of(item, items) for item in value] if isinstance(items, dict) else value
    if isinstance(value, str):
        return _string(value, raw.get("format") or "") if raw.get("type") == "string" else value
    if raw.get("type") == "number" and type(value) is int:
        return float(value)
    if raw.get("type") == "integer" and type(value) is float:
        return int(value)
    return value


def _object(value: Object, raw: Object, *, is_resource: bool) -> Object:
    fields, more = raw.get("properties") or {}, raw.get("additionalProperties")
    shown: Object = {}
    for name, item in value.items():
        if is_resource and name in ("apiVersion", "kind", "metadata"):
            shown[name] = _metadata(item) if name == "metadata" else item
        elif name in fields:
            if item is not None:
                shown[escaped(name)] = of(item, fields[name])
        elif isinstance(more, dict):
            shown[name] = of(item, more)
    return shown


def _metadata(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: value[key] for key in ("name", "generateName") if value.get(key)}


def _string(value: str, format: str) -> Any:
    if format in ("date-time", "date"):
        return _timestamp(value)
    if format == "duration":
        return _duration(value)
    if format == "byte":
        try:
            return base64.b64decode(value)
        except (binascii.Error, ValueError):
            return value
    return value


def _timestamp(text: str) -> Any:
    from google.protobuf.timestamp_pb2 import Timestamp

    try:
        moment = duration.parse_time(text if "T" in text else f"{text}T00:00:00Z")
    except ValueError:
        return text
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _duration(text: str) -> Any:
    from google.protobuf.duration_pb2 import Duration

    if not re.fullmatch(r"-?(?:[0-9]*\.?[0-9]+(?:ns|us|µs|ms|s|m|h))+", text):
        return text
    nanoseconds = sum(round(float(number) * _UNITS[unit]) for number, unit in _PART.findall(text))
    span = Duration()
    span.FromNanoseconds(-nanoseconds if text.startswith("-") else nanoseconds)
    return span
