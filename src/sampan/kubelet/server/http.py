"""A small HTTPS server for the node's API: HTTP/1.1 on asyncio streams, client certificates, upgrades of any protocol.

It exists because exec, attach and port-forward upgrade to SPDY/3.1, which HTTP libraries do not hand over; and it keeps
a node agent small. A handler is a function from `Request` to `Response`, as the API server is.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from sampan.apimachinery.http import Request, Response, UserInfo

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 1024 * 1024
IDLE_S = 120.0
BLOCK_BYTES = 64 * 1024

Handler: TypeAlias = Callable[["NodeRequest"], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """A request, and its target as it was written, for passing it on."""

    request: Request
    target: str
    pairs: tuple[tuple[str, str], ...] = field(default=())


class BadHead(Exception):
    """Not HTTP/1.1 as this server understands it."""


class StreamDuplex:
    """The raw connection after an upgrade."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        try:
            return await self._reader.read(BLOCK_BYTES)
        except (ConnectionError, ssl.SSLError):
            return b""

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()


async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
    """Requests of one connection, one after the other."""
    user = user_of(writer.get_extra_info("peercert"))
    peer = writer.get_extra_info("peername")
    try:
        while True:
            request = await asyncio.wait_for(_read_request(reader, user, str(peer[0]) if peer else ""), IDLE_S)
            if request is None:
                return
            response = await _handle(handler, request)
            if response.upgrade is not None:
                writer.write(_head(response, None))
                await writer.drain()
                await response.upgrade(StreamDuplex(reader, writer))
                return
            keep = request.request.headers.get("connection", "").lower() != "close"
            await _write(writer, reader, response)
            if not keep:
                return
    except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, BadHead) as error:
        log.debug("node API: %s", error)
    finally:
        writer.close()
        with contextlib.suppress(Exception):
            await writer.wait_closed()


async def _handle(handler: Handler, request: NodeRequest) -> Response:
    try:
        return await handler(request)
    except Exception:
        log.exception("node API: %s %s", request.request.method, request.request.path)
        return Response(500, {"content-type": "text/plain"}, b"internal error\n")


def user_of(certificate: dict[str, Any] | None) -> UserInfo | None:
    """Who a verified client certificate names: its common name, and its organisations as groups."""
    if not certificate:
        return None
    pairs = [pair for part in certificate.get("subject", ()) for pair in part]
    name = next((value for key, value in pairs if key == "commonName"), "")
    groups = tuple(value for key, value in pairs if key == "organizationName")
    return UserInfo(name, groups=(*groups, "system:authenticated")) if name else None


async def _read_request(reader: asyncio.StreamReader, user: UserInfo | None, remote: str) -> NodeRequest | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise
    except asyncio.LimitOverrunError as error:
        raise BadHead("the head is too long") from error
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadHead(first[:100])
    pairs = tuple((name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    headers = {name.lower(): value for name, value in pairs}
    if "transfer-encoding" in headers:
        raise BadHead("chunked requests are not accepted")
    given = headers.get("content-length") or "0"
    if not (given.isascii() and given.isdigit()) or [name.lower() for name, _ in pairs].count("content-length") > 1:
        raise BadHead("the body's length is no number")
    length = int(given[:20])
    if length > MAX_BODY_BYTES:
        raise BadHead("the body is too long")
    body = await reader.readexactly(length) if length else b""
    parts = urlsplit(words[1])
    query = parse_qs(parts.query, keep_blank_values=True)
    request = Request(words[0], unquote(parts.path), query, headers, body, user, None, remote)
    return NodeRequest(request, words[1], pairs)


def _head(response: Response, framing: str | None) -> bytes:
    try:
        phrase = http.HTTPStatus(response.status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {response.status} {phrase}", *(f"{key}: {value}" for key, value in response.headers.items())]
    if framing is not None:
        lines.append(framing)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


async def _write(writer: asyncio.StreamWriter, reader: asyncio.StreamReader, response: Response) -> None:
    if response.stream is None:
        writer.write(_head(response, f"content-length: {len(response.body)}") + response.body)
        await writer.drain()
        return
    writer.write(_head(response, "transfer-encoding: chunked\r\nconnection: close"))
    await writer.drain()  # a follower wants to see the head before the first line
    stream = response.stream
    pump = asyncio.create_task(_pump(writer, stream), name="node API stream")
    gone = asyncio.create_task(reader.read(1), name="node API peer")
    try:
        await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
        if not pump.done():
            pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
        if pump.cancelled() or pump.exception() is not None:
            raise ConnectionResetError("the stream ended early")
    finally:
        pump.cancel()
        gone.cancel()
        await asyncio.gather(pump, gone, return_exceptions=True)
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
    raise ConnectionResetError("done")  # a byte of the next request may have been eaten while watching the peer


async def _pump(writer: asyncio.StreamWriter, stream: Any) -> None:
    async for chunk in stream:
        if chunk:
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()
