"""Kubernetes' protobuf encoding, as far as it can be read with a table of field numbers.

On the wire an object is the four bytes `k8s\\0` and a `runtime.Unknown`, which names the kind and holds the message.
A `Message` maps field numbers to names and types; `decode` makes the same plain document of it that JSON would have
given. Fields that the table lacks are skipped, as protobuf demands. Proto2 fields of embedded structs are always
present on the wire, so an empty message becomes an empty dict and empty strings are left out, as `omitempty` has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sampan.apimachinery.object import Object

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
MAGIC: Final = b"k8s\x00"


class ProtobufError(ValueError):
    """The bytes are no message of that kind."""


@dataclass(frozen=True, slots=True)
class Field:
    """`type` is "string", "int", "bool" or a Message; `form` is "one", "list" or "map" (of string to `type`)."""

    name: str
    type: str | Mapping[int, Any] = "string"
    form: str = "one"


Message: TypeAlias = Mapping[int, Field]

TYPE_META: Final[Message] = {1: Field("apiVersion"), 2: Field("kind")}
OWNER_REFERENCE: Final[Message] = {
    1: Field("kind"), 3: Field("name"), 4: Field("uid"), 5: Field("apiVersion"), 6: Field("controller", "bool"),
    7: Field("blockOwnerDeletion", "bool"),
}
OBJECT_META: Final[Message] = {
    1: Field("name"), 2: Field("generateName"), 3: Field("namespace"), 5: Field("uid"), 6: Field("resourceVersion"),
    7: Field("generation", "int"), 11: Field("labels", "string", "map"), 12: Field("annotations", "string", "map"),
    13: Field("ownerReferences", OWNER_REFERENCE, "list"), 14: Field("finalizers", "string", "list"),
}


def unwrap(body: bytes) -> tuple[str, str, bytes]:
    """(apiVersion, kind, message) of an encoded object. Raises ProtobufError."""
    if not body.startswith(MAGIC):
        raise ProtobufError("the body does not begin with the protobuf magic number")
    type_meta: Object = {}
    raw = b""
    for number, value in _fields(body[len(MAGIC):]):
        if number == 1 and isinstance(value, bytes):
            type_meta = decode(TYPE_META, value)
        elif number == 2 and isinstance(value, bytes):
            raw = value
    return str(type_meta.get("apiVersion", "")), str(type_meta.get("kind", "")), raw


def decode(message: Message, data: bytes) -> Object:
    """The document that a message encodes. Raises ProtobufError."""
    found: Object = {}
    for number, value in _fields(data):
        field = message.get(number)
        if field is None:
            continue
        if field.form == "map":
            key, item = _entry(field, value)
            found.setdefault(field.name, {})[key] = item
        elif field.form == "list":
            found.setdefault(field.name, []).append(_value(field.type, value))
        else:
            decoded = _value(field.type, value)
            if decoded != "":
                found[field.name] = decoded
    return found


def _entry(field: Field, value: bytes | int) -> tuple[str, Any]:
    key, item = "", _value(field.type, b"")
    for number, part in _fields(_bytes(value)):
        if number == 1:
            key = _value("string", part)
        elif number == 2:
            item = _value(field.type, part)
    return key, item


def _value(type: str | Mapping[int, Any], value: bytes | int) -> Any:
    if isinstance(type, str) and type in ("int", "bool"):
        if not isinstance(value, int):
            raise ProtobufError("expected a number")
        if type == "bool":
            return bool(value)
        return value - 2**64 if value >= 2**63 else value
    if not isinstance(type, str):
        return decode(type, _bytes(value))
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError as error:
        raise ProtobufError(str(error)) from error


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ProtobufError("expected bytes")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(field number, content): bytes for length-delimited fields, a whole number for all others."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        size = {1: 8, 5: 4}.get(wire, 0)
        if wire == 2:
            size, at = _varint(data, at)
        elif not size:
            raise ProtobufError(f"wire type {wire}")
        if at + size > len(data):
            raise ProtobufError("the message is cut short")
        piece = data[at:at + size]
        at += size
        yield number, piece if wire == 2 else int.from_bytes(piece, "little")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ProtobufError("the message is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
