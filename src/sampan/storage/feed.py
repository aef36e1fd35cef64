"""The live end of a store: recent events in memory, and the watches that read them.

Revisions are contiguous, one event each, so the recent events are a list indexed by revision and a watch is no more
than a prefix and a cursor into that shared list: a slow watcher costs nothing, and nothing is copied for it. A watch
that is caught up sleeps; `publish` wakes only those whose prefix matches, and moves their cursor past everything that
did not.

What is older than the list is read through `older`, when the store keeps history elsewhere. Guarantees: events arrive
in revision order and without a gap; a cursor older than the compaction point raises `Compacted`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import islice
from typing import TypeAlias

from sampan.storage.store import Compacted, Event

BATCH_LIMIT = 1000

OlderEvents: TypeAlias = Callable[[str, int, int], Awaitable[tuple[list[Event], int]]]
"""`older(prefix, after, until)`: some events with the prefix and after < revision <= until, and how far it looked."""


class Feed:
    """Recent events of one store. `capacity` bounds how many are kept in memory (0: until compaction)."""

    def __init__(self, *, revision: int, oldest: int, capacity: int = 0, older: OlderEvents | None = None) -> None:
        self._events: list[Event] = []
        self._floor = revision
        self._oldest = oldest
        self._capacity = capacity
        self._older = older
        self._waiting: dict[FeedWatch, asyncio.Future[None]] = {}
        self._closed = False

    @property
    def newest(self) -> int:
        return self._floor + len(self._events)

    @property
    def closed(self) -> bool:
        return self._closed

    def publish(self, events: Sequence[Event]) -> None:
        """Append committed events, in revision order, and wake the watches they concern."""
        self._events.extend(events)
        if self._capacity and len(self._events) > 2 * self._capacity:
            self._trim(len(self._events) - self._capacity)
        for watch, waiter in list(self._waiting.items()):
            if not waiter.done() and watch.concerned_by(events):
                waiter.set_result(None)

    def compact(self, revision: int) -> list[Event]:
        """Nothing before `revision` can be watched from any more; the events in memory that this drops."""
        self._oldest = max(self._oldest, revision)
        return self._trim(max(0, revision - self._floor))

    def watch(self, prefix: str, after: int) -> FeedWatch:
        return FeedWatch(self, prefix, after)

    def close(self) -> None:
        """End every watch."""
        self._closed = True
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_result(None)

    async def read(self, prefix: str, after: int) -> tuple[list[Event], int]:
        """Up to BATCH_LIMIT events after a revision, and how far it looked. Raises Compacted."""
        if after < self._oldest:
            raise Compacted(self._oldest)
        if after < self._floor:
            if self._older is None:
                raise Compacted(self._floor)
            found = await self._older(prefix, after, self._floor)
            if after < self._oldest:  # compacted while it was being read, perhaps with gaps
                raise Compacted(self._oldest)
            return found
        start = after - self._floor
        if not prefix:
            batch = self._events[start : start + BATCH_LIMIT]
            return batch, max(after, batch[-1].kv.mod_revision if batch else 0)
        batch = []
        for event in islice(self._events, start, None):
            if event.kv.key.startswith(prefix):
                batch.append(event)
                if len(batch) == BATCH_LIMIT:
                    return batch, event.kv.mod_revision
        return batch, max(after, self.newest)

    async def wait(self, watch: FeedWatch) -> None:
        """Until something that concerns the watch is published, or the feed is closed."""
        waiter = self._waiting[watch] = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            del self._waiting[watch]

    def _trim(self, count: int) -> list[Event]:
        dropped = self._events[:count]
        del self._events[:count]
        self._floor += len(dropped)
        return dropped


class FeedWatch:
    """One watch: a prefix and a cursor. See `sampan.storage.store.Watch`."""

    def __init__(self, feed: Feed, prefix: str, after: int) -> None:
        self._feed = feed
        self._prefix = prefix
        self._cursor = after
        self._ended = False

    def concerned_by(self, events: Sequence[Event]) -> bool:
        """Whether one of these newly published events belongs to this sleeping watch; skips those before it."""
        for event in events:
            if event.kv.mod_revision > self._cursor and event.kv.key.startswith(self._prefix):
                self._cursor = event.kv.mod_revision - 1
                return True
        if events:
            self._cursor = max(self._cursor, events[-1].kv.mod_revision)
        return False

    def __aiter__(self) -> AsyncIterator[list[Event]]:
        return self

    async def __anext__(self) -> list[Event]:
        feed = self._feed
        while not (self._ended or feed.closed):
            if self._cursor >= feed.newest:
                await feed.wait(self)
                continue
            batch, self._cursor = await feed.read(self._prefix, self._cursor)
            if batch:
                return batch
        raise StopAsyncIteration

    async def __aenter__(self) -> FeedWatch:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._ended = True
