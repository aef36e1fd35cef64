"""A watch's bytes on their way from the API server to a component: in order, each chunk after a delay, until it breaks.

A pump reads the server's side at once, as a kernel's buffers do; the reader gets each chunk when it is due. While the
link holds deliveries back (a partition, a stalled watch) chunks wait. When the connection breaks, what was on its way
is lost, and the reader is told as HTTPTransport tells it: ServiceUnavailable.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable

from sampan.apimachinery import errors

BUFFER_CHUNKS = 64
"""As many chunks may be on their way; then the server has to wait, and cuts a reader off that is too slow."""
RECHECK_S = 0.25


class SimStream:
    """Wraps `inner`. `delay_s()` draws a chunk's delay, `held()` says whether deliveries are held back now."""

    def __init__(self, inner: AsyncIterator[bytes], delay_s: Callable[[], float], held: Callable[[], bool]) -> None:
        self._inner = inner
        self._delay_s = delay_s
        self._held = held
        self._loop = asyncio.get_running_loop()
        self._due: deque[tuple[float, bytes]] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False
        self.broken = ""
        self._pump = asyncio.create_task(self._read(), name="network: stream")

    def break_off(self, why: str) -> None:
        """The connection is lost, with all that was on its way."""
        self.broken = self.broken or why
        self._due.clear()
        self._pump.cancel()
        self._changed.set()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self.broken:
                raise errors.ServiceUnavailable(f"the stream broke: {self.broken}")
            if not self._due:
                if self._ended:
                    raise StopAsyncIteration
                self._changed.clear()
                await self._changed.wait()
                continue
            wait_s = self._due[0][0] - self._loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            elif self._held():
                await asyncio.sleep(RECHECK_S)
            else:
                self._room.set()
                return self._due.popleft()[1]

    async def aclose(self) -> None:
        """The reader goes away."""
        self._ended = True
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)

    async def _read(self) -> None:
        last = 0.0
        try:
            async for chunk in self._inner:
                last = max(last, self._loop.time() + self._delay_s())
                self._due.append((last, chunk))
                self._changed.set()
                while len(self._due) >= BUFFER_CHUNKS:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._ended = True
            self._changed.set()
            close = getattr(self._inner, "aclose", None)
            if close is not None:
                with contextlib.suppress(RuntimeError):
                    await close()
