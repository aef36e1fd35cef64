"""HTTPS: connections on ready-made sockets, each request turned into a `Request` and its `Response` sent back.

`incoming` reads HTTP/1.1 (keep-alive, pipelining, chunked bodies); `connection` writes. The sockets are given open,
because they may have been opened in another network namespace or by a supervisor that outlives this process.
Certificates are loaded again when their files change, so they rotate without a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote, unquote_plus

from sampan.apimachinery.errors import BadRequest, TooManyRequests
from sampan.apimachinery.http import Request
from sampan.apimachinery.tls_transport import READ_BYTES
from sampan.apiserver import answers
from sampan.apiserver.accepted_tls import AcceptedTLS
from sampan.apiserver.compression import compress
from sampan.apiserver.connection import Connection
from sampan.apiserver.incoming import Incoming
from sampan.apiserver.places import Places
from sampan.apiserver.server import APIServer

log = logging.getLogger(__name__)
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
        context.num_tickets = 0  # no client of Kubernetes resumes, and who does is not verified against a new authority
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
        self._places: Places[Connection] = Places(server.config.max_connections)
        self._handshakes: dict[AcceptedTLS, None] = {}
        self._buffer = memoryview(bytearray(READ_BYTES if tls else 0))
        self._listening: list[asyncio.Server] = []
        self._reloading: asyncio.Task[None] | None = None

    async def open(self, listeners: Sequence[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for listener in listeners:
            listener.setblocking(False)
            self._listening.append(await loop.create_server(self._accept, sock=listener, backlog=1024))
        if self._tls is not None:
            self._reloading = asyncio.create_task(self._reload(), name="serving-certificate")

    async def close(self) -> None:
        """Stop accepting, end what runs after a short grace."""
        if self._reloading is not None:
            self._reloading.cancel()
        for listening in self._listening:
            listening.close()
        for handshake in list(self._handshakes):
            handshake.abort()
        for connection in self._places:
            connection.end_if_idle()
        serving = [connection.serving for connection in self._places if connection.serving is not None]
        if serving:
            await asyncio.wait(serving, timeout=_SHUTDOWN_S)
        for connection in self._places:
            connection.abort()
        await asyncio.gather(*serving, return_exceptions=True)

    def _accept(self) -> asyncio.BaseProtocol:
        """What is to happen on one more connection."""
        if self._places.is_hopeless:
            return _Refusal()
        connection = Connection(self._handle, self._server.config.max_body_bytes, self._places)
        if self._context is None:
            return connection
        return AcceptedTLS(self._context, connection, self._buffer, self._handshakes)

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
        error = http.error
        if error is None and not http.target.startswith("/"):
            error = BadRequest("the request target must be a path")
        if connection.is_one_too_many:
            error = TooManyRequests("Too many connections, please try again later.", {"retryAfterSeconds": 1})
        if error is not None:
            await connection.answer(answers.failure(error), head_only=False, keep_alive=False)
            return False
        path, _, query = http.target.partition("?")
        response = await self._server.handle(Request(
            http.method, unquote(path) if "%" in path else path,
            _parameters(query) if query else {}, http.headers, http.body,
            peer_certificate=connection.peer_certificate, remote=connection.remote,
        ))
        if response.upgrade is not None and response.status == 101:
            if http.upgrades:
                await connection.upgrade(response)
                return False
            response = answers.failure(BadRequest("the Connection header must say Upgrade"))
        if http.method != "HEAD":
            compress(response, http.headers)
        if response.stream is not None:
            keep_alive = keep_alive and http.is_http11
            with contextlib.suppress(ConnectionError):
                await connection.stream(response, chunked=http.is_http11, keep_alive=keep_alive)
            return keep_alive
        await connection.answer(response, head_only=http.method == "HEAD", keep_alive=keep_alive)
        return keep_alive


def _parameters(query: str) -> dict[str, list[str]]:
    """As `urllib.parse.parse_qs` with blank values, but at once where nothing is escaped."""
    found: dict[str, list[str]] = {}
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            if "%" in pair or "+" in pair:
                name, value = unquote_plus(name), unquote_plus(value)
            found.setdefault(name, []).append(value)
    return found


class _Refusal(asyncio.BaseProtocol):
    """A connection for which there is no place."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()


async def serve(server: APIServer, listeners: Sequence[socket.socket], tls: TLSFiles | None) -> Listeners:
    """Serve on open, listening (or bound) sockets; plain HTTP without `tls`, which is for tests."""
    running = Listeners(server, tls)
    await running.open(listeners)
    return running
