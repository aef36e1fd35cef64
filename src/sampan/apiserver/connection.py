"""One client's connection: requests are handled in the order in which they came, one at a time.

Answers are written straight to the transport: a head and a body for ordinary ones, chunks with backpressure for
streams. When a response upgrades the connection, bytes are diverted from the HTTP parser into a `ConnectionDuplex`, for
WebSocket and SPDY alike, and the connection is closed afterwards; it is also closed when an upgrade was asked for and
refused. So no second request can ever be smuggled through a half-upgraded connection.

A connection on which no request is handled, and none has been for KEEPALIVE_S, is closed; one request that trickles in
does not keep it open.
"""

from __future__ import annotations

import asyncio
import http
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias, cast

from sampan import effects
from sampan.apimachinery.http import Response
from sampan.apiserver.duplex import ConnectionDuplex
from sampan.apiserver.incoming import Incoming, IncomingReader

log = logging.getLogger(__name__)
KEEPALIVE_S: Final = 180.0
LINGER_S: Final = 1.0
MAX_WAITING: Final = 8
_JOIN_BELOW_BYTES: Final = 64 * 1024

Handle: TypeAlias = Callable[["Connection", Incoming], Awaitable[bool]]
"""Answers one request on its connection; whether the connection may be kept."""


class Connection(asyncio.Protocol):
    """asyncio's protocol. `open_connections` holds it as long as it is open."""

    def __init__(self, handle: Handle, max_body_bytes: int, open_connections: set[Connection]) -> None:
        self._handle = handle
        self._open_connections = open_connections
        self._reader = IncomingReader(max_body_bytes, self._take, self._continue)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Incoming] = deque()
        self._is_held_back = False
        self._duplex: ConnectionDuplex | None = None
        self._on_lost: Callable[[], object] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._idle_since_s = effects.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self.serving: asyncio.Task[None] | None = None
        self.peer_certificate: bytes | None = None
        self.remote = ""

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open_connections.add(self)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.peer_certificate = tls.getpeercert(True)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.remote = str(peer[0])
        self._timer = self._loop.call_later(KEEPALIVE_S, self._check_idle)

    def data_received(self, data: bytes) -> None:
        if self._duplex is not None:
            self._duplex.feed(data)
        elif not self._reader.has_ended:
            rest = self._reader.feed(data)
            if rest is not None and self._transport is not None:
                self._duplex = ConnectionDuplex(self._transport, self.send, rest)

    def eof_received(self) -> bool:
        if self._duplex is not None:
            self._duplex.feed_eof()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_connections.discard(self)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._duplex is not None:
            self._duplex.feed_eof()
        if self._on_lost is not None:
            self._on_lost()
        self.resume_writing()

    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    # Requests

    def _take(self, message: Incoming) -> None:
        self._waiting.append(message)
        if self.serving is None:
            self.serving = self._loop.create_task(self._serve())
        elif len(self._waiting) >= MAX_WAITING and self._transport is not None:
            self._is_held_back = True
            self._transport.pause_reading()

    def _continue(self) -> None:
        if self._transport is not None and self.serving is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def _serve(self) -> None:
        """All requests that are there; a new task serves the next ones."""
        keep = True
        try:
            while keep and self._waiting and self._transport is not None:
                message = self._waiting.popleft()
                keep = await self._handle(self, message)
                if self._is_held_back and self._transport is not None:
                    self._is_held_back = False
                    self._transport.resume_reading()
            if not keep:
                self._end(unread=message.error is not None)
        except ConnectionError:
            self._end(unread=False)  # the peer is gone
        except Exception:
            log.exception("a connection from %s failed", self.remote)
            self._end(unread=False)
        finally:
            self.serving = None
            self._idle_since_s = effects.monotonic()

    def _end(self, *, unread: bool) -> None:
        """Close. A peer that still sends gets the time to read the answer: closing at once would reset it."""
        self._waiting.clear()
        if self._transport is None:
            return
        if unread:
            self._loop.call_later(LINGER_S, self._transport.close)
        else:
            self._transport.close()

    def _check_idle(self) -> None:
        idle_s = effects.monotonic() - self._idle_since_s if self.serving is None else 0.0
        if idle_s >= KEEPALIVE_S and self._transport is not None:
            self._transport.close()
        else:
            self._timer = self._loop.call_later(KEEPALIVE_S - idle_s, self._check_idle)

    def end_if_idle(self) -> None:
        """Close unless a request is being handled or read; after the present one at the latest."""
        if self.serving is None and self._reader.is_between_requests:
            self._end(unread=False)

    def abort(self) -> None:
        """Close now, whatever is going on."""
        if self.serving is not None:
            self.serving.cancel()
        if self._transport is not None:
            self._transport.abort()

    # Answers

    async def send(self, data: bytes) -> None:
        """Write; wait while the peer reads too slowly. Raises ConnectionError when it is gone."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        transport.write(data)
        if self._drained is not None:
            await asyncio.shield(self._drained)

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

    async def stream(self, response: Response, *, chunked: bool, keep_alive: bool) -> None:
        """Send an answer piece by piece; ends early, closing the source, when the peer is gone."""
        assert response.stream is not None
        framing = "transfer-encoding: chunked\r\n" if chunked else ""
        source = response.stream
        task = asyncio.current_task()
        assert task is not None
        self._on_lost = task.cancel
        try:
            await self.send(_head(response.status, response.headers, framing, keep_alive))
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
        assert response.upgrade is not None and self._duplex is not None
        head = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        await self.send(f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode("latin-1"))
        try:
            await response.upgrade(self._duplex)
        finally:
            await self._duplex.close()


@lru_cache(maxsize=256)
def _status_line(status: int) -> str:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return f"HTTP/1.1 {status} {phrase}\r\n"


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    """The Date header, made once a second."""
    return f"date: {effects.now():%a, %d %b %Y %H:%M:%S} GMT\r\n"


def _head(status: int, headers: Mapping[str, str], framing: str, keep_alive: bool) -> bytes:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        lines = "".join(f"{name}: {_clean(value)}\r\n" for name, value in headers.items())
    closing = "" if keep_alive else "connection: close\r\n"
    return f"{_status_line(status)}{_date(int(effects.monotonic()))}{lines}{framing}{closing}\r\n".encode()


def _clean(value: str) -> str:
    """No header value may end its line early."""
    return value.replace("\r", " ").replace("\n", " ")
