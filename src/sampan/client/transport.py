"""HTTPTransport: requests to an API server over HTTPS, on aiohttp.

Connections are kept and reused. Watches and logs are answered as streams; everything else is read whole. Whatever goes
wrong below HTTP, also in the middle of a stream, is `ServiceUnavailable`, because a caller does the same about all of
it: try again later.

aiohttp is imported on the first request, so a process whose clients are all in-process never loads it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, urlencode

from sampan.apimachinery import errors
from sampan.apimachinery.http import Request, Response
from sampan.client import kubeconfig

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

SSLProvider: TypeAlias = Callable[[], ssl.SSLContext]
TokenProvider: TypeAlias = Callable[[], str]

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
STREAM_SLACK_S = 30.0
"""How much longer than the server promised a watch may be silent before its connection is called dead."""


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
        self._ssl_context = ssl_context
        self._token = token
        self._server_name = server_name or None
        self._headers = {"user-agent": user_agent, **(headers or {})}
        self._session: aiohttp.ClientSession | None = None

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
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def request(self, request: Request) -> Response:
        """Send one request. Raises ServiceUnavailable when no answer can be had."""
        import aiohttp

        streams = is_streaming(request)
        answer = None
        try:
            answer = await self._connected().request(
                request.method, self._url(request), data=request.body or None, headers=self._request_headers(request),
                ssl=self._ssl(), server_hostname=self._server_name, allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=_silence(request)),
            )
            headers = {name.lower(): value for name, value in answer.headers.items()}
            if streams and answer.status < 300:
                return Response(answer.status, headers, stream=_chunks(answer))
            body = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError, ssl.SSLError) as error:
            if answer is not None:
                answer.close()
            raise errors.ServiceUnavailable(f"{self.server_url}: {_reason(error)}") from error
        return Response(answer.status, headers, body)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60, ttl_dns_cache=60)
            self._session = aiohttp.ClientSession(
                connector=connector, auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("user-agent", "content-type"), read_bufsize=2**18,
            )
        return self._session

    def _url(self, request: Request) -> URL:
        from yarl import URL

        text = self.server_url + quote(request.path, safe="/:@!$&'()*+,;=~")
        if request.query:
            text += "?" + urlencode(request.query, doseq=True)
        return URL(text, encoded=True)

    def _request_headers(self, request: Request) -> dict[str, str]:
        headers = {**self._headers, **request.headers}
        token = self._token() if callable(self._token) else self._token
        if token:
            headers["authorization"] = f"Bearer {token}"
        return headers

    def _ssl(self) -> ssl.SSLContext | bool:
        found = self._ssl_context
        if found is None:
            return True
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


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    import aiohttp

    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise errors.ServiceUnavailable(f"the stream broke: {_reason(error)}") from error
    finally:
        answer.close()


def _reason(error: BaseException) -> str:
    return "timed out" if isinstance(error, asyncio.TimeoutError) else str(error) or type(error).__name__
