"""A component of a simulated cluster: a coroutine that can be killed at any await and is started anew after a pause.

Each start is a `Life` with a connection of its own. `kill` is what SIGKILL is: the life's connections carry nothing
from then on, so whatever its `finally` blocks still try reaches nobody. Killed `gently`, as by SIGTERM, it may say
goodbye. A component that ends by itself is started again; its errors are kept in `failures`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from sampan.client.leader_election import LeadershipLost
from sampan.sim.cause import Life

log = logging.getLogger(__name__)

Body: TypeAlias = Callable[[Life], Awaitable[None]]
RESTART_S = 1.0


class Component:
    """`body(life)` runs until it is cancelled."""

    def __init__(self, name: str, body: Body) -> None:
        self.name = name
        self.failures: list[Exception] = []
        self.life = Life(name, 0, over=True)
        self._body = body
        self._task: asyncio.Task[None] | None = None
        self._restart: asyncio.Task[None] | None = None
        self._down = 0

    def start(self) -> None:
        """Begin the next life, unless something still keeps it down."""
        if self._task is not None or self._down:
            return
        self.life = Life(self.name, self.life.number + 1)
        self._task = asyncio.create_task(self._run(self.life), name=self.name)

    def kill(self, *, gently: bool = False) -> None:
        """End this life; the component stays down until as many `revive` have come."""
        self._down += 1
        task, self._task = self._task, None
        if task is not None:
            self.life.over = not gently
            task.cancel()

    def revive(self) -> None:
        self._down -= 1
        self.start()

    async def stop(self) -> None:
        """For good; waits for its end."""
        self._down += 1
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._restart is not None:
            self._restart.cancel()

    async def _run(self, life: Life) -> None:
        try:
            await self._body(life)
        except LeadershipLost as error:
            log.info("%s: %s", life, error)
        except Exception as error:
            log.exception("%s ended", life)
            self.failures.append(error)
        life.over = True
        self._task = None
        self._restart = asyncio.create_task(self._start_again(), name=f"restart {self.name}")

    async def _start_again(self) -> None:
        await asyncio.sleep(RESTART_S)
        self.start()
