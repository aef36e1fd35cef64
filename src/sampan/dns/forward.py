"""Passes a query on to other resolvers: the same transport, the first one that answers in time.

Each UDP query has a socket of its own, hence a source port of its own, and a fresh id: an answer is taken only from the
resolver that was asked, with that id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TypeAlias, cast

from sampan.effects import secret

log = logging.getLogger(__name__)

Address: TypeAlias = tuple[str, int]

TIMEOUT_S = 2.0


class _Exchange(asyncio.DatagramProtocol):
    """One query and its answer."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.DatagramTransport, transport).sendto(self._wire)  # asyncio's own is no subclass

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if data[:2] == self._wire[:2] and len(data) >= 12 and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def forward(wire: bytes, resolvers: Sequence[Address], *, tcp: bool) -> bytes | None:
    """The first answer, under the query's own id; None when no resolver answers."""
    sent = secret(2) + wire[2:]
    for resolver in resolvers:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await (_ask_tcp(sent, resolver) if tcp else _ask_udp(sent, resolver))
            return wire[:2] + found[2:]
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            log.warning("resolver %s:%s does not answer: %s", *resolver, error or type(error).__name__)
    return None


async def _ask_udp(wire: bytes, resolver: Address) -> bytes:
    loop = asyncio.get_running_loop()
    transport, exchange = await loop.create_datagram_endpoint(lambda: _Exchange(wire), remote_addr=resolver)
    try:
        return await exchange.answer
    finally:
        transport.close()


async def _ask_tcp(wire: bytes, resolver: Address) -> bytes:
    reader, writer = await asyncio.open_connection(*resolver)
    try:
        writer.write(len(wire).to_bytes(2, "big") + wire)
        size_bytes = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(size_bytes)
    finally:
        writer.close()
