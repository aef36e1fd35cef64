"""CustomResourceDefinitions whose schemas name formats that nobody checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import Object, dig

_KNOWN: Final = frozenset({
    "bsonobjectid", "uri", "email", "hostname", "ipv4", "ipv6", "cidr", "mac", "uuid", "uuid3", "uuid4", "uuid5",
    "isbn", "isbn10", "isbn13", "creditcard", "ssn", "hexcolor", "rgbcolor", "byte", "password", "date", "duration",
    "datetime", "k8sshortname", "k8slongname",
})
"""Those that upstream documents, without their hyphens."""
_ONE: tuple[str, ...] = ("items", "additionalProperties", "not")
_MANY: tuple[str, ...] = ("allOf", "anyOf", "oneOf")


def definition(new: Object, old: Object | None) -> Iterator[str]:
    known = set(_unknown_formats(old)) if old is not None else set()
    for name in dict.fromkeys(_unknown_formats(new)):
        if name not in known:
            yield f"unrecognized format {quoted(name)}"


def _unknown_formats(obj: Object) -> Iterator[str]:
    for version in dig(obj, "spec", "versions", default=()):
        yield from _of_schema(dig(version, "schema", "openAPIV3Schema"))


def _of_schema(schema: Any) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    name = schema.get("format")
    if name and str(name).replace("-", "") not in _KNOWN:
        yield str(name)
    for key in _ONE:
        yield from _of_schema(schema.get(key))
    for key in _MANY:
        for one in schema.get(key) or ():
            yield from _of_schema(one)
    for one in (schema.get("properties") or {}).values():
        yield from _of_schema(one)
