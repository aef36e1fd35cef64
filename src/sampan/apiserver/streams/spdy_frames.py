"""SPDY/3.1 frames as bytes: what Kubernetes' streaming connections are made of.

A control frame is version, type, flags, length and content; a data frame is stream, flags, length and content. Header
blocks are compressed by one zlib stream a direction, primed with the protocol's dictionary, so frames must be encoded
and decoded in the order in which they travel. `FrameCodec` holds that state and knows no socket. Source: "SPDY
Protocol - Draft 3.1"; flow-control windows are not enforced, as no Kubernetes peer announces any.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

VERSION: Final = 3
FIN: Final = 0x01
MAX_LENGTH: Final = 2**24 - 1

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9

_NAMES = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_LATER_NAMES = "version HTTP/1.1 url public set-cookie keep-alive origin"
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    def counted(words: list[str]) -> bytes:
        return b"".join(struct.pack(">I", len(word)) + word.encode() for word in words)

    return counted([*_NAMES.split(), "200 OK", *_LATER_NAMES.split()]) + _REST.encode()


DICTIONARY: Final = _dictionary()


class SPDYError(ConnectionError):
    """The peer broke the protocol."""


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream; `fin` ends the sender's half."""

    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """SYN_STREAM, SYN_REPLY or HEADERS (`type`): a stream begins, is accepted, or gets more headers."""

    type: int
    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """A stream ends abruptly."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Ping:
    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The peer accepts no streams after `last_stream`."""

    last_stream: int
    status: int


Frame: TypeAlias = Data | Opened | Reset | Ping | GoAway


class FrameCodec:
    """Encodes what we send and decodes what we receive, on one connection."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(9, zdict=DICTIONARY)
        self._decompressor = zlib.decompressobj(zdict=DICTIONARY)
        self._buffer = bytearray()

    def encode(self, frame: Frame) -> bytes:
        if isinstance(frame, Data):
            return struct.pack(">II", frame.stream, (FIN if frame.fin else 0) << 24 | len(frame.data)) + frame.data
        if isinstance(frame, Opened):
            start = struct.pack(">I", frame.stream)
            if frame.type == SYN_STREAM:
                start += struct.pack(">IBB", 0, 0, 0)
            return _control(frame.type, start + self._compressed(frame.headers), FIN if frame.fin else 0)
        if isinstance(frame, Reset):
            return _control(RST_STREAM, struct.pack(">II", frame.stream, frame.status))
        if isinstance(frame, Ping):
            return _control(PING, struct.pack(">I", frame.number))
        return _control(GOAWAY, struct.pack(">II", frame.last_stream, frame.status))

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that these bytes complete; SETTINGS and WINDOW_UPDATE need no answer and are left out."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 8:
            first, second = struct.unpack_from(">II", buffer)
            length = second & MAX_LENGTH
            if len(buffer) < 8 + length:
                return
            payload = bytes(memoryview(buffer)[8:8 + length])
            del buffer[:8 + length]
            fin = bool(second >> 24 & FIN)
            if not first >> 31:
                yield Data(first, payload, fin)
                continue
            if first >> 16 & 0x7FFF != VERSION:
                raise SPDYError(f"SPDY version {first >> 16 & 0x7FFF}, expected {VERSION}")
            frame = self._decoded(first & 0xFFFF, payload, fin)
            if frame is not None:
                yield frame

    def _decoded(self, type: int, payload: bytes, fin: bool) -> Frame | None:
        try:
            if type == SYN_STREAM:
                return Opened(type, _number(payload, 0), self._decompressed(payload[10:]), fin)
            if type in (SYN_REPLY, HEADERS):
                return Opened(type, _number(payload, 0), self._decompressed(payload[4:]), fin)
            if type == RST_STREAM:
                return Reset(_number(payload, 0), _number(payload, 4))
            if type == PING:
                return Ping(_number(payload, 0))
            if type == GOAWAY:
                return GoAway(_number(payload, 0), _number(payload, 4))
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise SPDYError(f"bad control frame of type {type}: {error}") from error
        if type in (SETTINGS, WINDOW_UPDATE):
            return None
        raise SPDYError(f"unknown control frame type {type}")

    def _compressed(self, headers: Mapping[str, str]) -> bytes:
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += struct.pack(">I", len(text)) + text
        return self._compressor.compress(block) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def _decompressed(self, data: bytes) -> dict[str, str]:
        block = self._decompressor.decompress(data, MAX_LENGTH)
        (count,) = struct.unpack_from(">I", block)
        texts: list[str] = []
        at = 4
        for _ in range(2 * min(count, 1024)):
            length = _number(block, at)
            texts.append(block[at + 4:at + 4 + length].decode())
            at += 4 + length
        return dict(zip(texts[::2], texts[1::2], strict=True))


def _control(type: int, payload: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, type, flags << 24 | len(payload)) + payload


def _number(data: bytes, at: int) -> int:
    (value,) = struct.unpack_from(">I", data, at)
    return int(value) & 0x7FFFFFFF if at == 0 else int(value)
