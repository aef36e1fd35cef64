"""A store in memory: for tests, simulation and forks. Durable for as long as the process lives.

The current state is a sorted map; beside it every key keeps its versions, oldest first, until compaction, so that a
read at an earlier revision is a bisection. No method ever waits, so each is atomic on its event loop and no lock is
needed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from operator import attrgetter
from typing import TypeAlias

from sortedcontainers import SortedDict

from sampan.storage import snapshot
from sampan.storage.feed import Feed, FeedWatch
from sampan.storage.snapshot import Header, Version
from sampan.storage.store import (
    Compacted,
    Event,
    EventKind,
    FutureRevision,
    KeyExists,
    KeyNotFound,
    KeyValue,
    Listing,
    RevisionMismatch,
)

_Versions: TypeAlias = list[Version]
_mod_revision = attrgetter("kv.mod_revision")


class MemoryStore:
    """See `sampan.storage.store.Store`."""

    def __init__(self) -> None:
        self._current: SortedDict[str, KeyValue] = SortedDict()
        self._versions: SortedDict[str, _Versions] = SortedDict()
        self._revision = 0
        self._oldest = 0
        self._feed = Feed(revision=0, oldest=0)

    @classmethod
    async def restore(cls, stream: AsyncIterable[bytes]) -> MemoryStore:
        """A new store from what any backend's `snapshot()` gave, its history included."""
        header, versions = await snapshot.decode(stream)
        store = cls()
        store._revision, store._oldest = header.revision, header.oldest
        store._feed = Feed(revision=header.oldest, oldest=header.oldest)
        for version in versions:
            store._replay(version)
        return store

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        if not revision or revision == self._revision:
            return self._current.get(key)
        self._check_readable(revision)
        return _at(self._versions.get(key, []), revision)

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 0, revision: int = 0) -> Listing:
        now = not revision or revision == self._revision
        if not now:
            self._check_readable(revision)
        states = self._present(prefix, start_after) if now else self._past(prefix, start_after, revision)
        items: list[KeyValue] = []
        remaining = 0
        for state in states:
            if limit and len(items) == limit:
                remaining += 1
            else:
                items.append(state)
        return Listing(items, revision or self._revision, remaining)

    async def create(self, key: str, value: bytes) -> int:
        if key in self._current:
            raise KeyExists(key)
        revision = self._revision + 1
        self._commit(Event(EventKind.PUT, KeyValue(key, value, revision, revision), None))
        return revision

    async def update(self, key: str, value: bytes, *, expected: int) -> int:
        current = self._expect(key, expected)
        revision = self._revision + 1
        self._commit(Event(EventKind.PUT, KeyValue(key, value, current.create_revision, revision), current))
        return revision

    async def delete(self, key: str, *, expected: int) -> int:
        current = self._expect(key, expected)
        revision = self._revision + 1
        last = KeyValue(key, current.value, current.create_revision, revision)
        self._commit(Event(EventKind.DELETE, last, current))
        return revision

    def watch(self, prefix: str, *, after: int) -> FeedWatch:
        return self._feed.watch(prefix, after)

    async def revision(self) -> int:
        return self._revision

    async def compact(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision(self._revision)
        if revision <= self._oldest:
            return
        self._oldest = revision
        for key in {event.kv.key for event in self._feed.compact(revision)}:
            versions = self._versions[key]
            keep = max(0, bisect_right(versions, revision, key=_mod_revision) - 1)
            if versions[keep].deleted and versions[keep].kv.mod_revision <= revision:
                keep += 1
            if keep == len(versions):
                del self._versions[key]
            elif keep:
                del versions[:keep]

    async def snapshot(self) -> AsyncIterator[bytes]:
        versions = sorted((v for vs in self._versions.values() for v in vs), key=_mod_revision)
        header = Header(self._revision, self._oldest)
        for chunk in snapshot.encode(header, versions):
            yield chunk

    async def close(self) -> None:
        self._feed.close()

    def _expect(self, key: str, expected: int) -> KeyValue:
        current = self._current.get(key)
        if current is None:
            raise KeyNotFound(key)
        if current.mod_revision != expected:
            raise RevisionMismatch(current)
        return current

    def _check_readable(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision(self._revision)
        if revision < self._oldest:
            raise Compacted(self._oldest)

    def _commit(self, event: Event) -> None:
        self._revision = event.kv.mod_revision
        self._apply(event)
        self._feed.publish([event])

    def _apply(self, event: Event) -> None:
        kv = event.kv
        deleted = event.kind is EventKind.DELETE
        if deleted:
            del self._current[kv.key]
        else:
            self._current[kv.key] = kv
        self._versions.setdefault(kv.key, []).append(Version(kv, deleted))

    def _replay(self, version: Version) -> None:
        """Apply one version of a snapshot; those after the compaction point can be watched again."""
        kv = version.kv
        previous = self._current.get(kv.key)
        event = Event(EventKind.DELETE if version.deleted else EventKind.PUT, kv, previous)
        self._apply(event)
        if kv.mod_revision > self._oldest:
            self._feed.publish([event])

    def _present(self, prefix: str, start_after: str) -> Iterator[KeyValue]:
        for key in _keys(self._current, prefix, start_after):
            yield self._current[key]

    def _past(self, prefix: str, start_after: str, revision: int) -> Iterator[KeyValue]:
        for key in _keys(self._versions, prefix, start_after):
            state = _at(self._versions[key], revision)
            if state is not None:
                yield state


def _keys(states: SortedDict[str, KeyValue] | SortedDict[str, _Versions], prefix: str, after: str) -> Iterator[str]:
    """Keys with the prefix and greater than `after`, in order."""
    from_after = after >= prefix
    for key in states.irange(after if from_after else prefix, inclusive=(not from_after or not after, True)):
        if not key.startswith(prefix):
            return
        yield key


def _at(versions: _Versions, revision: int) -> KeyValue | None:
    """The state of a key at a revision, from its versions."""
    position = bisect_right(versions, revision, key=_mod_revision)
    if not position or versions[position - 1].deleted:
        return None
    return versions[position - 1].kv
