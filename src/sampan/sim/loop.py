"""A virtual-time event loop: when nothing is ready, the clock jumps to the next timer. A day passes in seconds.

It is asyncio's own loop with another clock and a selector that never waits. Callbacks run in the order in which they
became ready, timers by time and, at the same time, in the order in which they were set; so what happens depends on
nothing but the program and its seed. There are no sockets, threads or signals: what would run in an executor runs at
once, in place. When nothing is ready and no timer is set, nothing could ever happen again: that is `Deadlock`.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import selectors
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


RESOLUTION_S = 1e-6


class Deadlock(RuntimeError):
    """Every task waits for something that nobody will do."""


class _OrderedTimer(asyncio.TimerHandle):
    """A timer that knows when it was set, so that equal times keep their order."""

    __slots__ = ("number",)

    number: int

    def __lt__(self, other: object) -> bool:
        if isinstance(other, _OrderedTimer):
            return (self.when(), self.number) < (other.when(), other.number)
        return NotImplemented


class _NoWaiting(selectors.BaseSelector):
    """Reports nothing but lets the loop's clock jump by the time it would have waited."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, -1, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock(f"at {self._loop.time():.3f} s nothing is ready and no timer is set")
        if timeout > 0:
            self._loop.jump()
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """See above. `time()` begins at 0."""

    def __init__(self) -> None:
        self._now = 0.0
        self._numbers = itertools.count()
        super().__init__(_NoWaiting(self))
        # asyncio runs timers that are due within the clock's resolution. A float that counts years in seconds cannot
        # tell nanoseconds apart, so a timer that is due exactly now would never be.
        self._clock_resolution = RESOLUTION_S

    def time(self) -> float:
        return self._now

    def jump(self) -> None:
        """To the next timer."""
        self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = _OrderedTimer(when, callback, args, self, context)
        timer.number = next(self._numbers)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """At once, in place: a thread would finish whenever it likes."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on virtual time."""
    loop = VirtualLoop()
    previous = _present_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        try:
            _cancel_everything(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(previous)
            loop.close()


def _present_loop() -> asyncio.AbstractEventLoop | None:
    with contextlib.suppress(RuntimeError):
        return asyncio.get_event_loop_policy().get_event_loop()
    return None


def _cancel_everything(loop: VirtualLoop) -> None:
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
