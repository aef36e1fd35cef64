"""Forgets history that is older than it needs to be, so that the store does not grow without end.

Every few minutes the store's revision is noted with the time; what was noted `history_s` ago becomes the compaction
point. Reads and watches of anything later still work.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

from sampan.storage.store import Store, StoreError

INTERVAL_S: Final = 300.0
log = logging.getLogger(__name__)


class Compaction:
    """The loop; `start` and `stop` it."""

    def __init__(self, store: Store, history_s: float) -> None:
        self._store = store
        self._history_s = history_s
        self._noted: deque[tuple[float, int]] = deque()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._history_s:
            self._task = asyncio.create_task(self._run(), name="compaction")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._step(asyncio.get_running_loop().time())
            except (StoreError, OSError) as error:
                log.warning("history not compacted: %s", error)
            await asyncio.sleep(INTERVAL_S)

    async def _step(self, now_s: float) -> None:
        """Note the present revision; forget what has been superseded for long enough."""
        self._noted.append((now_s, await self._store.revision()))
        point = 0
        while self._noted and self._noted[0][0] <= now_s - self._history_s:
            point = self._noted.popleft()[1]
        if point:
            await self._store.compact(point)
