"""One HTTP/1.1 connection to an API server: asyncio streams of bytes below, httptools' parser above, nothing between.

`exchange()` sends a request and waits for its answer; one at a time, so whoever holds a connection has it for himself.
An answer is read whole, or handed on in chunks as they come (`Chunks`); a reader who is slow makes the peer wait. What
breaks is a `ConnectionError`, silence that is too long a `TimeoutError`.

A general client costs several times as much CPU for each request (docs/decisions/http-client.md), and components
mostly send small requests to one server over connections that stay.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

from httptools import HttpParserError, HttpResponseParser

from sampan.client import tls

BUFFERED_BYTES = 1 << 20
"""How much of a streamed answer may wait for its reader."""


@dataclass(slots=True)
class Answer:
    """`chunks` is set if the body is to be read as it comes; then `body` is empty."""

    status: int
    headers: dict[str, str]
    body: bytes
    chunks: Chunks | None = None


class Connection(asyncio.Protocol):
    """Use `connect`. `is_idle` connections may be used again; `context` is what they were opened with."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context = context
        self.was_used = False
        self.got_bytes = False
        """Whether anything of the answer has come."""
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Answer] | None = None
        self._chunks: Chunks | None = None
        self._streams = False
        self._has_no_body = False
        self._silence_s: float | None = None
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._keep = True
        self._lost = False

    @property
    def is_idle(self) -> bool:
        return not self._lost and self._answer is None and self._chunks is None and self._keep

    async def exchange(
        self, data: bytes, *, streams: bool = False, has_no_body: bool = False, silence_s: float | None = None
    ) -> Answer:
        """Send a whole request; its answer. If it `streams`, a good answer comes in chunks."""
        assert self._answer is None, "one request at a time"
        if self._lost or self._transport.is_closing():
            raise ConnectionResetError("the connection was closed")
        self._answer = self._loop.create_future()
        self._streams, self._has_no_body, self._silence_s = streams, has_no_body, silence_s
        self._keep = not has_no_body
        self.got_bytes = False
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._heard_at = self._loop.time()
        if silence_s is not None and self._timer is None:
            self._timer = self._loop.call_later(silence_s, self._check_silence)
        self._transport.write(data)
        try:
            return await self._answer
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._answer = None
            self.was_used = True

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._keep = False
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        self.got_bytes = True
        if self._answer is None and self._chunks is None:
            self.close()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._fail(ConnectionError(f"the answer is not HTTP: {error}"))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("the server closed the connection"))

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._streams and 200 <= status < 300 and self._answer is not None and not self._answer.done():
            self._chunks = Chunks(self._transport)
            self._answer.set_result(Answer(status, self._headers, b"", self._chunks))
        elif self._has_no_body and self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(status, self._headers, b""))

    def on_body(self, body: bytes) -> None:
        if self._chunks is not None:
            self._chunks.put(body)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # there is more to come
            self._headers, self._body = {}, []
            return
        if not self._parser.should_keep_alive() or not self._keep:
            self._keep = False
            self._transport.close()
        if self._chunks is not None:
            chunks, self._chunks = self._chunks, None
            chunks.end(None)
        elif self._answer is not None and not self._answer.done():
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._answer.set_result(Answer(status, self._headers, body))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        if self._chunks is not None:
            chunks, self._chunks = self._chunks, None
            chunks.end(error)

    def _check_silence(self) -> None:
        """One timer a connection, looked at when it ends, instead of one a request."""
        self._timer = None
        if self._lost or (self._answer is None and self._chunks is None) or self._silence_s is None:
            return
        left = self._heard_at + self._silence_s - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check_silence)
            return
        self._fail(TimeoutError("timed out"))
        self.close()


class Chunks:
    """A body as it comes. Iterate once; `close` when the rest is not wanted."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._changed = asyncio.Event()

    def put(self, chunk: bytes) -> None:
        self._waiting.append(chunk)
        self._size += len(chunk)
        if self._size > BUFFERED_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._changed.set()

    def end(self, error: Exception | None) -> None:
        self._ended, self._error = True, error
        self._changed.set()

    def close(self) -> None:
        """Give up the connection, unless everything has been read."""
        if not self._ended:
            self._transport.abort()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self._waiting:
                chunk = b"".join(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
                self._waiting.clear()
                self._size = 0
                if self._paused:
                    self._paused = False
                    self._transport.resume_reading()
                yield chunk
            elif self._error is not None:
                raise self._error
            elif self._ended:
                return
            else:
                self._changed.clear()
                await self._changed.wait()


async def connect(
    host: str, port: int, context: ssl.SSLContext | None, server_name: str, timeout_s: float
) -> Connection:
    """A new connection; TLS if there is a context. Raises OSError, ssl.SSLError or TimeoutError."""
    async with asyncio.timeout(timeout_s):
        if context is not None:
            return await tls.connect(lambda: Connection(context), host, port, context, server_name or host)
        _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(None), host, port)
        return connection
