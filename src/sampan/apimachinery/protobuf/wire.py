"""Protobuf's wire format, and the envelope that Kubernetes puts around a message.

On the wire an object is the four bytes `k8s\\0` and a `runtime.Unknown`, which names the kind and holds the message.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

MAGIC: Final = b"k8s\x00"
_ONE_BYTE: Final = tuple(bytes([value]) for value in range(0x80))

Piece: TypeAlias = bytes | int
"""A field's content: bytes if it is length-delimited, else a whole number without sign."""


class ProtobufError(ValueError):
    """The bytes are no message of that kind."""


def unwrap(body: bytes) -> tuple[str, str, bytes]:
    """(apiVersion, kind, message) of an encoded object. Raises ProtobufError."""
    if not body.startswith(MAGIC):
        raise ProtobufError("the body does not begin with the protobuf magic number")
    api_version = kind = ""
    raw = b""
    for number, value in fields(body[len(MAGIC):]):
        if number == 1:
            for inner, text in fields(data(value)):
                if inner == 1:
                    api_version = string(text)
                elif inner == 2:
                    kind = string(text)
        elif number == 2:
            raw = data(value)
    return api_version, kind, raw


def wrap(api_version: str, kind: str, message: bytes) -> bytes:
    """The envelope around a message."""
    before, after = envelope(api_version, kind, len(message))
    return b"".join((before, message, after))


def envelope(api_version: str, kind: str, size_bytes: int) -> tuple[bytes, bytes]:
    """What comes before and after a message of that size."""
    meta = length_delimited(1, api_version.encode()) + length_delimited(2, kind.encode())
    return MAGIC + length_delimited(1, meta) + tag(2, 2) + varint(size_bytes), b"\x1a\x00\x22\x00"


def length_delimited(number: int, content: bytes) -> bytes:
    """A field of bytes, a string or a message."""
    return tag(number, 2) + varint(len(content)) + content


def tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def varint(value: int) -> bytes:
    """A whole number without sign, or a negative one in ten bytes."""
    if 0 <= value < 0x80:
        return _ONE_BYTE[value]
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def fields(message: bytes) -> Iterator[tuple[int, Piece]]:
    """(field number, content) in the order in which they stand. Raises ProtobufError."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        size = {1: 8, 5: 4}.get(wire, 0)
        if wire == 2:
            size, at = _varint(message, at)
        elif not size:
            raise ProtobufError(f"wire type {wire}")
        if at + size > len(message):
            raise ProtobufError("the message is cut short")
        piece = message[at:at + size]
        at += size
        yield number, piece if wire == 2 else int.from_bytes(piece, "little")


def data(piece: Piece) -> bytes:
    if isinstance(piece, int):
        raise ProtobufError("expected bytes")
    return piece


def number(piece: Piece) -> int:
    """A signed whole number."""
    if not isinstance(piece, int):
        raise ProtobufError("expected a number")
    return piece - 2**64 if piece >= 2**63 else piece


def string(piece: Piece) -> str:
    try:
        return data(piece).decode()
    except UnicodeDecodeError as error:
        raise ProtobufError(str(error)) from error


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ProtobufError("the message is cut short")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
