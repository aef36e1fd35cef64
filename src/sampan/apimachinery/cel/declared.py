"""What is known of a value before there is one: its kind, how large it may be, what it is made of.

`of` reads it from a structural schema, as Kubernetes' CEL does: sizes come from maxLength, maxItems and maxProperties;
without them, from how many of the smallest values fit into the largest request. Scalars have no size to speak of (0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MAX_REQUEST_BYTES: Final = 3 * 1024 * 1024
_TIME_BYTES: Final = {
    "duration": ("duration", 32, 3), "date": ("timestamp", 12, 12), "date-time": ("timestamp", 32, 21),
}
"""Of a format: its kind, its longest and its shortest text in JSON."""
_SCALARS: Final = {"boolean": ("bool", 4), "number": ("double", 1), "integer": ("int", 1)}


@dataclass(frozen=True, slots=True)
class Declared:
    """`size` is the most that CEL's `size()` can be. `least_bytes`: the shortest it can be in JSON."""

    kind: str
    size: int = 0
    least_bytes: int = 2
    fields: Mapping[str, Declared] = field(default_factory=dict)
    element: Declared | None = None

    @property
    def cardinality(self) -> int:
        """How many of these fit into a request."""
        return MAX_REQUEST_BYTES // (self.least_bytes + 1)


_TEXT: Final = Declared("string", MAX_REQUEST_BYTES - 2)
_META: Final = Declared("struct", fields={"name": _TEXT, "generateName": _TEXT})
KEY: Final = Declared("string")


def of(schema: Any, escape: Callable[[str], str], *, is_resource: bool = False) -> Declared | None:
    """None for what expressions cannot see. `escape` says what a field is called in them."""
    if not isinstance(schema, dict):
        return None
    if schema.get("x-kubernetes-int-or-string"):
        return Declared("dyn", _text_size(schema), 1)
    kind = schema.get("type")
    if kind in _SCALARS:
        name, least_bytes = _SCALARS[kind]
        return Declared(name, 0, least_bytes)
    if kind == "string":
        return _string(schema)
    if kind == "array":
        element = _part(schema.get("items"), escape)
        if element is None:
            return None
        return Declared("list", _most(schema, "maxItems", element.least_bytes + 1), element=element)
    if kind == "object" or is_resource:
        return _object(schema, escape, is_resource=is_resource)
    return None


def _part(schema: Any, escape: Callable[[str], str]) -> Declared | None:
    is_embedded = isinstance(schema, dict) and bool(schema.get("x-kubernetes-embedded-resource"))
    return of(schema, escape, is_resource=is_embedded)


def _object(schema: Any, escape: Callable[[str], str], *, is_resource: bool) -> Declared | None:
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        element = _part(values, escape)
        if element is None:
            return None
        return Declared("map", _most(schema, "maxProperties", element.least_bytes + 6), element=element)
    properties = schema.get("properties") or {}
    required = schema.get("required") or ()
    least_bytes = 2
    fields: dict[str, Declared] = {}
    for name, body in properties.items():
        part = _part(body, escape)
        if part is not None:
            fields[escape(name)] = part
            if name in required and body.get("default") is None:
                least_bytes += len(name) + part.least_bytes + 4
    if is_resource:
        fields = {**fields, "kind": _TEXT, "apiVersion": _TEXT, "metadata": _META}
    return Declared("struct", 0, least_bytes, fields)


def _string(schema: Any) -> Declared:
    times = _TIME_BYTES.get(schema.get("format") or "")
    if times is not None:
        return Declared(*times)
    if schema.get("format") == "byte":
        return Declared("bytes", max(schema.get("maxLength", MAX_REQUEST_BYTES - 2), 0))
    if schema.get("maxLength") is None and schema.get("enum"):
        return Declared("string", max((len(one) for one in schema["enum"] if isinstance(one, str)), default=0))
    return Declared("string", _text_size(schema))


def _text_size(schema: Any) -> int:
    """maxLength counts characters, and each may take four bytes."""
    longest = schema.get("maxLength")
    return MAX_REQUEST_BYTES - 2 if longest is None else max(longest, 0) * 4


def _most(schema: Any, limit: str, bytes_each: int) -> int:
    most = schema.get(limit)
    return (MAX_REQUEST_BYTES - 2) // bytes_each if most is None else max(most, 0)
