"""A watch's bytes on their way from the API server to a component: in order, each chunk after a delay, until it breaks.

The server pushes into it as into a connection, whose buffers take so many chunks; beyond, the server has to wait, and
cuts a reader off that is too slow. The reader gets each chunk when it is due. While the link holds deliveries back (a
partition, a stalled watch) chunks wait. When the connection breaks, what was on its way is lost, and the reader is told
as HTTPTransport tells it: ServiceUnavailable.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from sampan.apimachinery import errors
from sampan.apimachinery.http import Pushing

BUFFER_CHUNKS: Final = 64
"""As many chunks may be on their way."""
RECHECK_S: Final = 0.25
_EVENT: Final = re.compile(rb'\{"type":"(?:ADDED|MODIFIED|DELETED)"[^\n]*\n?')
"""Of an object. Several in a chunk are no event: repeated as they stand, the first would undo the last."""


class SimStream:
    """Carries `inner`; is the sink that it pushes to. `delay_s()` draws a chunk's delay, `held()` says whether
    deliveries are held back now, `repeats()` whether a chunk that is one event of an object comes twice."""

    def __init__(
        self, inner: AsyncIterator[bytes], delay_s: Callable[[], float], held: Callable[[], bool],
        repeats: Callable[[], bool] = lambda: False,
    ) -> None:
        self._inner = inner
        self._delay_s = delay_s
        self._held = held
        self._repeats = repeats
        self._loop = asyncio.get_running_loop()
        self._due: deque[tuple[float, bytes]] = deque()
        self._last_s = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._on_open: Callable[[], object] | None = None
        self._ended = False
        self.is_open = True
        self.broken = ""
        self._pump = asyncio.create_task(self._carry(), name="network: stream")

    def break_off(self, why: str) -> None:
        """The connection is lost, with all that was on its way."""
        self.broken = self.broken or why
        self._due.clear()
        self._pump.cancel()
        self._wake()

    # What the server calls

    def write(self, chunk: bytes) -> None:
        """See `apimachinery.http.Sink`."""
        self._last_s = max(self._last_s, self._loop.time() + self._delay_s())
        first = not self._due
        self._due.append((self._last_s, chunk))
        if _EVENT.fullmatch(chunk) and self._repeats():
            self._due.append((self._last_s, chunk))
        self.is_open = len(self._due) < BUFFER_CHUNKS
        if self._waiter is not None and first:
            self._loop.call_at(self._last_s, self._wake)

    async def opened(self) -> None:
        while not self.is_open:
            self._room = self._loop.create_future()
            await self._room

    def on_open(self, callback: Callable[[], object] | None) -> None:
        self._on_open = callback

    # What the reader calls

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self.broken:
                raise errors.ServiceUnavailable(f"the stream broke: {self.broken}")
            if not self._due:
                if self._ended:
                    raise StopAsyncIteration
                await self._wait()
                continue
            wait_s = self._due[0][0] - self._loop.time()
            if wait_s <= 0 and not self._held():
                return self._taken()
            await asyncio.sleep(wait_s if wait_s > 0 else RECHECK_S)

    async def aclose(self) -> None:
        """The reader goes away."""
        self._ended = True
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)

    def _taken(self) -> bytes:
        _, chunk = self._due.popleft()
        if not self.is_open:
            self.is_open = True
            if self._room is not None and not self._room.done():
                self._room.set_result(None)
            if self._on_open is not None:
                self._on_open()
        return chunk

    async def _wait(self) -> None:
        """Until a chunk is due, or nothing more will come."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _carry(self) -> None:
        inner = self._inner
        try:
            if isinstance(inner, Pushing):
                await inner.push_to(self)
            else:
                async for chunk in inner:
                    self.write(chunk)
                    await self.opened()
        finally:
            self._ended = True
            self._wake()
            close = getattr(inner, "aclose", None)
            if close is not None:
                with contextlib.suppress(RuntimeError):
                    await close()
