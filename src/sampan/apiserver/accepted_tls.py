"""TLS on an accepted connection: handshakes are bounded in time and number, whoever knocks.

A handshake that takes longer than HANDSHAKE_S is given up, as is one whose client shows a certificate that does not
verify; when there are more than MAX_HANDSHAKES, the oldest makes room.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Final

from sampan.apimachinery.tls_transport import TLSTransport

log = logging.getLogger(__name__)
HANDSHAKE_S: Final = 15.0
MAX_HANDSHAKES: Final = 512


class AcceptedTLS(TLSTransport):
    """`handshakes` holds those that are not done yet, the oldest first."""

    __slots__ = ("_handshakes",)

    def __init__(
        self, context: ssl.SSLContext, protocol: asyncio.Protocol, buffer: memoryview,
        handshakes: dict[AcceptedTLS, None],
    ) -> None:
        super().__init__(context, protocol, buffer)
        self._handshakes = handshakes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_S, self.abort)
        handshakes = self._handshakes
        handshakes[self] = None
        if len(handshakes) > MAX_HANDSHAKES:
            next(iter(handshakes)).abort()

    def _fail(self, error: ssl.SSLError) -> None:
        log.debug("TLS with %s: %s", self._tcp.get_extra_info("peername"), error)
        super()._fail(error)

    def _end_handshake(self, error: Exception | None) -> None:
        super()._end_handshake(error)
        self._handshakes.pop(self, None)
