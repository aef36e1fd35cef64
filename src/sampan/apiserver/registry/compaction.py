"""Forgets history that is older than it needs to be, so that the store does not grow without end.

Every few minutes the store's revision is noted with the time; what was noted `history_s` ago becomes the compaction
point. Reads and watches of anything later still work.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from sampan.apiserver.registry.periodic import Periodic
from sampan.storage.store import Store

INTERVAL_S: Final = 300.0


class Compaction:
    """The loop; `start` and `stop` it. A `history_s` of 0 keeps everything."""

    def __init__(self, store: Store, history_s: float) -> None:
        self._store = store
        self._history_s = history_s
        self._noted: deque[tuple[float, int]] = deque()
        self._loop = Periodic("compaction", self._now, INTERVAL_S)

    def start(self) -> None:
        if self._history_s:
            self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def _now(self) -> None:
        await self._step(asyncio.get_running_loop().time())

    async def _step(self, now_s: float) -> None:
        """Note the present revision; forget what has been superseded for long enough."""
        self._noted.append((now_s, await self._store.revision()))
        point = 0
        while self._noted and self._noted[0][0] <= now_s - self._history_s:
            point = self._noted.popleft()[1]
        if point:
            await self._store.compact(point)
