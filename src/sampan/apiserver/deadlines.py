"""Requests that must end by some time: one timer for all of them, where `asyncio.timeout` would start one for each.

All have the same limit, so they run out in the order in which they began. The timer is set for the oldest one; when it
goes off, what has run out is cancelled, and it is set anew for the oldest of those that still run. As `asyncio.timeout`
does it, a cancellation of others' is told apart from one of ours by the task's count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

SLACK_S = 0.001
"""A loop may call a little early, and sums of times are not exact: what ends so soon has ended, or the timer would be
set for a moment that is already there, again and again."""


class Deadlines:
    """`limit_s` from `begin` on. What began must be ended; `ran_out` is for a CancelledError in between."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._running: dict[Hashable, tuple[asyncio.Task[object], float]] = {}
        self._cancelled: dict[Hashable, asyncio.Task[object]] = {}
        self._is_set = False

    def begin(self, request: Hashable) -> None:
        """The present task works on it."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._running[request] = task, loop.time()
        if not self._is_set:
            self._is_set = True
            loop.call_later(self._limit_s, self._cancel)

    def end(self, request: Hashable) -> None:
        self._running.pop(request, None)
        task = self._cancelled.pop(request, None) if self._cancelled else None
        if task is not None:
            task.uncancel()

    def ran_out(self, request: Hashable) -> bool:
        """Whether that is why the task is cancelled, and no one else wants it to end."""
        task = self._cancelled.pop(request, None)
        return task is not None and task.uncancel() == 0

    def _cancel(self) -> None:
        loop = asyncio.get_running_loop()
        soon_s = loop.time() + SLACK_S
        for request, (task, began_s) in list(self._running.items()):
            if began_s + self._limit_s > soon_s:
                loop.call_at(began_s + self._limit_s, self._cancel)
                return
            del self._running[request]
            self._cancelled[request] = task
            task.cancel()
        self._is_set = False
