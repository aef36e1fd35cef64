"""Manager: runs many controllers on one set of informers, and starts again what crashes.

Controllers do not know each other. One that ends or raises is logged, counted and started anew, after a delay that
grows while it keeps crashing; the others do not notice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from sampan.client.backoff import Backoff
from sampan.client.informer import InformerFactory
from sampan.reconcile.controller import Controller

log = logging.getLogger(__name__)


class Manager:
    """Runs `controllers`; `crashes` counts restarts by name."""

    def __init__(self, factory: InformerFactory, controllers: Sequence[Controller]) -> None:
        self._factory = factory
        self.controllers = tuple(controllers)
        self.crashes: dict[str, int] = {controller.name: 0 for controller in controllers}

    async def run(self) -> None:
        """Until cancelled."""
        async with self._factory, asyncio.TaskGroup() as group:
            for controller in self.controllers:
                group.create_task(self._keep_running(controller), name=controller.name)

    async def _keep_running(self, controller: Controller) -> None:
        backoff = Backoff(base_s=1.0, limit_s=60.0)
        while True:
            try:
                await controller.run()
                log.error("controller %s ended; starting it again", controller.name)
            except Exception:
                log.exception("controller %s crashed; starting it again", controller.name)
            self.crashes[controller.name] += 1
            await asyncio.sleep(backoff.next())
