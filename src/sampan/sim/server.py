"""One API server of a simulated cluster: it can die in the midst of everything, and starts again on the same store.

A cluster may have several. Each sees the store through a view of its own, so that the caches of one can be behind those
of another; what it reads and writes without a cache is always the store's present.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sampan.apimachinery.errors import APIError
from sampan.apiserver.server import APIServer
from sampan.sim.network import Handle, Network
from sampan.sim.store import StoreView
from sampan.storage.store import StoreError

log = logging.getLogger(__name__)
RETRY_S = 0.25


class SimServer:
    """The `number`-th. `build` makes an API server on a view of the store, `handle_of` what answers its requests."""

    def __init__(
        self, number: int, view: StoreView, network: Network, build: Callable[[StoreView], APIServer],
        handle_of: Callable[[APIServer], Handle],
    ) -> None:
        self.number = number
        self.view = view
        self._network = network
        self._build = build
        self._handle_of = handle_of
        self._down = 0
        self._starting: asyncio.Task[None] | None = None
        self.api = build(view)

    async def start(self) -> None:
        self.api = self._build(self.view)
        await self.api.start()
        if not self._down:
            self._network.servers[self.number] = self._handle_of(self.api)

    async def stop(self) -> None:
        self._network.servers[self.number] = None
        await self.api.stop()

    def crash(self) -> None:
        """It stays down until as many `revive` have come."""
        self._down += 1
        self._network.hang_up(self.number, "connection reset by peer")
        if self._starting is not None:
            self._starting.cancel()

    def revive(self) -> None:
        self._down -= 1
        if not self._down:
            self._starting = asyncio.create_task(self._restart(), name="apiserver")

    async def _restart(self) -> None:
        while not self._down and self._network.servers[self.number] is None:
            await self.stop()
            try:
                await self.start()
            except (StoreError, APIError) as error:
                log.info("the API server does not start: %s", error)
                await asyncio.sleep(RETRY_S)
