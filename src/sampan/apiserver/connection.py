"""One client's connection: aiohttp parses what comes in, this class says what goes out and who owns the stream.

Answers are written straight to the transport: a head and a body for ordinary ones, chunks with backpressure for
streams. When a response upgrades the connection, bytes are diverted from the HTTP parser into a `ConnectionDuplex`, for
WebSocket and SPDY alike (aiohttp's parser itself knows only the former), and the connection is closed afterwards, so no
second request can ever be smuggled through a half-upgraded connection.
"""

from __future__ import annotations

import asyncio
import http
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from aiohttp.helpers import rfc822_formatted_time
from aiohttp.web_protocol import RequestHandler

from sampan.apimachinery.http import Response

HIGH_WATER_BYTES: Final = 256 * 1024
_JOIN_BELOW_BYTES: Final = 64 * 1024


class ConnectionDuplex:
    """The raw stream after an upgrade; see `apimachinery.http.Duplex`."""

    def __init__(self, connection: Connection, first: bytes) -> None:
        self._connection = connection
        self._received: deque[bytes] = deque([first] if first else [])
        self._held_bytes = len(first)
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._paused = False

    def feed(self, data: bytes) -> None:
        """Bytes from the peer; reading pauses while too many wait."""
        self._received.append(data)
        self._held_bytes += len(data)
        transport = self._connection.transport
        if self._held_bytes > HIGH_WATER_BYTES and not self._paused and transport is not None:
            self._paused = True
            transport.pause_reading()
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
        transport = self._connection.transport
        if self._paused and self._held_bytes < HIGH_WATER_BYTES // 2 and transport is not None:
            self._paused = False
            transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        await self._connection.send(data)

    async def close(self) -> None:
        self.feed_eof()
        transport = self._connection.transport
        if transport is not None:
            transport.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(RequestHandler):
    """aiohttp's protocol with its own way out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._duplex: ConnectionDuplex | None = None
        self._on_lost: Callable[[], object] | None = None
        self.peer_certificate: bytes | None = None
        self.remote = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.peer_certificate = tls.getpeercert(True)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.remote = str(peer[0])

    def data_received(self, data: bytes) -> None:
        if self._duplex is not None:
            self._duplex.feed(data)
        else:
            super().data_received(data)

    def eof_received(self) -> None:
        if self._duplex is not None:
            self._duplex.feed_eof()
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._duplex is not None:
            self._duplex.feed_eof()
        if self._on_lost is not None:
            self._on_lost()
        super().connection_lost(exc)

    async def send(self, data: bytes) -> None:
        """Write; wait while the peer reads too slowly. Raises ConnectionError when it is gone."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        transport.write(data)
        if self._paused:
            await self._drain_helper()

    async def answer(self, response: Response, *, head_only: bool, keep_alive: bool) -> None:
        """Send a whole answer."""
        body = response.body
        head = _head(response.status, response.headers, f"content-length: {len(body)}\r\n", keep_alive)
        if head_only:
            await self.send(head)
        elif len(body) < _JOIN_BELOW_BYTES:
            await self.send(head + body)
        else:
            await self.send(head)
            await self.send(body)

    async def stream(self, response: Response, *, chunked: bool) -> None:
        """Send an answer piece by piece; ends early, closing the source, when the peer is gone."""
        assert response.stream is not None
        framing = "transfer-encoding: chunked\r\n" if chunked else ""
        source = response.stream
        task = asyncio.current_task()
        assert task is not None
        self._on_lost = task.cancel
        try:
            await self.send(_head(response.status, response.headers, framing, chunked))
            async for chunk in source:
                if chunk:
                    await self.send(b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunked else chunk)
            if chunked:
                await self.send(b"0\r\n\r\n")
        finally:
            self._on_lost = None
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()

    async def upgrade(self, response: Response) -> None:
        """Hand the connection over until the handler is done with it."""
        assert response.upgrade is not None
        first, self._message_tail = self._message_tail, b""
        duplex = self._duplex = ConnectionDuplex(self, first)
        head = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        await self.send(f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode("latin-1"))
        try:
            await response.upgrade(duplex)
        finally:
            await duplex.close()
            self.force_close()


@lru_cache(maxsize=256)
def _status_line(status: int) -> str:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return f"HTTP/1.1 {status} {phrase}\r\n"


def _head(status: int, headers: Mapping[str, str], framing: str, keep_alive: bool) -> bytes:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if "\n" in lines.replace("\r\n", ""):
        lines = "".join(f"{name}: {_clean(value)}\r\n" for name, value in headers.items())
    closing = "" if keep_alive else "connection: close\r\n"
    return f"{_status_line(status)}date: {rfc822_formatted_time()}\r\n{lines}{framing}{closing}\r\n".encode()


def _clean(value: str) -> str:
    """No header value may end its line early."""
    return value.replace("\r", " ").replace("\n", " ")
