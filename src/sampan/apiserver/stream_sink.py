"""The client's end of a stream: chunks framed for HTTP/1.1 and written straight to the transport.

Many watches are sent the same bytes one after the other, so the last framed chunk is kept and sent again as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

_last: tuple[bytes, bytes] = b"", b""


def framed(chunk: bytes) -> bytes:
    """A chunk of `transfer-encoding: chunked`."""
    global _last
    known, found = _last
    if known is not chunk:
        found = b"%x\r\n%s\r\n" % (len(chunk), chunk)
        _last = chunk, found
    return found


class StreamSink:
    """See `apimachinery.http.Sink`. The connection says when the peer stops reading and when it goes on."""

    __slots__ = ("_callback", "_chunked", "_drained", "_write", "is_open")

    def __init__(
        self, write: Callable[[bytes], None], drained: Callable[[], Awaitable[None]], *, chunked: bool
    ) -> None:
        self._write = write
        self._drained = drained
        self._chunked = chunked
        self._callback: Callable[[], object] | None = None
        self.is_open = True

    def write(self, chunk: bytes) -> None:
        self._write(framed(chunk) if self._chunked else chunk)

    async def opened(self) -> None:
        await self._drained()

    def on_open(self, callback: Callable[[], object] | None) -> None:
        self._callback = callback

    def close(self) -> None:
        """The peer does not read for now, or is gone."""
        self.is_open = False

    def open(self) -> None:
        """The peer reads again."""
        self.is_open = True
        if self._callback is not None:
            self._callback()
