"""HTTPS: connections on ready-made sockets, each request turned into a `Request` and its `Response` sent back.

`incoming` reads HTTP/1.1 (keep-alive, pipelining, chunked bodies); `connection` writes. The sockets are given open,
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

from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.http import Request, Response
from sampan.apiserver import answers
from sampan.apiserver.connection import Connection
from sampan.apiserver.incoming import Incoming
from sampan.apiserver.server import APIServer

log = logging.getLogger(__name__)
GZIP_FROM_BYTES: Final = 128 * 1024
GZIP_IN_THREAD_FROM_BYTES: Final = 1024 * 1024
RELOAD_S: Final = 10.0
_SHUTDOWN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """PEM files: what the server proves itself with, and whose clients it believes (empty: none are asked).

    `proxy_ca` issues to front proxies. A certificate of either passes the handshake; authentication tells them apart.
    """

    certificate: str
    key: str
    client_ca: str = ""
    proxy_ca: str = ""

    def context(self) -> ssl.SSLContext:
        """A server context. Clients may show a certificate; one that does not verify ends the handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self.load_into(context)
        if self.client_ca or self.proxy_ca:
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def load_into(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self.certificate, self.key)
        for authority in filter(None, (self.client_ca, self.proxy_ca)):
            context.load_verify_locations(authority)

    def stamps(self) -> tuple[tuple[int, int], ...]:
        """What changes when a file does."""
        paths = [path for path in (self.certificate, self.key, self.client_ca, self.proxy_ca) if path]
        return tuple((found.st_mtime_ns, found.st_ino) for found in map(os.stat, paths))


class Listeners:
    """Running listeners; `close` ends them and what they carry."""

    def __init__(self, server: APIServer, tls: TLSFiles | None) -> None:
        self._server = server
        self._tls = tls
        self._context = tls.context() if tls else None
        self._stamps = tls.stamps() if tls else ()
        self._connections: set[Connection] = set()
        self._listening: list[asyncio.Server] = []
        self._reloading: asyncio.Task[None] | None = None

    async def open(self, listeners: Sequence[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for listener in listeners:
            listener.setblocking(False)
            self._listening.append(await loop.create_server(
                self._connection, sock=listener, ssl=self._context, backlog=1024,
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
        for connection in list(self._connections):
            connection.end_if_idle()
        serving = [connection.serving for connection in self._connections if connection.serving is not None]
        if serving:
            await asyncio.wait(serving, timeout=_SHUTDOWN_S)
        for connection in list(self._connections):
            connection.abort()
        await asyncio.gather(*serving, return_exceptions=True)

    def _connection(self) -> Connection:
        return Connection(self._handle, self._server.config.max_body_bytes, self._connections)

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

    async def _handle(self, connection: Connection, http: Incoming) -> bool:
        """Answer one request; whether the connection may be kept."""
        keep_alive = http.keep_alive
        if http.error is not None or not http.target.startswith("/"):
            error = http.error or BadRequest("the request target must be a path")
            await connection.answer(answers.failure(error), head_only=False, keep_alive=False)
            return False
        path, _, query = http.target.partition("?")
        response = await self._server.handle(Request(
            http.method, unquote(path) if "%" in path else path,
            parse_qs(query, keep_blank_values=True) if query else {}, http.headers, http.body,
            peer_certificate=connection.peer_certificate, remote=connection.remote,
        ))
        if response.upgrade is not None and response.status == 101:
            if http.upgrades:
                await connection.upgrade(response)
                return False
            response = answers.failure(BadRequest("the Connection header must say Upgrade"))
        if response.stream is not None:
            keep_alive = keep_alive and http.is_http11
            with contextlib.suppress(ConnectionError):
                await connection.stream(response, chunked=http.is_http11, keep_alive=keep_alive)
            return keep_alive
        large = len(response.body) > GZIP_FROM_BYTES and "content-encoding" not in response.headers
        if large and "gzip" in http.headers.get("accept-encoding", ""):
            await _compress(response)
        await connection.answer(response, head_only=http.method == "HEAD", keep_alive=keep_alive)
        return keep_alive


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
