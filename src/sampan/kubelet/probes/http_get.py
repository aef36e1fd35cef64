"""A small HTTP/1.1 GET for probes and lifecycle hooks: no keep-alive, certificates not verified, as upstream.

Redirects are followed on the same host only; one to another host counts as an answer. Errors are worded as Go's client
words them, since that is what people look for.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from sampan.client import tls

MAX_BODY_BYTES = 10 * 1024
MAX_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)
USER_AGENT = "kube-probe/1.37"


class HTTPFailure(Exception):
    """No answer; the message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    location: str = ""

    @property
    def leads_away(self) -> bool:
        """A redirect to another host, which is not followed."""
        return self.status in REDIRECTS and bool(self.location)


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def get(url: str, headers: Sequence[tuple[str, str]], timeout_s: float) -> Answer:
    """GET `url`. Raises HTTPFailure."""
    try:
        return await asyncio.wait_for(_follow(url, headers), timeout_s)
    except TimeoutError:
        raise HTTPFailure(
            f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        ) from None
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        raise HTTPFailure(f'Get "{url}": {dial_error(urlsplit(url).netloc, error)}') from None


async def _follow(url: str, headers: Sequence[tuple[str, str]]) -> Answer:
    for _ in range(MAX_REDIRECTS):
        answer = await _once(url, headers)
        if answer.status not in REDIRECTS or not answer.location:
            return answer
        following = urljoin(url, answer.location)
        if urlsplit(following).hostname != urlsplit(url).hostname:
            return answer
        url = following
    raise ValueError(f"stopped after {MAX_REDIRECTS} redirects")


async def _once(url: str, headers: Sequence[tuple[str, str]]) -> Answer:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme == "https":
        reader, writer = await tls.open_streams(parts.hostname or "", port, _unverified())
    else:
        reader, writer = await asyncio.open_connection(parts.hostname, port)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = {"host": parts.netloc, "user-agent": USER_AGENT, "accept": "*/*", "connection": "close"}
        sent.update({name.lower(): value for name, value in headers})
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items() if value)
        writer.write(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode())
        await writer.drain()
        status_line = (await reader.readline()).decode("latin-1").split(" ", 2)
        if len(status_line) < 2 or not status_line[1].isdigit():
            raise ValueError("EOF" if not status_line[0] else "malformed HTTP response")
        received: dict[str, str] = {}
        while (line := (await reader.readline()).decode("latin-1").strip()):
            name, _, value = line.partition(":")
            received[name.lower()] = value.strip()
        body = await _body(reader, received)
        return Answer(int(status_line[1]), body.decode("utf-8", "replace"), received.get("location", ""))
    finally:
        writer.close()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """The first part of the body; chunk marks are left in, which matters only in messages."""
    length = headers.get("content-length", "")
    if length.isdigit():
        return await reader.readexactly(min(int(length), MAX_BODY_BYTES))
    return await reader.read(MAX_BODY_BYTES)


def dial_error(address: str, error: BaseException) -> str:
    """`dial tcp 10.0.0.1:80: connect: connection refused`."""
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {address}: connect: connection refused"
    if isinstance(error, ConnectionResetError):
        return "read: connection reset by peer"
    if isinstance(error, asyncio.IncompleteReadError):
        return "unexpected EOF"
    if isinstance(error, OSError) and error.strerror:
        return f"dial tcp {address}: connect: {error.strerror.lower()}"
    return str(error)
