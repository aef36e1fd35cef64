"""The form of a store's snapshot: one byte stream that every embedded backend writes and reads.

A magic line, a header (newest revision, oldest readable one), every version that is still known in revision order, and
a SHA-256 of all that. So a sqlite store can be forked into memory and back, history included. A stream that is cut
short or damaged is refused as a whole by `SnapshotDamaged`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import AsyncIterable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sampan.storage.store import KeyValue, StoreError

MAGIC = b"sampan-store-1\n"
_HEADER = struct.Struct(">QQ")
_VERSION = struct.Struct(">QQBII")
_END = b"\x02"
_DELETED = b"\x01"
_CHUNK_BYTES = 256 * 1024


class SnapshotDamaged(StoreError):
    """The stream is not a whole snapshot."""


@dataclass(frozen=True, slots=True)
class Header:
    revision: int
    oldest: int


class Version(NamedTuple):
    """A state that a key had from `kv.mod_revision` on. Deleted: `kv.value` is the last value."""

    kv: KeyValue
    deleted: bool


def encode(header: Header, versions: Iterable[Version]) -> Iterator[bytes]:
    """The stream, in chunks. `versions` must be in revision order."""
    digest = hashlib.sha256()
    chunk = bytearray(MAGIC + _HEADER.pack(header.revision, header.oldest))
    for version in versions:
        kv = version.kv
        key = kv.key.encode()
        chunk += _VERSION.pack(kv.mod_revision, kv.create_revision, version.deleted, len(key), len(kv.value))
        chunk += key
        chunk += kv.value
        if len(chunk) >= _CHUNK_BYTES:
            digest.update(chunk)
            yield bytes(chunk)
            chunk.clear()
    chunk += _VERSION.pack(0, 0, _END[0], 0, 0)
    digest.update(chunk)
    yield bytes(chunk) + digest.digest()


async def decode(stream: AsyncIterable[bytes]) -> tuple[Header, list[Version]]:
    """The header and the versions. Raises SnapshotDamaged; nothing is returned before everything is verified."""
    reader = _Reader(stream)
    if await reader.take(len(MAGIC)) != MAGIC:
        raise SnapshotDamaged("not a snapshot of a sampan store")
    header = Header(*_HEADER.unpack(await reader.take(_HEADER.size)))
    raw: list[tuple[int, int, int, bytes, bytes]] = []
    while True:
        mod, create, flag, key_size, value_size = _VERSION.unpack(await reader.take(_VERSION.size))
        if flag == _END[0]:
            break
        raw.append((mod, create, flag, await reader.take(key_size), await reader.take(value_size)))
    expected = reader.digest()
    if await reader.take(hashlib.sha256().digest_size) != expected:
        raise SnapshotDamaged("the checksum does not match")
    return header, [
        Version(KeyValue(key.decode(), value, create, mod), flag == _DELETED[0])
        for mod, create, flag, key, value in raw
    ]


class _Reader:
    """Exact byte counts from a stream of arbitrary chunks, hashed as they are taken."""

    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._chunks = aiter(stream)
        self._buffer = bytearray()
        self._hash = hashlib.sha256()

    async def take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:
                self._buffer += await anext(self._chunks)
            except StopAsyncIteration:
                raise SnapshotDamaged("the stream ends early") from None
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._hash.update(taken)
        return taken

    def digest(self) -> bytes:
        return self._hash.digest()
