"""TLS on a connection: OpenSSL between the loop's TCP transport and the protocol that speaks HTTP.

The loop's own TLS keeps a buffer of 256 KiB for every connection; a server with a thousand idle watches has better
uses for that memory. Here all connections read into one buffer, since what was read is decrypted before anyone else
reads. What is sent is encrypted a record at a time and handed to the kernel together, so that no buffer of OpenSSL's
grows beyond a record, and what is to be sent stays in the processor's cache.

To the protocol this is an ordinary transport; `connection_made` is called once the handshake is done. Who makes one
says how a handshake begins and what its end means: `apiserver/accepted_tls.py` a server, `client/tls.py` a client.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable
from typing import Any, Final, cast

LINGER_S: Final = 2.0
RECORD_BYTES: Final = 16 * 1024
READ_BYTES: Final = 64 * 1024


class TLSTransport(asyncio.BufferedProtocol, asyncio.Transport):
    """Below, a protocol of the TCP transport; above, the transport of `protocol`.

    `buffer`, of READ_BYTES, is what all transports of one event loop read into. A client has a `server_name`.
    """

    __slots__ = (
        "_buffer", "_closing", "_encrypt", "_established", "_incoming", "_outgoing", "_protocol", "_reading", "_take",
        "_tcp", "_timer", "_tls",
    )

    def __init__(
        self, context: ssl.SSLContext, protocol: asyncio.BaseProtocol, buffer: memoryview,
        server_name: str | None = None,
    ) -> None:
        super().__init__()
        self._protocol = cast(asyncio.Protocol, protocol)
        self._buffer = buffer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        self._encrypt = self._tls.write
        self._take = self._outgoing.read
        self._established = False
        self._closing = False
        self._reading = True
        self._timer: asyncio.TimerHandle | None = None

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._closing:
            return
        self._incoming.write(self._buffer[:nbytes])
        try:
            if not self._established and not self._handshake():
                return
            self._decrypt()
        except ssl.SSLError as error:
            self._fail(error)

    def eof_received(self) -> bool:
        if self._established and not self._closing:
            self._protocol.eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._end_handshake(exc)
        if self._established:
            self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    # Receiving

    def _handshake(self) -> bool:
        """Go on with it; whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        self._flush()
        self._established = True
        self._protocol.connection_made(self)
        self._end_handshake(None)
        return True

    def _decrypt(self) -> None:
        """Hand on what is there, until the protocol wants no more."""
        incoming, tls = self._incoming, self._tls
        while self._reading and not self._closing and (incoming.pending or tls.pending()):
            try:
                data = tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                break  # the rest of a record is still to come
            if not data:
                self._protocol.eof_received()
                self.close()
                return
            self._protocol.data_received(data)
        if self._outgoing.pending:  # an answer to a change of keys
            self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._tcp.is_closing():
            self._tcp.write(self._take())

    def _fail(self, error: ssl.SSLError) -> None:
        self._closing = True
        self._end_handshake(error)
        self._flush()  # the alert
        self._tcp.close()

    def _end_handshake(self, error: Exception | None) -> None:
        """It is done, if it is `_established`, or never will be. May be called again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What the protocol calls

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing:
            return
        try:
            if len(data) <= RECORD_BYTES:
                self._encrypt(cast(bytes, data))
                self._tcp.write(self._take())
            else:
                self._tcp.writelines(self._records(memoryview(data)))
        except ssl.SSLError as error:  # who writes may be telling many, and is not to fail because of one
            self._fail(error)

    def _records(self, view: memoryview) -> list[bytes]:
        records = []
        for start in range(0, len(view), RECORD_BYTES):
            self._encrypt(cast(bytes, view[start : start + RECORD_BYTES]))
            records.append(self._take())
        return records

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Say goodbye and send what is queued; close when the peer has hung up, or after LINGER_S at the latest.

        Closing at once would lose what the peer has not read yet, if it still sends, or if its TLS is one of those that
        take the end of the connection for the end of everything.
        """
        if self._closing:
            return
        self._closing = True
        if not self._established:
            self._tcp.close()
            return
        with contextlib.suppress(ssl.SSLError):  # mostly: the peer has not said goodbye
            self._tls.unwrap()
        self._flush()
        self._tcp.resume_reading()
        self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._tcp.close)

    def abort(self) -> None:
        self._closing = True
        self._end_handshake(None)
        self._tcp.abort()

    def is_closing(self) -> bool:
        return self._closing or self._tcp.is_closing()

    def is_reading(self) -> bool:
        return self._reading

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._tcp.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading and not self.is_closing():
            self._reading = True
            self._tcp.resume_reading()
            asyncio.get_running_loop().call_soon(self._decrypt_held)

    def _decrypt_held(self) -> None:
        """What came in before reading was paused."""
        try:
            if not self._closing:
                self._decrypt()
        except ssl.SSLError as error:
            self._fail(error)

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self._tcp.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._tcp.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._tls if name == "ssl_object" else self._tcp.get_extra_info(name, default)
