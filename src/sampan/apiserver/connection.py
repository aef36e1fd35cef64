"""One client's connection: requests are handled in the order in which they came, one at a time.

Answers are written straight to the transport: a head and a body for ordinary ones, chunks with backpressure for
streams. When a response upgrades the connection, bytes are diverted from the HTTP parser into a `ConnectionDuplex`, for
WebSocket and SPDY alike, and the connection is closed afterwards; it is also closed when an upgrade was asked for and
refused. So no second request can ever be smuggled through a half-upgraded connection.

A connection on which no request is handled, and none has been for KEEPALIVE_S, is closed; one request that trickles in
does not keep it open. A peer that takes nothing of an answer for STALL_S, or does not let go within CLOSE_S of the end,
is cut off, so that nobody can make the server hold what it will not read.
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
from sampan.apimachinery.http import CHUNK_BYTES, Pushing, Response
from sampan.apiserver.duplex import ConnectionDuplex
from sampan.apiserver.incoming import Incoming, IncomingReader
from sampan.apiserver.places import Places
from sampan.apiserver.stream_sink import StreamSink, framed

log = logging.getLogger(__name__)
KEEPALIVE_S: Final = 180.0
LINGER_S: Final = 1.0
STALL_S: Final = 60.0
CLOSE_S: Final = 30.0
MAX_WAITING: Final = 8

Handle: TypeAlias = Callable[["Connection", Incoming], Awaitable[bool]]
"""Answers one request on its connection; whether the connection may be kept."""


class Connection(asyncio.Protocol):
    """asyncio's protocol. `places` holds it as long as it is open, and may close it while it is idle."""

    def __init__(self, handle: Handle, max_body_bytes: int, places: Places[Connection]) -> None:
        self._handle = handle
        self._places = places
        self._reader = IncomingReader(max_body_bytes, self._take, self._continue)
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self._waiting: deque[Incoming] = deque()
        self._is_held_back = False
        self._duplex: ConnectionDuplex | None = None
        self._on_lost: Callable[[], object] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._sink: StreamSink | None = None
        self.is_paused = False
        self._idle_since_s = effects.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self.is_one_too_many = False
        self.serving: asyncio.Task[None] | None = None
        self.peer_certificate: bytes | None = None
        self.remote = ""

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.is_one_too_many = not self._places.take(self)
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
            if rest is not None and self.transport is not None:
                self._duplex = ConnectionDuplex(self.transport, self.send, rest)

    def eof_received(self) -> bool:
        if self._duplex is not None:
            self._duplex.feed_eof()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.leave(self)
        self.transport = None
        for timer in (self._timer, self._patience):
            if timer is not None:
                timer.cancel()
        if self._duplex is not None:
            self._duplex.feed_eof()
        if self._sink is not None:
            self._sink.close()
        if self._on_lost is not None:
            self._on_lost()
        self.resume_writing()

    def pause_writing(self) -> None:
        if not self.is_paused:
            self.is_paused = True
            self._be_patient(STALL_S)
            if self._sink is not None:
                self._sink.close()

    def resume_writing(self) -> None:
        if self.is_paused:
            self.is_paused = False
            if self._patience is not None:
                self._patience.cancel()
            if self._drained is not None:
                self._drained.set_result(None)
                self._drained = None
            if self._sink is not None and self.transport is not None:
                self._sink.open()

    def _be_patient(self, seconds: float) -> None:
        """Cut the peer off after this long."""
        if self._patience is not None:
            self._patience.cancel()
        self._patience = self._loop.call_later(seconds, self.abort)

    # Requests

    def _take(self, message: Incoming) -> None:
        self._waiting.append(message)
        if self.serving is None:
            self._places.busy(self)
            self.serving = self._loop.create_task(self._serve())
        elif len(self._waiting) >= MAX_WAITING and self.transport is not None:
            self._is_held_back = True
            self.transport.pause_reading()

    def _continue(self) -> None:
        if self.transport is not None and self.serving is None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def _serve(self) -> None:
        """All requests that are there; a new task serves the next ones."""
        keep = True
        try:
            while keep and self._waiting and self.transport is not None:
                message = self._waiting.popleft()
                keep = await self._handle(self, message)
                if self._is_held_back and self.transport is not None:
                    self._is_held_back = False
                    self.transport.resume_reading()
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
            if self.transport is not None:
                self._places.idle(self)

    def _end(self, *, unread: bool) -> None:
        """Close. A peer that still sends gets the time to read the answer: closing at once would reset it."""
        self._waiting.clear()
        if self.transport is None:
            return
        if unread:
            self._loop.call_later(LINGER_S, self.transport.close)
        else:
            self.transport.close()
        self._be_patient(CLOSE_S)

    def _check_idle(self) -> None:
        idle_s = effects.monotonic() - self._idle_since_s if self.serving is None else 0.0
        if idle_s >= KEEPALIVE_S and self.transport is not None:
            self._end(unread=False)
        else:
            self._timer = self._loop.call_later(KEEPALIVE_S - idle_s, self._check_idle)

    def end_if_idle(self) -> None:
        """Close unless a request is being handled or read; after the present one at the latest."""
        if self.serving is None and self._reader.is_between_requests:
            self._end(unread=False)

    def give_way(self) -> None:
        """Close: no request is being handled, and another client needs the place."""
        self._end(unread=False)

    def abort(self) -> None:
        """Close now, whatever is going on."""
        if self.serving is not None:
            self.serving.cancel()
        if self.transport is not None:
            self.transport.abort()

    # Answers

    async def send(self, data: bytes | memoryview) -> None:
        """Write; wait while the peer reads too slowly. Raises ConnectionError when it is gone."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        transport.write(data)
        if self.is_paused:
            await self.drained()

    async def drained(self) -> None:
        """Wait until the peer has read enough. Raises ConnectionError when it is gone."""
        while self.is_paused:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)
        if self.transport is None:
            raise ConnectionResetError("the connection is closed")

    async def answer(self, response: Response, *, head_only: bool, keep_alive: bool) -> None:
        """Send a whole answer."""
        pieces = response.pieces
        size_bytes = len(response.body) if pieces is None else pieces.size_bytes
        head = _head(response.status, response.headers, f"content-length: {size_bytes}\r\n", keep_alive)
        if head_only:
            await self.send(head)
        elif pieces is not None:
            await self.send(head)
            for chunk in pieces:
                await self.send(chunk)
        elif size_bytes <= CHUNK_BYTES:
            await self.send(head + response.body)
        else:
            await self.send(head)
            view = memoryview(response.body)
            for start in range(0, size_bytes, CHUNK_BYTES):
                await self.send(view[start : start + CHUNK_BYTES])

    async def stream(self, response: Response, *, chunked: bool, keep_alive: bool) -> None:
        """Send an answer piece by piece; ends early, closing the source, when the peer is gone."""
        assert response.stream is not None
        framing = "transfer-encoding: chunked\r\n" if chunked else ""
        source = response.stream
        self._on_lost = _canceller()
        try:
            await self.send(_head(response.status, response.headers, framing, keep_alive))
            if isinstance(source, Pushing):
                assert self.transport is not None
                self._sink = StreamSink(self.transport.write, self.drained, chunked=chunked)
                await source.push_to(self._sink)
            else:
                async for chunk in source:
                    if chunk:
                        await self.send(framed(chunk) if chunked else chunk)
            if chunked:
                await self.send(b"0\r\n\r\n")
        finally:
            self._on_lost = self._sink = None
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


def _canceller() -> Callable[[], object]:
    """What ends the present task. Held by no variable of its frames: cancelled, it would wait for the collector."""
    task = asyncio.current_task()
    assert task is not None
    return task.cancel


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
