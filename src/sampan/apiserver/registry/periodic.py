"""Background work on the store that is done every so often: one task, errors of the store are logged and outlived."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sampan.storage.store import StoreError

log = logging.getLogger(__name__)


class Periodic:
    """Runs `step` when started and then every `interval_s`, until stopped."""

    def __init__(self, name: str, step: Callable[[], Awaitable[None]], interval_s: float) -> None:
        self._name = name
        self._step = step
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._step()
            except (StoreError, OSError) as error:
                log.warning("%s: %s", self._name, error)
            except Exception:
                log.exception("%s failed", self._name)
            await asyncio.sleep(self._interval_s)
