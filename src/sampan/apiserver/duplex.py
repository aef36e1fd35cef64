"""The raw stream of an upgraded connection; see `apimachinery.http.Duplex`.

Bytes from the peer wait here until the handler reads them; the peer is held back while too many wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

HIGH_WATER_BYTES: Final = 256 * 1024


class ConnectionDuplex:
    """Made by the connection, with a way to `send`, for a handler that reads, writes and closes."""

    def __init__(
        self, transport: asyncio.Transport, send: Callable[[bytes], Awaitable[None]], first: bytes
    ) -> None:
        self._transport = transport
        self._send = send
        self._received: deque[bytes] = deque([first] if first else [])
        self._held_bytes = len(first)
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._paused = False

    def feed(self, data: bytes) -> None:
        """Bytes from the peer; reading pauses while too many wait."""
        self._received.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def feed_eof(self) -> None:
        self._ended = True
        self._wake()

    async def read(self) -> bytes:
        while not self._received:
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._received.popleft()
        self._held_bytes -= len(data)
        if self._paused and self._held_bytes < HIGH_WATER_BYTES // 2 and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        await self._send(data)

    async def close(self) -> None:
        self.feed_eof()
        self._transport.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
