"""The events of one watch as a stream: until its time is over, its reader is too slow, or the cache ends it.

A reader in the same process asks for chunks. A connection gives a sink instead: once what the watch begins with has
been sent, the cache's dispatch writes to it directly, and this task only sleeps until the next bookmark or the end.

A bookmark vouches for everything before it, so it takes its place behind the events that are still queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sampan.apimachinery.http import Sink
from sampan.apiserver.registry.watch_cache import WatchCache
from sampan.apiserver.registry.watcher import Watcher


class WatchStream:
    """See `apimachinery.http.Pushing`. `bookmark_s` is the time between bookmarks, 0 for none."""

    def __init__(
        self, cache: WatchCache, watcher: Watcher, revision: Callable[[], int], timeout_s: float, bookmark_s: float
    ) -> None:
        self._cache = cache
        self._watcher = watcher
        self._revision = revision
        now = asyncio.get_running_loop().time()
        self._end_s = now + timeout_s
        self._bookmark_s = bookmark_s
        self._next_bookmark_s = now + bookmark_s if bookmark_s else self._end_s
        self._is_over = False

    def __aiter__(self) -> WatchStream:
        return self

    async def __anext__(self) -> bytes:
        loop = asyncio.get_running_loop()
        watcher = self._watcher
        while not self._is_over:
            now = loop.time()
            if now >= self._end_s:
                rest = await self._rest()
                if rest:
                    return rest
                break
            chunk = await watcher.read(min(self._end_s, self._next_bookmark_s))
            if chunk is None:
                break
            if chunk:
                return chunk
            if self._bookmark_s and loop.time() >= self._next_bookmark_s:
                self._next_bookmark_s = loop.time() + self._bookmark_s
                return self._watcher.bookmark(self._revision())
        await self.aclose()
        raise StopAsyncIteration

    async def _rest(self) -> bytes:
        """What is queued when the time is over, and a last bookmark."""
        self._is_over = True
        parts = []
        while chunk := self._watcher.read_now():
            parts.append(chunk)
        if self._bookmark_s and not self._watcher.ended:
            parts.append(self._watcher.bookmark(self._revision()))
        return b"".join(parts)

    async def push_to(self, sink: Sink) -> None:
        """Write to the sink until the end."""
        watcher, loop = self._watcher, asyncio.get_running_loop()
        while chunk := watcher.read_beginning():
            sink.write(chunk)
            await sink.opened()
            await asyncio.sleep(0)  # others want the loop, too
        watcher.connect(sink)
        while not watcher.ended:
            now = loop.time()
            if now >= self._next_bookmark_s and self._bookmark_s:
                self._next_bookmark_s = now + self._bookmark_s
                self._push_bookmark()
            if now >= self._end_s:
                break
            await watcher.wait(min(self._end_s, self._next_bookmark_s))
        if not watcher.ended and self._bookmark_s:
            self._push_bookmark()
        sink.on_open(None)
        await sink.opened()
        watcher.flush()

    def _push_bookmark(self) -> None:
        self._watcher.push(self._watcher.bookmark(self._revision()))
        self._watcher.flush()

    async def aclose(self) -> None:
        """Let the cache forget it. Idempotent."""
        self._is_over = True
        self._cache.forget(self._watcher)
        self._watcher.disconnect()
        self._watcher.quiet()
