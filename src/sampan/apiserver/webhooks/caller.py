"""Asks a webhook: POST of a JSON document over HTTPS, the answer a JSON document.

Connections are kept and used again, per address, authority and server name. Redirects are not followed and no proxy is
used, so that a webhook can only ever be what its configuration says. Answers are bounded. Every way in which a call can
fail is a `CallFailed`, in the words that a Go program would use, since people search for those.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import orjson

from sampan.apimachinery.object import Object
from sampan.apiserver.seams import Reader
from sampan.apiserver.webhooks.location import Location, Unreachable, locate

if TYPE_CHECKING:  # a client is loaded by the first webhook, not while the server starts
    import aiohttp

MAX_ANSWER_BYTES: Final = 10 * 1024 * 1024
IDLE_S: Final = 90.0
_HEADERS: Final = {
    "Content-Type": "application/json", "Accept": "application/json, */*", "User-Agent": "kube-apiserver-admission",
}
_ERRNO: Final = {
    errno.ECONNREFUSED: "connection refused", errno.ENETUNREACH: "network is unreachable",
    errno.EHOSTUNREACH: "no route to host", errno.ETIMEDOUT: "connection timed out",
}


class CallFailed(Exception):
    """No usable answer; `str` says why."""


class WebhookCaller:
    """Calls webhooks. One a server; `close` it with the server."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._session: aiohttp.ClientSession | None = None

    async def post(self, config: Object, document: Object, timeout_s: float) -> Any:
        """What the webhook of this `clientConfig` answers. Raises CallFailed."""
        try:
            location = locate(config, self._reader)
        except Unreachable as error:
            raise CallFailed(str(error)) from None
        tls = _tls(str(config.get("caBundle") or ""))
        url = _timed(location.url, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                status, body = await self._send(location, tls, orjson.dumps(document), timeout_s)
        except TimeoutError:
            raise CallFailed(f'Post "{url}": context deadline exceeded') from None
        except (OSError, ssl.SSLError, _client_error()) as error:
            raise CallFailed(f'Post "{url}": {_words(error, location)}') from None
        if status >= 300 or status < 200:
            raise CallFailed(_refusal(status, body))
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise CallFailed(f"couldn't get version/kind; json parse error: {error}") from None

    async def _send(
        self, location: Location, tls: ssl.SSLContext, body: bytes, timeout_s: float
    ) -> tuple[int, bytes]:
        from yarl import URL

        host = f"[{location.host}]" if ":" in location.host else location.host
        target = URL(_timed(f"https://{host}:{location.port}{location.path}", timeout_s), encoded=True)
        async with self._client().post(
            target, data=body, headers={"Host": location.authority}, ssl=tls,
            server_hostname=location.server_name, allow_redirects=False,
        ) as response:
            parts: list[bytes] = []
            size = 0
            async for chunk in response.content.iter_any():
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    raise OSError(f"response body exceeds the limit of {MAX_ANSWER_BYTES} bytes")
                parts.append(chunk)
            return response.status, b"".join(parts)

    def _client(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S)
            self._session = aiohttp.ClientSession(
                connector=connector, headers=_HEADERS, trust_env=False, timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        """Close kept connections."""
        if self._session is not None:
            await self._session.close()


def _client_error() -> type[Exception]:
    import aiohttp

    return aiohttp.ClientError


@lru_cache(maxsize=64)
def _tls(bundle: str) -> ssl.SSLContext:
    """Trust in these authorities only; in the system's if none is named. Raises CallFailed."""
    if not bundle:
        return ssl.create_default_context()
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the bundle may hold the webhook's own certificate
        context.load_verify_locations(cadata=base64.b64decode(bundle, validate=True).decode("ascii"))
    except (binascii.Error, ValueError, ssl.SSLError):
        raise CallFailed("unable to load root certificates: unable to parse bytes as PEM block") from None
    return context


def _timed(url: str, timeout_s: float) -> str:
    return f"{url}{'&' if '?' in url else '?'}timeout={timeout_s:g}s"


def _words(error: BaseException, location: Location) -> str:
    cause = getattr(error, "certificate_error", None) or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {_x509(cause, location)}"
    os_error = getattr(error, "os_error", None) or error
    number = getattr(os_error, "errno", None)
    if number in _ERRNO:
        return f"dial tcp {location.host}:{location.port}: connect: {_ERRNO[number]}"
    if type(error).__name__ == "ServerDisconnectedError":
        return "EOF"
    if type(error).__name__ == "ClientConnectorDNSError":
        return f"dial tcp: lookup {location.host}: no such host"
    return str(error) or type(error).__name__


def _x509(error: ssl.SSLCertVerificationError, location: Location) -> str:
    text = error.verify_message or str(error)
    if "mismatch" in text:
        return f"certificate is not valid for {location.server_name}"
    if "expired" in text or "not yet valid" in text:
        return "certificate has expired or is not yet valid"
    return "certificate signed by unknown authority"


def _refusal(status: int, body: bytes) -> str:
    """An answer that is no success, in client-go's words."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict) and document.get("kind") == "Status" and document.get("message"):
        return str(document["message"])
    if status == 404:
        return "the server could not find the requested resource"
    if status == 401:
        return "the server has asked for the client to provide credentials"
    if status >= 500:
        text = body[:2048].decode(errors="replace").strip() or "unknown"
        return f"an error on the server ({orjson.dumps(text).decode()}) has prevented the request from succeeding"
    return f"the server rejected our request for an unknown reason ({status})"
