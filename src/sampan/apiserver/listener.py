"""HTTPS: connections on ready-made sockets, each request turned into a `Request` and its `Response` sent back.

aiohttp reads HTTP/1.1 (keep-alive, pipelining, chunked bodies); `connection` writes. The sockets are given open,
because they may have been opened in another network namespace or by a supervisor that outlives this process.
Certificates are loaded again when their files change, so they rotate without a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote

from aiohttp import web
from aiohttp.web_request import BaseRequest

from sampan.apimachinery.errors import BadRequest, RequestEntityTooLarge
from sampan.apimachinery.http import Request, Response
from sampan.apiserver import answers
from sampan.apiserver.connection import Connection
from sampan.apiserver.server import APIServer

log = logging.getLogger(__name__)
GZIP_FROM_BYTES: Final = 128 * 1024
GZIP_IN_THREAD_FROM_BYTES: Final = 1024 * 1024
RELOAD_S: Final = 10.0
_MAX_LINE_BYTES: Final = 64 * 1024
_SHUTDOWN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """PEM files: what the server proves itself with, and whose clients it believes (empty: none are asked)."""

    certificate: str
    key: str
    client_ca: str = ""

    def context(self) -> ssl.SSLContext:
        """A server context. Clients may show a certificate; one that does not verify ends the handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self.load_into(context)
        if self.client_ca:
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def load_into(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self.certificate, self.key)
        if self.client_ca:
            context.load_verify_locations(self.client_ca)

    def stamps(self) -> tuple[tuple[int, int], ...]:
        """What changes when a file does."""
        paths = [path for path in (self.certificate, self.key, self.client_ca) if path]
        return tuple((found.st_mtime_ns, found.st_ino) for found in map(os.stat, paths))


class _Server(web.Server):
    """aiohttp's low-level server with our connections."""

    def __call__(self) -> Connection:
        return Connection(
            self, loop=self._loop, access_log=None, keepalive_timeout=180.0, lingering_time=1.0,
            max_line_size=_MAX_LINE_BYTES, max_field_size=_MAX_LINE_BYTES,
        )


class _Sent:
    """Tells aiohttp that the answer is on its way already."""

    __slots__ = ("keep_alive",)

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, request: BaseRequest) -> None:
        """Nothing is left to send."""

    async def write_eof(self) -> None:
        """Nothing is left to send."""


_KEPT: Final = _Sent(True)
_CLOSED: Final = _Sent(False)


class Listeners:
    """Running listeners; `close` ends them and what they carry."""

    def __init__(self, server: APIServer, tls: TLSFiles | None) -> None:
        self._server = server
        self._tls = tls
        self._context = tls.context() if tls else None
        self._stamps = tls.stamps() if tls else ()
        self._http = _Server(self._handle)  # type: ignore[arg-type]
        self._listening: list[asyncio.Server] = []
        self._reloading: asyncio.Task[None] | None = None

    async def open(self, listeners: Sequence[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for listener in listeners:
            listener.setblocking(False)
            self._listening.append(await loop.create_server(
                self._http, sock=listener, ssl=self._context, backlog=1024,
                ssl_handshake_timeout=15.0 if self._context else None,
            ))
        if self._tls is not None:
            self._reloading = asyncio.create_task(self._reload(), name="serving-certificate")

    async def close(self) -> None:
        """Stop accepting, end what runs after a short grace."""
        if self._reloading is not None:
            self._reloading.cancel()
        for listening in self._listening:
            listening.close()
        self._http.pre_shutdown()
        await self._http.shutdown(_SHUTDOWN_S)

    async def _reload(self) -> None:
        assert self._tls is not None and self._context is not None
        while True:
            await asyncio.sleep(RELOAD_S)
            try:
                stamps = self._tls.stamps()
                if stamps != self._stamps:
                    self._tls.load_into(self._context)
                    self._stamps = stamps
                    log.info("serving certificate loaded again from %s", Path(self._tls.certificate).name)
            except (OSError, ssl.SSLError) as error:
                log.warning("serving certificate not loaded: %s", error)

    async def _handle(self, http: BaseRequest) -> _Sent:
        connection = http.protocol
        assert isinstance(connection, Connection)
        keep_alive = http.keep_alive
        try:
            request = await self._request(http, connection)
        except (BadRequest, RequestEntityTooLarge) as error:
            await connection.answer(answers.failure(error), head_only=False, keep_alive=False)
            return _CLOSED
        response = await self._server.handle(request)
        if response.upgrade is not None and response.status == 101:
            await connection.upgrade(response)
            return _CLOSED
        if "upgrade" in http.headers:
            keep_alive = False
        if response.stream is not None:
            chunked = http.version >= (1, 1)
            with contextlib.suppress(ConnectionError):
                await connection.stream(response, chunked=chunked)
            return _KEPT if keep_alive and chunked else _CLOSED
        large = len(response.body) > GZIP_FROM_BYTES and "content-encoding" not in response.headers
        if large and "gzip" in http.headers.get("accept-encoding", ""):
            await _compress(response)
        await connection.answer(response, head_only=http.method == "HEAD", keep_alive=keep_alive)
        return _KEPT if keep_alive else _CLOSED

    async def _request(self, http: BaseRequest, connection: Connection) -> Request:
        path, _, query = http.raw_path.partition("?")
        if not path.startswith("/"):
            raise BadRequest("the request target must be a path")
        headers: dict[str, str] = {}
        for name, value in http.headers.items():
            lower = name.lower()
            headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
        return Request(
            http.method, unquote(path) if "%" in path else path,
            parse_qs(query, keep_blank_values=True) if query else {}, headers,
            await self._body(http, connection) if http.can_read_body else b"",
            peer_certificate=connection.peer_certificate, remote=connection.remote,
        )

    async def _body(self, http: BaseRequest, connection: Connection) -> bytes:
        limit = self._server.config.max_body_bytes
        declared = http.content_length or 0
        if declared > limit:
            raise RequestEntityTooLarge(f"Request entity too large: limit is {limit}")
        if http.headers.get("expect", "").lower() == "100-continue":
            await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunks: list[bytes] = []
        size = 0
        while chunk := await http.content.readany():
            size += len(chunk)
            if size > limit:
                raise RequestEntityTooLarge(f"Request entity too large: limit is {limit}")
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _compress(response: Response) -> None:
    if len(response.body) < GZIP_IN_THREAD_FROM_BYTES:
        response.body = gzip.compress(response.body, 1)
    else:
        response.body = await asyncio.to_thread(gzip.compress, response.body, 1)
    response.headers["content-encoding"] = "gzip"
    response.headers["vary"] = "Accept-Encoding"


async def serve(server: APIServer, listeners: Sequence[socket.socket], tls: TLSFiles | None) -> Listeners:
    """Serve on open, listening (or bound) sockets; plain HTTP without `tls`, which is for tests."""
    running = Listeners(server, tls)
    await running.open(listeners)
    return running
