"""The client's end of a stream: chunks framed for HTTP/1.1 and written straight to the transport.

Many watches are sent the same bytes one after the other, so the last framed chunk is kept and sent again as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

_last: tuple[bytes, bytes] = b"", b""


def framed(chunk: bytes) -> bytes:
    """A chunk of `transfer-encoding: chunked`."""
    global _last
    known, found = _last
    if known is not chunk:
        found = b"%x\r\n%s\r\n" % (len(chunk), chunk)
        _last = chunk, found
    return found


class Outlet(Protocol):
    """What a sink needs of its connection."""

    is_paused: bool
    transport: asyncio.Transport | None

    async def drained(self) -> None: ...


class StreamSink:
    """See `apimachinery.http.Sink`. The connection calls `opens` when the peer reads again."""

    __slots__ = ("_callback", "_chunked", "_connection")

    def __init__(self, connection: Outlet, *, chunked: bool) -> None:
        self._connection = connection
        self._chunked = chunked
        self._callback: Callable[[], object] | None = None

    @property
    def is_open(self) -> bool:
        connection = self._connection
        return not connection.is_paused and connection.transport is not None

    def write(self, chunk: bytes) -> None:
        transport = self._connection.transport
        if transport is not None:
            transport.write(framed(chunk) if self._chunked else chunk)

    async def opened(self) -> None:
        await self._connection.drained()

    def on_open(self, callback: Callable[[], object] | None) -> None:
        self._callback = callback

    def opens(self) -> None:
        """Let the stream go on."""
        if self._callback is not None:
            self._callback()
