"""The scheduling queue: pods that wait to be placed, in three places.

    active          to be tried now, in the order of the QueueSort plugin
    back-off        failed lately; each failure doubles the wait, 1 s to 10 s
    unschedulable   refused by some plugins; waits for an event that concerns one of them, five minutes at most

A pod that is being decided or bound is in flight: events that arrive meanwhile are remembered, so that one that
would have helped it sends it to back-off, not to wait for the next. Gated pods wait apart until they are ungated.
Time comes from `effects`, waiting from asyncio; nothing runs while nothing is due.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sampan import effects
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.status import Status
from sampan.scheduler.pod_info import PodInfo

SortKey: TypeAlias = Callable[[PodInfo, float], tuple[Any, ...]]
Concerns: TypeAlias = Callable[[str, ClusterEvent], bool]
"""`concerns(plugin, event)`: whether the event may change the plugin's mind."""

UNSCHEDULABLE_LIMIT_S = 300.0


@dataclass(slots=True)
class QueuedPod:
    """A pod with its history in the queue. `plugins` are those that refused it last."""

    pod: PodInfo
    queued_at: float
    attempts: int = 0
    failures: int = 0
    plugins: frozenset[str] = frozenset()
    since: float = 0.0
    ticket: int = 0
    """Changes whenever the pod moves, so that a heap's old entry can be told from its present one."""
    missed: set[ClusterEvent] = field(default_factory=set)


class SchedulingQueue:
    """One per scheduler. Everything but `pop` is synchronous."""

    def __init__(
        self, sort_key: SortKey, pre_enqueue: Callable[[PodInfo], Status | None], concerns: Concerns, *,
        initial_backoff_s: float = 1.0, max_backoff_s: float = 10.0,
    ) -> None:
        self._sort_key = sort_key
        self._pre_enqueue = pre_enqueue
        self._concerns = concerns
        self._initial_backoff_s = initial_backoff_s
        self._max_backoff_s = max_backoff_s
        self._active: list[tuple[tuple[Any, ...], int, QueuedPod]] = []
        self._backoff: list[tuple[float, int, QueuedPod]] = []
        self._unschedulable: dict[str, QueuedPod] = {}
        """In the order of their `since`."""
        self._gated: dict[str, QueuedPod] = {}
        self._known: dict[str, QueuedPod] = {}
        self._in_flight: dict[str, QueuedPod] = {}
        self._tickets = itertools.count(1)
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def is_in_flight(self, queued: QueuedPod) -> bool:
        """Whether it was popped and is still to be placed."""
        return self._in_flight.get(queued.pod.key) is queued

    def add(self, pod: PodInfo) -> None:
        """A pod that is to be placed, new to the queue."""
        queued = QueuedPod(pod, effects.monotonic())
        self._known[pod.key] = queued
        self._enqueue(queued)

    def update(self, pod: PodInfo) -> None:
        """The pod's document changed. If that can matter, it is tried again."""
        queued = self._known.get(pod.key)
        if queued is None or queued.pod.uid != pod.uid:
            self.delete(pod.key)
            self.add(pod)
            return
        old, queued.pod = queued.pod, pod
        if not _matters(old, pod):
            return
        if pod.key in self._in_flight:
            queued.missed.add(ClusterEvent.FLUSH)
        elif self._unschedulable.pop(pod.key, None) or self._gated.pop(pod.key, None):
            self._after_backoff(queued)

    def delete(self, key: str) -> None:
        """The pod is gone, or on a node."""
        queued = self._known.pop(key, None)
        if queued is not None:
            queued.ticket = 0
        for place in (self._unschedulable, self._gated, self._in_flight):
            place.pop(key, None)

    def failed(self, queued: QueuedPod, plugins: frozenset[str], *, error: bool = False) -> None:
        """An attempt ended without a placement: by a verdict of these plugins, or by an error."""
        key = queued.pod.key
        if self._in_flight.pop(key, None) is None or self._known.get(key) is not queued:
            return
        queued.failures += 1
        queued.plugins = plugins
        queued.since = effects.monotonic()
        missed, queued.missed = queued.missed, set()
        if error or any(self._helps(queued, event) for event in missed):
            self._after_backoff(queued)
        else:
            self._unschedulable[key] = queued
            self._changed.set()

    def move(self, event: ClusterEvent) -> None:
        """Something happened in the cluster: what it concerns is tried again."""
        for queued in self._in_flight.values():
            queued.missed.add(event)
        for key, queued in list(self._unschedulable.items()):
            if self._helps(queued, event):
                del self._unschedulable[key]
                self._after_backoff(queued)

    async def pop(self) -> QueuedPod:
        """The next pod to decide on; waits for one. It is in flight until `failed` or `delete`."""
        while True:
            self._release_due(effects.monotonic())
            while self._active:
                _, ticket, queued = heapq.heappop(self._active)
                if queued.ticket == ticket:
                    queued.ticket = 0
                    queued.attempts += 1
                    self._in_flight[queued.pod.key] = queued
                    return queued
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._next_due(effects.monotonic())):
                    await self._changed.wait()

    def _enqueue(self, queued: QueuedPod) -> None:
        """To the active queue, unless the pod is gated."""
        status = self._pre_enqueue(queued.pod)
        if status is not None:
            self._gated[queued.pod.key] = queued
            return
        queued.ticket = next(self._tickets)
        heapq.heappush(self._active, (self._sort_key(queued.pod, queued.queued_at), queued.ticket, queued))
        self._changed.set()

    def _after_backoff(self, queued: QueuedPod) -> None:
        """To the active queue once the back-off for its failures is over."""
        due = queued.since + self._backoff_s(queued) if queued.failures else 0.0
        if due <= effects.monotonic():
            self._enqueue(queued)
            return
        queued.ticket = next(self._tickets)
        heapq.heappush(self._backoff, (due, queued.ticket, queued))
        self._changed.set()

    def _backoff_s(self, queued: QueuedPod) -> float:
        doublings = min(queued.failures - 1, 30)
        return float(min(self._initial_backoff_s * 2**doublings, self._max_backoff_s))

    def _helps(self, queued: QueuedPod, event: ClusterEvent) -> bool:
        if event is ClusterEvent.FLUSH:
            return True
        return not queued.plugins or any(self._concerns(plugin, event) for plugin in queued.plugins)

    def _release_due(self, now: float) -> None:
        while self._backoff and self._backoff[0][0] <= now:
            _, ticket, queued = heapq.heappop(self._backoff)
            if queued.ticket == ticket:
                self._enqueue(queued)
        while (oldest := self._longest_unschedulable()) is not None and oldest.since + UNSCHEDULABLE_LIMIT_S <= now:
            del self._unschedulable[oldest.pod.key]
            self._enqueue(oldest)

    def _next_due(self, now: float) -> float | None:
        """Seconds until something has to be released, None if nothing will."""
        oldest = self._longest_unschedulable()
        times = [oldest.since + UNSCHEDULABLE_LIMIT_S] if oldest else []
        if self._backoff:
            times.append(self._backoff[0][0])
        return max(0.0, min(times) - now) if times else None

    def _longest_unschedulable(self) -> QueuedPod | None:
        return next(iter(self._unschedulable.values()), None)


def _matters(old: PodInfo, new: PodInfo) -> bool:
    """Whether the change of an unplaced pod can change a decision: its spec or labels, not its status."""
    return (
        old.obj.get("spec") != new.obj.get("spec") or old.labels != new.labels or old.terminating != new.terminating
    )
