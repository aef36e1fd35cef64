"""One SPDY/3.1 connection, as its client or as its server: opens streams, sends data, tells what arrives.

There are no queues: `events()` hands over each frame as it is read, so whoever consumes it slowly slows the peer
down, through TCP, and nothing piles up here. Streams of a client have odd numbers, those of a server even ones.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final, TypeAlias

from sampan.apimachinery.http import Duplex
from sampan.apiserver.streams.spdy_frames import (
    SYN_REPLY,
    SYN_STREAM,
    Data,
    Frame,
    FrameCodec,
    GoAway,
    Opened,
    Ping,
    Reset,
)

CHUNK_BYTES: Final = 32 * 1024
CANCEL: Final = 5

Event: TypeAlias = Data | Opened | Reset | GoAway


class SPDYConnection:
    """A connection over a raw stream, after its upgrade."""

    def __init__(self, raw: Duplex, *, server: bool = False) -> None:
        self._raw = raw
        self._codec = FrameCodec()
        self._next = 2 if server else 1
        self._writing = asyncio.Lock()

    async def open(self, headers: Mapping[str, str]) -> int:
        """A new stream; its number. The peer's SYN_REPLY comes as an event."""
        stream = self._next
        self._next += 2
        await self._send(Opened(SYN_STREAM, stream, headers))
        return stream

    async def accept(self, stream: int) -> None:
        """Answer a peer's SYN_STREAM."""
        await self._send(Opened(SYN_REPLY, stream))

    async def write(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        """Send data, and with `fin` end our half of the stream."""
        for start in range(0, len(data), CHUNK_BYTES):
            last = start + CHUNK_BYTES >= len(data)
            await self._send(Data(stream, data[start:start + CHUNK_BYTES], fin and last))
        if fin and not data:
            await self._send(Data(stream, b"", True))

    async def reset(self, stream: int, status: int = CANCEL) -> None:
        await self._send(Reset(stream, status))

    async def events(self) -> AsyncIterator[Event]:
        """What arrives, until the peer closes. Answers pings. Raises SPDYError, ConnectionError."""
        while data := await self._raw.read():
            for frame in self._codec.feed(data):
                if isinstance(frame, Ping):
                    # Ours would carry the other parity; only the peer's own are answered.
                    if frame.number % 2 != self._next % 2:
                        await self._send(frame)
                    continue
                yield frame

    async def close(self) -> None:
        """Say goodbye and close. Idempotent."""
        with contextlib.suppress(ConnectionError):
            await self._send(GoAway(0, 0))
        await self._raw.close()

    async def _send(self, frame: Frame) -> None:
        # Encoding and writing are one step: the header compressor's order must be the wire's.
        async with self._writing:
            await self._raw.write(self._codec.encode(frame))
