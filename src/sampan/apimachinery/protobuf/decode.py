"""From protobuf to the plain document that JSON would have given.

What a message's numbers mean is in `messages.json.gz` (see `build`), loaded when the first such body arrives. Fields
that the table lacks are skipped, as protobuf demands. Go sends a value for every field that is no pointer, also for an
empty one; where JSON would leave it out (`omitempty`), so does this.
"""

from __future__ import annotations

import base64
import datetime
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from sampan.apimachinery.duration import format_go_duration, format_micro_time, format_time
from sampan.apimachinery.object import Object
from sampan.apimachinery.protobuf import wire
from sampan.apimachinery.protobuf.table import fields_of, message_of
from sampan.apimachinery.protobuf.wire import Piece, ProtobufError


def decode_object(body: bytes) -> Object:
    """The document in an encoded object, apiVersion and kind included. Raises ProtobufError, also for unknown kinds."""
    api_version, kind, message = wire.unwrap(body)
    name = message_of(api_version, kind)
    if name is None:
        raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')
    return {"kind": kind, "apiVersion": api_version, **_message(name, message)}


def _message(name: str, data: bytes) -> Object:
    found: Object = {}
    table = fields_of(name)
    for number, value in wire.fields(data):
        entry = table.get(str(number))
        if entry is None:
            continue
        field, kind, form, keep = entry
        if form == "inline":
            found.update(_message(kind, wire.data(value)))
        elif form == "list":
            found.setdefault(field, []).append(_value(kind, value))
        elif form == "map":
            key, item = _map_entry(kind, value)
            found.setdefault(field, {})[key] = item
        else:
            decoded = _value(kind, value)
            if decoded is not None and (keep or (decoded != "" and decoded is not False and decoded != 0)):
                found[field] = decoded
    return found


def _map_entry(kind: str, value: Piece) -> tuple[str, Any]:
    key, item = "", _value(kind, 0 if kind in ("int", "bool") else b"")
    for number, part in wire.fields(wire.data(value)):
        if number == 1:
            key = wire.string(part)
        elif number == 2:
            item = _value(kind, part)
    return key, item


def _value(kind: str, value: Piece) -> Any:
    read = _READERS.get(kind)
    return read(value) if read else _message(kind, wire.data(value))


def _double(value: Piece) -> float:
    return float(struct.unpack("<d", wire.number(value).to_bytes(8, "little", signed=True))[0])


def _time(value: Piece) -> str | None:
    """RFC 3339; None for Go's zero time."""
    moment = _moment(value)
    return None if moment is None else format_time(moment)


def _micro_time(value: Piece) -> str | None:
    """RFC 3339 with six decimals; None for Go's zero time."""
    moment = _moment(value)
    return None if moment is None else format_micro_time(moment)


def _moment(value: Piece) -> datetime.datetime | None:
    parts = {number: wire.number(part) for number, part in wire.fields(wire.data(value))}
    if not parts:
        return None
    try:
        moment = datetime.datetime.fromtimestamp(parts.get(1, 0), datetime.UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise ProtobufError(f"no time: {error}") from error
    return moment.replace(microsecond=parts.get(2, 0) // 1000 % 1_000_000)


def _duration(value: Piece) -> str:
    nanoseconds = sum(wire.number(part) for number, part in wire.fields(wire.data(value)) if number == 1)
    return format_go_duration(datetime.timedelta(microseconds=nanoseconds / 1000))


def _first_string(value: Piece) -> str:
    return "".join(wire.string(part) for number, part in wire.fields(wire.data(value)) if number == 1)


def _int_or_string(value: Piece) -> int | str:
    parts = dict(wire.fields(wire.data(value)))
    return wire.string(parts.get(3, b"")) if parts.get(1) else wire.number(parts.get(2, 0))


def _raw(value: Piece) -> Any:
    for number, part in wire.fields(wire.data(value)):
        if number == 1 and part:
            try:
                return orjson.loads(wire.data(part))
            except orjson.JSONDecodeError as error:
                raise ProtobufError(str(error)) from error
    return None


def _items(value: Piece) -> list[str]:
    return [wire.string(part) for number, part in wire.fields(wire.data(value)) if number == 1]


_READERS: Final[Mapping[str, Callable[[Piece], Any]]] = {
    "string": wire.string, "bool": lambda value: bool(wire.number(value)), "int": wire.number, "double": _double,
    "bytes": lambda value: base64.b64encode(wire.data(value)).decode(), "Time": _time, "MicroTime": _micro_time,
    "Duration": _duration, "Quantity": _first_string, "IntOrString": _int_or_string, "Raw": _raw, "Items": _items,
}
