"""Reports: what the status of waiting pods is to say, why they are not placed and where room is being made for them.

A placement is worth more to everybody than the reason why it has not come yet. So while pods are being bound or victims
deleted, reports wait, at most `DELAY_S`; of several about a pod only the last is written, and none about a pod that
has found its place meanwhile (as upstream's API dispatcher drops a status patch for a binding). Condition and nominated
node go out in one patch, and not at all if the status says so already.

Guarantee: a pod is bound only after what is under way about it has been answered (`settled`), so an old refusal never
overwrites the news that the pod is scheduled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sampan import effects
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.scheduler.failure import report_failure

log = logging.getLogger(__name__)

DELAY_S = 3.0
PAUSE_S = 0.02
"""Between two looks at whether the scheduler still is busy."""
WRITERS = 4


@dataclass(frozen=True, slots=True)
class Report:
    """`reason` is Unschedulable or SchedulerError."""

    reason: str
    message: str
    nominated_node: str = ""


class Reports:
    """`is_busy` says whether better things are to be written; `waiting` gives the document of a pod that is still to
    be placed, None of any other."""

    def __init__(
        self, client: Client, is_busy: Callable[[], bool], waiting: Callable[[str], Object | None]
    ) -> None:
        self._client = client
        self._is_busy = is_busy
        self._waiting = waiting
        self._due: dict[str, tuple[Report, float]] = {}
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def put(self, key: str, report: Report) -> None:
        """The pod's status is to say this."""
        known = self._due.get(key)
        self._due[key] = report, effects.monotonic() if known is None else known[1]
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_all(), name="reports")

    async def settled(self, key: str) -> None:
        """Nothing is written about the pod any more."""
        self._due.pop(key, None)
        writing = self._writing.get(key)
        if writing is not None:
            await asyncio.wait((writing,))

    async def close(self) -> None:
        """Give up."""
        tasks = [*self._writing.values(), *((self._task,) if self._task is not None else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write_all(self) -> None:
        """The oldest first. One that finds its pod being written about already waits for that."""
        while self._due:
            key, (report, since) = next(iter(self._due.items()))
            if self._is_busy() and effects.monotonic() < since + DELAY_S:
                await asyncio.sleep(PAUSE_S)
            elif len(self._writing) >= WRITERS or key in self._writing:
                await asyncio.wait(self._writing.values(), return_when=asyncio.FIRST_COMPLETED)
            else:
                del self._due[key]
                pod = self._waiting(key)
                if pod is not None:
                    task = self._writing[key] = asyncio.create_task(self._write(key, pod, report))
                    task.add_done_callback(self._ended)

    async def _write(self, key: str, pod: Object, report: Report) -> None:
        try:
            await report_failure(self._client, pod, report.reason, report.message, report.nominated_node)
        finally:
            del self._writing[key]

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a pod's status could not be written", exc_info=error)
