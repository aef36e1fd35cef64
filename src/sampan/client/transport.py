"""HTTPTransport: requests to an API server over HTTPS.

Connections are kept and reused (`http1.py`). Watches and logs are answered as streams; everything else is read whole.
Whatever goes wrong below HTTP, also in the middle of a stream, is `ServiceUnavailable`, because a caller does the same
about all of it: try again later.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TypeAlias
from urllib.parse import quote, urlencode, urlsplit

from sampan.apimachinery import errors
from sampan.apimachinery.http import Request, Response
from sampan.client import kubeconfig
from sampan.client.http1 import Answer, Chunks, Connection, connect

SSLProvider: TypeAlias = Callable[[], ssl.SSLContext]
TokenProvider: TypeAlias = Callable[[], str]

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
STREAM_SLACK_S = 30.0
"""How much longer than the server promised a watch may be silent before its connection is called dead."""
IDLE_S = 55.0
"""A connection that has not been used for so long is not used again: the server may be about to close it."""


class HTTPTransport:
    """Carries requests to `server_url`.

    `ssl_context` and `token` may be providers that are asked for each request, so credentials can rotate: a request
    after a change opens a new connection, and streams that are open stay.
    """

    def __init__(
        self, server_url: str, ssl_context: ssl.SSLContext | SSLProvider | None = None,
        token: str | TokenProvider | None = None, *, server_name: str = "", headers: Mapping[str, str] | None = None,
        user_agent: str = "sampan",
    ) -> None:
        self.server_url = server_url.rstrip("/")
        url = urlsplit(self.server_url)
        self._secure = url.scheme == "https"
        self._host = url.hostname or ""
        self._port = url.port or (443 if self._secure else 80)
        self._prefix = url.path
        self._ssl_context = ssl_context
        self._token = token
        self._server_name = server_name
        self._headers = {"user-agent": user_agent, **(headers or {})}
        self._host_line = f"host: {url.netloc.rpartition('@')[2]}\r\n"
        self._idle: list[tuple[Connection, float]] = []
        self._open: set[Connection] = set()
        self._default_context: ssl.SSLContext | None = None

    @classmethod
    def from_kubeconfig(
        cls, path: str | os.PathLike[str], context: str = "", *, user_agent: str = "sampan"
    ) -> HTTPTransport:
        """The server and user of a kubeconfig's context (default: its current one). Raises KubeconfigError."""
        return cls.from_credentials(kubeconfig.load(path, context), user_agent=user_agent)

    @classmethod
    def from_credentials(cls, credentials: kubeconfig.Credentials, *, user_agent: str = "sampan") -> HTTPTransport:
        secure = credentials.server.startswith("https:")
        return cls(
            credentials.server, credentials.ssl_context if secure else None, credentials.token,
            server_name=credentials.server_name, headers=credentials.headers, user_agent=user_agent,
        )

    async def close(self) -> None:
        """End every connection, streams too."""
        connections, self._open, self._idle = list(self._open), set(), []
        for connection in connections:
            connection.close()
        await asyncio.sleep(0)

    async def request(self, request: Request) -> Response:
        """Send one request. Raises ServiceUnavailable when no answer can be had."""
        try:
            connection, answer = await self._exchange(request)
        except (OSError, TimeoutError, ssl.SSLError) as error:
            raise errors.ServiceUnavailable(f"{self.server_url}: {_reason(error)}") from error
        if answer.chunks is not None:
            return Response(answer.status, answer.headers, stream=self._stream(connection, answer.chunks))
        self._done(connection)
        return Response(answer.status, answer.headers, answer.body)

    async def _exchange(self, request: Request) -> tuple[Connection, Answer]:
        """Over a connection that is there, or a new one.

        One that is there may be closed by the server at this very moment. What only reads is then sent again.
        """
        data = self._encoded(request)
        context = self._ssl() if self._secure else None
        while True:
            connection = self._reusable(context) or await self._connected(context)
            try:
                return connection, await connection.exchange(
                    data, streams=is_streaming(request), has_no_body=request.method == "HEAD",
                    silence_s=_silence(request),
                )
            except BaseException as error:
                self._open.discard(connection)
                is_stale = connection.was_used and not connection.got_bytes and isinstance(error, ConnectionError)
                connection.close()
                if not (is_stale and request.method in ("GET", "HEAD")):
                    raise

    def _reusable(self, context: ssl.SSLContext | None) -> Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection, since = self._idle.pop()
            if connection.is_idle and connection.context is context and now - since < IDLE_S:
                return connection
            self._open.discard(connection)
            connection.close()
        return None

    async def _connected(self, context: ssl.SSLContext | None) -> Connection:
        connection = await connect(self._host, self._port, context, self._server_name, CONNECT_TIMEOUT_S)
        self._open.add(connection)
        return connection

    def _done(self, connection: Connection) -> None:
        """An answer was read whole."""
        if connection.is_idle and connection in self._open:
            self._idle.append((connection, asyncio.get_running_loop().time()))
        else:
            self._open.discard(connection)

    async def _stream(self, connection: Connection, chunks: Chunks) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                yield chunk
        except (OSError, TimeoutError) as error:
            raise errors.ServiceUnavailable(f"the stream broke: {_reason(error)}") from error
        finally:
            chunks.close()
            self._done(connection)

    def _encoded(self, request: Request) -> bytes:
        """The request as bytes."""
        target = self._prefix + quote(request.path, safe="/:@!$&'()*+,;=~") or "/"
        if request.query:
            target += "?" + urlencode(request.query, doseq=True)
        headers = {**self._headers, **request.headers}
        token = self._token() if callable(self._token) else self._token
        if token:
            headers["authorization"] = f"Bearer {token}"
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            headers["content-length"] = str(len(request.body))
        lines = "".join([f"{name}: {_one_line(value)}\r\n" for name, value in headers.items()])
        head = f"{request.method} {target} HTTP/1.1\r\n{self._host_line}{lines}\r\n"
        return head.encode("latin-1") + request.body

    def _ssl(self) -> ssl.SSLContext:
        found = self._ssl_context
        if found is None:
            if self._default_context is None:
                self._default_context = ssl.create_default_context()
            return self._default_context
        return found if isinstance(found, ssl.SSLContext) else found()


def is_streaming(request: Request) -> bool:
    """Whether the answer is handed on as it comes: watches and logs."""
    return request.param("watch") in ("true", "1") or request.path.endswith("/log")


def _silence(request: Request) -> float | None:
    """Seconds without a byte after which the peer counts as gone; None where silence is normal."""
    if not is_streaming(request):
        return READ_TIMEOUT_S
    promised = request.param("timeoutSeconds")
    return float(promised) + STREAM_SLACK_S if promised.isdigit() else None


def _one_line(value: str) -> str:
    """A header's value; a line end in it would begin another header."""
    if "\r" in value or "\n" in value:
        raise errors.BadRequest("a header's value has no line ends")
    return value


def _reason(error: BaseException) -> str:
    return "timed out" if isinstance(error, asyncio.TimeoutError) else str(error) or type(error).__name__
