"""Workqueue: the keys that a controller still has to look at.

A key is in the queue at most once, however often it is added, and is never handed to two workers at a time: added while
it is worked on, it comes back after `done`. Failures come back later and later (`add_rate_limited`: 5 ms, doubling to a
minute) until `forget`. Order is first in, first out, so a run is repeatable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from sampan import effects
from sampan.reconcile.metrics import QueueMetrics

BASE_DELAY_S = 0.005
MAX_DELAY_S = 60.0


class Workqueue:
    """Keys, each at most once. Needs a running event loop for delays."""

    def __init__(self) -> None:
        self._queue: deque[str] = deque()
        self._dirty: set[str] = set()
        self._working: set[str] = set()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._queued_at: dict[str, float] = {}
        self.metrics = QueueMetrics()
        self.rests: Callable[[str], float | None] = lambda key: None
        """Asked when a delay is over: for how many seconds more there is nothing to do; None: `key` is to be worked
        on. Whoever looks at thousands of keys again and again, mostly in vain, spares the workers that."""

    def __len__(self) -> int:
        """Keys that wait, without those that are delayed or worked on."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is worked on; delayed keys may exist."""
        return not self._queue and not self._working

    def add(self, key: str) -> None:
        """Look at `key` as soon as possible."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        self.metrics.adds += 1
        if key not in self._working:
            self._push(key)

    def add_after(self, key: str, delay_s: float) -> None:
        """Look at `key` in `delay_s` seconds; of several delays of one key the earliest holds."""
        self.metrics.retries += 1
        if delay_s <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        known = self._timers.get(key)
        if known is not None:
            if known.when() <= due:
                return
            known.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    def add_rate_limited(self, key: str) -> None:
        """Look at `key` again after a failure, later each time."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(BASE_DELAY_S * 2**min(failures, 30), MAX_DELAY_S))

    def forget(self, key: str) -> None:
        """`key` went well: its next failure is its first."""
        self._failures.pop(key, None)

    def failures(self, key: str) -> int:
        return self._failures.get(key, 0)

    async def get(self) -> str:
        """The next key; the caller must call `done` with it."""
        while not self._queue:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._wake()  # it was woken for a key that another worker must now take
                raise
        key = self._queue.popleft()
        self._dirty.discard(key)
        self._working.add(key)
        now = effects.monotonic()
        self.metrics.depth = len(self._queue)
        self.metrics.queued.observe(now - self._queued_at.pop(key))
        self.metrics.running[key] = now
        return key

    def done(self, key: str) -> None:
        self._working.discard(key)
        self.metrics.worked.observe(effects.monotonic() - self.metrics.running.pop(key))
        if key in self._dirty:
            self._push(key)

    def close(self) -> None:
        """Drop all delays."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, key: str) -> None:
        self._timers.pop(key, None)
        rests_s = None if key in self._dirty or key in self._working else self.rests(key)
        if rests_s is None:
            self.add(key)
        else:
            self.add_after(key, rests_s)

    def _push(self, key: str) -> None:
        self._queue.append(key)
        self._queued_at[key] = effects.monotonic()
        self.metrics.depth = len(self._queue)
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return
