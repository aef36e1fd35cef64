"""TLS on a connection that a client opens, over the loop's TCP: `connect`, or `open_streams` for readers and writers.

The loop's own TLS is not used, because uvloop's writes to a connection that is closed when whoever connects gives up in
the middle of a handshake, and prints a traceback; and because it keeps 256 KiB for every connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from sampan.apimachinery.tls_transport import READ_BYTES, TLSTransport

P = TypeVar("P", bound=asyncio.BaseProtocol)
_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


class ClientTLS(TLSTransport):
    """Begins the handshake; `ready` waits for its end."""

    __slots__ = ("_failure", "_waiter")

    def __init__(self, context: ssl.SSLContext, protocol: asyncio.BaseProtocol, server_name: str) -> None:
        loop = asyncio.get_running_loop()
        if loop not in _buffers:
            _buffers[loop] = memoryview(bytearray(READ_BYTES))
        super().__init__(context, protocol, _buffers[loop], server_name)
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def ready(self) -> None:
        """Raises OSError or ssl.SSLError, whatever ended it."""
        if self._failure is None and not self._established:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._failure is not None:
            raise self._failure

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        try:
            self._handshake()
        except ssl.SSLError as error:
            self._fail(error)

    def _end_handshake(self, error: Exception | None) -> None:
        super()._end_handshake(error)
        if not self._established and self._failure is None:
            self._failure = error or ConnectionResetError("the connection was closed during the handshake")
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def connect(factory: Callable[[], P], host: str, port: int, context: ssl.SSLContext, server_name: str) -> P:
    """The protocol, its connection made. Raises OSError, ssl.SSLError."""
    protocol = factory()
    _, tls = await asyncio.get_running_loop().create_connection(
        lambda: ClientTLS(context, protocol, server_name), host, port
    )
    try:
        await tls.ready()
    except BaseException:
        tls.abort()
        raise
    return protocol


async def open_streams(
    host: str, port: int, context: ssl.SSLContext, server_name: str = "", *, limit: int = 1 << 16
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As `asyncio.open_connection`. Raises OSError, ssl.SSLError."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = _Streams(reader, loop=loop)
    await connect(lambda: protocol, host, port, context, server_name or host)
    return reader, asyncio.StreamWriter(protocol.transport, protocol, reader, loop)


class _Streams(asyncio.StreamReaderProtocol):
    """Remembers its transport, which a writer needs."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        super().connection_made(transport)
