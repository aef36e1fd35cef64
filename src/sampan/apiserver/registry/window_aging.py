"""Lets the watch caches forget changes that are older than a watch which was interrupted needs.

Each cache keeps its last changes, some thousands, so that watches resume; after a burst they would stay in memory until
the next one. Once a minute the revision is noted; what was noted WINDOW_S ago is where the windows may begin. The last
MINIMUM changes of a kind stay however old they are, as upstream keeps them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from sampan.apiserver.registry.hub import Hub
from sampan.apiserver.registry.periodic import Periodic

WINDOW_S: Final = 300.0
INTERVAL_S: Final = 60.0
MINIMUM: Final = 100


class WindowAging:
    """The loop; `start` and `stop` it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._noted: deque[tuple[float, int]] = deque()
        self._loop = Periodic("watch windows", self._now, INTERVAL_S)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def _now(self) -> None:
        self.step(asyncio.get_running_loop().time())

    def step(self, now_s: float) -> None:
        """Note the present revision; forget what is old enough."""
        self._noted.append((now_s, self._hub.revision))
        point = 0
        while self._noted and self._noted[0][0] <= now_s - WINDOW_S:
            point = self._noted.popleft()[1]
        if point:
            for cache in self._hub.caches():
                cache.forget_changes(point, MINIMUM)
