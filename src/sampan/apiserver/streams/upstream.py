"""Connections from the API server to kubelets, pods and services: upgraded raw streams, and answers as streams.

A kubelet is spoken to over HTTPS with the API server's own client certificate, and believed if its certificate comes
from the configured authority. Whoever gets an `Upgraded` or a `Body` closes it; nothing is kept open in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sampan.apimachinery import errors
from sampan.apimachinery.errors import APIError, BadRequest
from sampan.apiserver.config import APIServerConfig
from sampan.client import tls

if TYPE_CHECKING:  # a client is loaded by the first request to a backend, not while the server starts
    import aiohttp
    from multidict import CIMultiDict

CONNECT_S: Final = 10.0
ANSWER_S: Final = 30.0
_CHUNK_BYTES: Final = 64 * 1024
_HEAD_BYTES: Final = 64 * 1024
_ERROR_BYTES: Final = 2048


class SocketDuplex:
    """A `Duplex` over asyncio's streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        try:
            return await self._reader.read(_CHUNK_BYTES)
        except (ConnectionError, ssl.SSLError):
            return b""

    async def write(self, data: bytes) -> None:
        if self._writer.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()


@dataclass(frozen=True, slots=True)
class Upgraded:
    """An upgraded connection and the headers of the answer that upgraded it."""

    duplex: SocketDuplex
    headers: CIMultiDict[str]


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect; `tls` None means plain TCP. `server_name`, if not `host`, is whom the certificate must name."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"


def kubelet_tls(config: APIServerConfig) -> ssl.SSLContext:
    """The client context for kubelets; made again when one of its files changed."""
    files = (config.kubelet_client_cert_file, config.kubelet_client_key_file, config.kubelet_ca_file)
    return _context(files, tuple(os.stat(path).st_mtime_ns if path else 0 for path in files))


@lru_cache(maxsize=4)
def _context(files: tuple[str, str, str], stamps: tuple[int, ...]) -> ssl.SSLContext:
    certificate, key, authority = files
    context = insecure_tls() if not authority else ssl.create_default_context(cafile=authority)
    if certificate:
        context.load_cert_chain(certificate, key or None)
    return context


def insecure_tls() -> ssl.SSLContext:
    """Encrypted, but to whom is not checked: for backends whose authority nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def dial_error(error: Exception) -> APIError:
    """What upstream answers when the backend cannot be reached: 500 without a reason."""
    return APIError(f"error dialing backend: {error or type(error).__name__}", code=500)


async def upgrade(target: Target, method: str, path: str, headers: Sequence[tuple[str, str]]) -> Upgraded:
    """Connect and upgrade. `path` is encoded. Raises the backend's refusal as an APIError."""
    try:
        async with asyncio.timeout(CONNECT_S):
            if target.tls is None:
                reader, writer = await asyncio.open_connection(target.host, target.port, limit=_HEAD_BYTES)
            else:
                reader, writer = await tls.open_streams(
                    target.host, target.port, target.tls, target.server_name, limit=_HEAD_BYTES
                )
    except (OSError, ssl.SSLError, TimeoutError) as error:
        raise dial_error(error) from error
    try:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {target.authority}", *(f"{k}: {v}" for k, v in headers)]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        async with asyncio.timeout(ANSWER_S):
            await writer.drain()
            status, answered = await _head(reader)
            if status != 101:
                raise refusal(status, await _short_body(reader, answered))
    except (OSError, ssl.SSLError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        writer.close()
        raise dial_error(error) from error
    except BaseException:
        writer.close()
        raise
    return Upgraded(SocketDuplex(reader, writer), answered)


async def _head(reader: asyncio.StreamReader) -> tuple[int, CIMultiDict[str]]:
    from multidict import CIMultiDict

    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise ConnectionError(f"malformed HTTP response {first[:80]!r}")
    pairs = (line.partition(":") for line in lines)
    return int(words[1]), CIMultiDict((name.strip(), value.strip()) for name, _, value in pairs)


async def _short_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        found = bytearray()
        while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
            found += await reader.readexactly(size)
            await reader.readline()
        return bytes(found)
    length = headers.get("content-length", "")
    if length.isdigit():
        return await reader.readexactly(min(int(length), _HEAD_BYTES))
    with contextlib.suppress(ConnectionError):
        return await reader.read(_HEAD_BYTES)
    return b""


def refusal(status: int, body: bytes) -> APIError:
    """A backend's refusal as an error: its Status if it sent one, else its text with the reason of its code."""
    with contextlib.suppress(ValueError):
        document: Any = json.loads(body)
        if isinstance(document, dict) and document.get("kind") == "Status":
            return errors.from_status(document, status)
    text = body[:_ERROR_BYTES].decode(errors="replace").strip() or f"the backend answered {status}"
    chosen = errors.BY_CODE.get(status)
    if chosen is None or chosen is errors.TooManyRequests:
        return APIError(text, code=status if status >= 400 else 500)
    return chosen(text)


class Body:
    """An answer's body as a stream of chunks; closing it closes the connection."""

    def __init__(self, session: aiohttp.ClientSession, answer: aiohttp.ClientResponse) -> None:
        self._session = session
        self.answer = answer
        self._chunks = answer.content.iter_any()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        import aiohttp

        try:
            return await self._chunks.__anext__()
        except (aiohttp.ClientError, OSError) as error:
            await self.aclose()
            raise StopAsyncIteration from error
        except StopAsyncIteration:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        self.answer.close()
        await self._session.close()

    async def text(self, limit_bytes: int = _ERROR_BYTES) -> bytes:
        """The beginning of the body; closes."""
        try:
            return await self.answer.content.read(limit_bytes)
        finally:
            await self.aclose()


async def request(
    target: Target, method: str, path: str, headers: Mapping[str, str] | None = None, data: bytes = b""
) -> Body:
    """An ordinary request; `path` is encoded, with its query. Raises APIError when there is no answer."""
    import aiohttp
    from yarl import URL

    connector = aiohttp.TCPConnector(ssl=target.tls or False, force_close=True)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
    session = aiohttp.ClientSession(
        connector=connector, timeout=timeout, auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept-Encoding"),
    )
    try:
        answer = await session.request(
            method, URL(target.url + path, encoded=True), headers=headers, data=data or None, allow_redirects=False,
            server_hostname=target.server_name or None,
        )
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        await session.close()
        raise dial_error(error) from error
    except ValueError as error:
        await session.close()
        raise BadRequest(str(error)) from error
    except BaseException:
        await session.close()
        raise
    return Body(session, answer)
