"""A virtual-time event loop: when nothing is ready, the clock jumps to the next timer. A day passes in seconds.

It is asyncio's own loop with another clock, another heart and no selector. Callbacks run in the order in which they
became ready, timers by time and, at the same time, in the order in which they were set; so what happens depends on
nothing but the program and its seed. There are no sockets, threads or signals: what would run in an executor runs at
once, in place. When nothing is ready and no timer is set, nothing could ever happen again: that is `Deadlock`.

A trial makes millions of callbacks, so the heart is short: handles have no debugging aids, and timers lie in the heap
as tuples, which compare without calling Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context, copy_context
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


RESOLUTION_S = 1e-6
"""Timers that are due within it run together: a float that counts years in seconds cannot tell nanoseconds apart."""
MANY_TIMERS = 256
STUCK_TURNS = 5_000


class Deadlock(RuntimeError):
    """Every task waits for something that nobody will do."""


class _Handle(asyncio.Handle):
    """A callback that is ready."""

    __slots__ = ()

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], loop: VirtualLoop, context: Context | None
    ) -> None:
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = copy_context() if context is None else context
        self._cancelled = False
        self._source_traceback = self._repr = None

    def cancel(self) -> None:
        self._cancelled = True
        self._callback = self._args = None  # type: ignore[assignment]  # as asyncio: what they hold is let go


class _Timer(asyncio.TimerHandle):
    """A callback that will be ready at a time."""

    __slots__ = ()

    def __init__(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], loop: VirtualLoop,
        context: Context | None,
    ) -> None:
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = copy_context() if context is None else context
        self._cancelled = False
        self._source_traceback = self._repr = None
        self._when = when
        self._scheduled = True

    def cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None  # type: ignore[assignment]
            if self._scheduled:
                self._loop.cancelled_timers += 1


class _NoSelector(selectors.BaseSelector):
    """asyncio's loop wants one, to register its own end of a pipe."""

    def __init__(self) -> None:
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, -1, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        raise AssertionError("nothing comes from outside")

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """See above. `time()` begins at 0."""

    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self) -> None:
        self._now = 0.0
        self._numbers = itertools.count()
        self._timers: list[tuple[float, int, _Timer]] = []
        self.cancelled_timers = 0
        """Those that still lie in the heap."""
        self.turns = 0
        """How often it has gone round since time last passed."""
        self.when_stuck: Callable[[], object] = bool
        """Called when time stands still: something works on and on without waiting for anything."""
        super().__init__(_NoSelector())

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def _run_once(self) -> None:
        """Jump to the next timer if nothing is ready; then run what is ready now, in order."""
        ready = self._ready
        if self.cancelled_timers > MANY_TIMERS and self.cancelled_timers * 2 > len(self._timers):
            self._forget_cancelled()
        if not ready and not self._stopping:
            self._jump()
            self.turns = 0
        else:
            self.turns += 1
            if self.turns == STUCK_TURNS:
                self.when_stuck()
        timers, end = self._timers, self._now + RESOLUTION_S
        while timers and timers[0][0] < end:
            timer = heapq.heappop(timers)[2]
            timer._scheduled = False
            if timer._cancelled:
                self.cancelled_timers -= 1
            else:
                ready.append(timer)
        for _ in range(len(ready)):  # what these make ready comes after timers that are due by then
            handle = ready.popleft()
            if handle._cancelled:
                continue
            try:
                handle._context.run(handle._callback, *handle._args)  # type: ignore[attr-defined]
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                message = f"Exception in callback {handle!r}"
                self.call_exception_handler({"message": message, "exception": error, "handle": handle})

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)[2]._scheduled = False
            self.cancelled_timers -= 1
        if not timers:
            raise Deadlock(f"at {self._now:.3f} s nothing is ready and no timer is set")
        self._now = max(self._now, timers[0][0])

    def _forget_cancelled(self) -> None:
        self._timers = [entry for entry in self._timers if not entry[2]._cancelled]
        heapq.heapify(self._timers)
        self.cancelled_timers = 0

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
