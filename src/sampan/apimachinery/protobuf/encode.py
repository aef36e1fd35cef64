"""From a plain document to protobuf, as Go programs ask for it.

Each message is compiled once, from the table, into a function a field. A field that the table lacks (it is newer than
the table) is left out, as any reader of an older version would have it; a value of the wrong type is an error.

`encode_object` gives an object in its envelope. A list is joined from messages that are already encoded
(`encode_message` and `encode_list`), and a watch event wraps an object in its envelope (`encode_event`).
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeAlias

import orjson

from sampan.apimachinery.duration import parse_go_nanoseconds, parse_time
from sampan.apimachinery.http import Pieces
from sampan.apimachinery.object import Object
from sampan.apimachinery.protobuf.table import fields_of, message_of, table
from sampan.apimachinery.protobuf.wire import ProtobufError, envelope, length_delimited, tag, varint, wrap

Add: TypeAlias = Callable[[bytes], None]
Field: TypeAlias = Callable[[Any, Add], None]
"""Writes one field's value, whatever its form."""
Content: TypeAlias = Callable[[Any], bytes]
"""What follows a value's tag, its length included where it has one."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_META_VERSIONS: Final = ("v1", "meta.k8s.io/v1", "meta.k8s.io/v1beta1")
_SECOND: Final = timedelta(seconds=1)


def can_encode(api_version: str, kind: str) -> bool:
    """Whether the kind has a message."""
    return f"{api_version}/{kind}" in table()["kinds"] or (
        api_version in _META_VERSIONS and message_of(api_version, kind) is not None
    )


def encode_object(obj: Object) -> bytes:
    """A document in its envelope. Raises ProtobufError for what has no message, or does not fit it."""
    api_version, kind = obj.get("apiVersion", ""), obj.get("kind", "")
    return wrap(api_version, kind, encode_message(api_version, kind, obj))


def encode_message(api_version: str, kind: str, obj: Mapping[str, Any]) -> bytes:
    """The message alone. Raises ProtobufError."""
    name = message_of(api_version, kind)
    if name is None:
        raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')
    try:
        return _message(name)(obj)
    except (AttributeError, TypeError, ValueError, OverflowError, binascii.Error) as error:
        raise ProtobufError(f"{kind} does not fit its message: {error}") from error


def encode_list(api_version: str, kind: str, metadata: Object, items: Iterable[bytes]) -> Pieces:
    """A list of encoded messages in its envelope."""
    head = length_delimited(1, _message("meta/v1.ListMeta")(metadata))
    parts = [length_delimited(2, item) for item in items]
    before, after = envelope(api_version, kind, len(head) + sum(map(len, parts)))
    return Pieces(before + head, parts, after)


def encode_event(type: str, obj: bytes) -> bytes:
    """A frame of a watch: its length in four bytes, then a WatchEvent around an object in its envelope."""
    event = length_delimited(1, type.encode()) + length_delimited(2, length_delimited(1, obj))
    return struct.pack(">I", len(event)) + event


@lru_cache(maxsize=2048)
def _message(name: str) -> Callable[[Mapping[str, Any]], bytes]:
    """The compiled encoder of a message."""
    writers: dict[str, Field] = {}
    inlined: list[tuple[int, frozenset[str], str]] = []
    for text, (field, kind, form, _) in fields_of(name).items():
        if form == "inline":
            inlined.append((int(text), _names(kind), kind))
        else:
            writers[field] = _FORMS[form](int(text), kind)

    def encode(doc: Mapping[str, Any]) -> bytes:
        parts: list[bytes] = []
        add = parts.append
        for key, value in doc.items():
            write = writers.get(key)
            if write is not None and value is not None:
                write(value, add)
        for number, names, kind in inlined:
            inner = {key: value for key, value in doc.items() if key in names}
            if inner:
                add(length_delimited(number, _message(kind)(inner)))
        return b"".join(parts)

    return encode


def _names(message: str) -> frozenset[str]:
    """The JSON names of a message's fields, those of inlined structs included."""
    found: set[str] = set()
    for field, kind, form, _ in fields_of(message).values():
        found |= _names(kind) if form == "inline" else {field}
    return frozenset(found)


def _one(number: int, kind: str) -> Field:
    head, content = tag(number, _WIRE_TYPES.get(kind, 2)), _content(kind)

    def write(value: Any, add: Add) -> None:
        add(head)
        add(content(value))

    return write


def _list(number: int, kind: str) -> Field:
    head, content = tag(number, _WIRE_TYPES.get(kind, 2)), _content(kind)

    def write(value: Any, add: Add) -> None:
        for item in value:
            add(head)
            add(content(item))

    return write


def _map(number: int, kind: str) -> Field:
    head, value_head, content = tag(number, 2), tag(2, _WIRE_TYPES.get(kind, 2)), _content(kind)

    def write(value: Any, add: Add) -> None:
        for key, item in value.items():
            entry = length_delimited(1, key.encode()) + value_head + content(item)
            add(head + varint(len(entry)) + entry)

    return write


def _content(kind: str) -> Content:
    written = _SCALARS.get(kind)
    if written is not None:
        return written
    make = _SPECIAL.get(kind)
    if make is not None:
        return lambda value: b"\x00" if value is None else _sized(make(value))

    def message(value: Any) -> bytes:
        return _sized(_message(kind)(value))

    return message


def _sized(content: bytes) -> bytes:
    return varint(len(content)) + content


def _string(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {value!r}")
    return _sized(value.encode())


def _number(value: Any) -> bytes:
    if value != int(value):
        raise ValueError(f"expected a whole number, got {value!r}")
    return varint(int(value))


def _time(value: Any) -> bytes:
    since = parse_time(value) - _EPOCH
    seconds = since // _SECOND
    nanoseconds = (since - seconds * _SECOND).microseconds * 1000
    return tag(1, 0) + varint(seconds) + (tag(2, 0) + varint(nanoseconds) if nanoseconds else b"")


def _quantity(value: Any) -> bytes:
    return length_delimited(1, (value if isinstance(value, str) else repr(value)).encode())


def _int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return tag(1, 0) + varint(1) + length_delimited(3, value.encode())
    return tag(1, 0) + varint(0) + tag(2, 0) + varint(value)


_SCALARS: Final[Mapping[str, Content]] = {
    "string": _string, "bool": lambda value: b"\x01" if value else b"\x00", "int": _number,
    "double": lambda value: struct.pack("<d", value), "bytes": lambda value: _sized(base64.b64decode(value)),
}
_SPECIAL: Final[Mapping[str, Content]] = {
    "Time": _time, "MicroTime": _time, "Duration": lambda value: tag(1, 0) + varint(parse_go_nanoseconds(value)),
    "Quantity": _quantity, "IntOrString": _int_or_string,
    "Raw": lambda value: length_delimited(1, orjson.dumps(value)),
    "Items": lambda value: b"".join(length_delimited(1, item.encode()) for item in value),
}
_WIRE_TYPES: Final[Mapping[str, int]] = {"bool": 0, "int": 0, "double": 1}
_FORMS: Final[Mapping[str, Callable[[int, str], Field]]] = {"one": _one, "list": _list, "map": _map}
