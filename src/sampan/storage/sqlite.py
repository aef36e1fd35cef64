"""The embedded store: one sqlite file, and every write on disk before anyone hears of it.

Compare-and-swap is decided in memory, in order, against what is committed plus what is about to be (`_pending`). Writes
that arrive in one turn of the event loop, or while a commit is on its way to disk, wait together and become the next
transaction, so one fsync carries all of them. Only then do their callers return, and readers and watches see them. The
statements run on the event loop's thread (they only touch memory); the commit, which waits for the disk, does so too
while the disk is quicker than handing it to a thread would be, and else runs on a thread of its own (`pace`).

Guarantees: those of `sampan.storage.store`; a lock file keeps a second process out; memory does not grow with the data:
values and the index of keys stay in sqlite, the feed keeps only the most recent events.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias, TypeVar

from sampan.storage import snapshot
from sampan.storage.database import Database, Events, Range
from sampan.storage.feed import BATCH_LIMIT, Feed, FeedWatch
from sampan.storage.pace import Pace
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
    StoreUnavailable,
)

RECENT_EVENTS = 256
CHECKPOINT_PAGES = 1000

T = TypeVar("T")
log = logging.getLogger(__name__)


class _Write:
    """A decided write that waits for its commit. `done` is its caller's alone, who may cancel it."""

    __slots__ = ("_others", "done", "event")

    def __init__(self, event: Event, done: asyncio.Future[None]) -> None:
        self.event = event
        self.done = done
        self._others: list[asyncio.Future[None]] = []

    async def settled(self) -> None:
        """For others: until it is durable or has failed."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._others.append(waiter)
        await waiter

    def settle(self, error: StoreUnavailable | None = None) -> None:
        if not self.done.done():  # the caller may be gone
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)
        for waiter in self._others:
            if not waiter.done():
                waiter.set_result(None)


_Batch: TypeAlias = list[_Write]


class SqliteStore:
    """See `sampan.storage.store.Store`. Made by `open`."""

    def __init__(self, path: Path, lock: int, databases: tuple[Database, Database, Database]) -> None:
        self._path = path
        self._lock = lock
        self._writer, self._reader, self._bulk = databases
        self._assigned = self._reader.newest()
        self._oldest = self._reader.meta("oldest")
        self._feed = Feed(
            revision=self._assigned, oldest=self._oldest, capacity=RECENT_EVENTS, older=self._older_events
        )
        self._pending: dict[str, _Write] = {}
        self._waiting: _Batch = []
        self._scheduled = False
        self._committing: asyncio.Task[None] | None = None
        self._pace = Pace()
        self._pages = 0
        self._writer_free = asyncio.Lock()
        self._commit_thread = ThreadPoolExecutor(1, thread_name_prefix="store-commit")
        self._bulk_thread = ThreadPoolExecutor(1, thread_name_prefix="store-read")
        self._broken = ""
        self._broke = asyncio.Event()

    @classmethod
    async def open(cls, path: str | os.PathLike[str]) -> SqliteStore:
        """Open or create the store, recovering from a crash. Raises StoreUnavailable, also if it is in use."""
        return await asyncio.to_thread(cls._open, Path(path))

    @classmethod
    def _open(cls, path: Path) -> SqliteStore:
        lock = _lock(path)
        try:
            writer = Database.open(path, create=True)
            return cls(path, lock, (writer, Database.open(path), Database.open(path)))
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    async def restore(cls, path: str | os.PathLike[str], stream: AsyncIterable[bytes]) -> SqliteStore:
        """A new store at `path`, where there is none yet, from any backend's `snapshot()`."""
        path = Path(path)
        if path.exists():
            raise StoreUnavailable(f"{path} exists; a snapshot is restored into a new file")
        header, versions = await snapshot.decode(stream)
        unfinished = path.with_name(path.name + ".restoring")
        for leftover in unfinished.parent.glob(unfinished.name + "*"):
            leftover.unlink()
        database = Database.open(unfinished, create=True)
        database.load(header, versions)
        database.close()
        os.replace(unfinished, path)
        return await cls.open(path)

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        self._check_open()
        if not revision:
            return self._present(key)
        self._check_readable(revision)
        return self._reader.get_at(key, revision)

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 0, revision: int = 0) -> Listing:
        self._check_open()
        if revision:
            self._check_readable(revision)
        found = await self._in_bulk_thread(lambda: self._bulk.list(Range(prefix, start_after), limit, revision))
        if revision:
            self._check_readable(revision)  # it may have been compacted while it was being read
        return found

    async def create(self, key: str, value: bytes) -> int:
        self._check_open()
        before = await self._decided(key, lambda state: state is not None)
        if before is not None:
            raise KeyExists(key)
        revision = self._assigned + 1
        return await self._write(Event(EventKind.PUT, KeyValue(key, value, revision, revision), None))

    async def update(self, key: str, value: bytes, *, expected: int) -> int:
        before = await self._expect(key, expected)
        kv = KeyValue(key, value, before.create_revision, self._assigned + 1)
        return await self._write(Event(EventKind.PUT, kv, before))

    async def delete(self, key: str, *, expected: int) -> int:
        before = await self._expect(key, expected)
        kv = KeyValue(key, before.value, before.create_revision, self._assigned + 1)
        return await self._write(Event(EventKind.DELETE, kv, before))

    def watch(self, prefix: str, *, after: int) -> FeedWatch:
        return self._feed.watch(prefix, after)

    async def revision(self) -> int:
        self._check_open()
        return self._feed.newest  # what is durable: no other process writes, and nobody heard of later writes

    async def compact(self, revision: int) -> None:
        self._check_open()
        newest = self._reader.newest()
        if revision > newest:
            raise FutureRevision(newest)
        if revision <= self._oldest:
            return
        self._oldest = revision
        self._feed.compact(revision)
        async with self._writer_free:
            await self._in_commit_thread(lambda: self._writer.set_meta("oldest", revision))
        more = True
        while more and not self._feed.closed:
            async with self._writer_free:
                more = await self._in_commit_thread(self._writer.sweep)

    async def snapshot(self) -> AsyncIterator[bytes]:
        self._check_open()
        database = Database.open(self._path)
        versions = database.versions()
        try:
            header = next(versions)
            assert isinstance(header, Header)
            chunks = snapshot.encode(header, (part for part in versions if isinstance(part, Version)))
            while chunk := await self._in_bulk_thread(lambda: next(chunks, b"")):
                yield chunk
        finally:
            await self._in_bulk_thread(versions.close)
            database.close()

    async def failed(self) -> str:
        """Wait until nobody can know whether a commit happened; why. Only opening the store again helps then."""
        await self._broke.wait()
        return self._broken

    async def close(self) -> None:
        if self._feed.closed:
            return
        while self._scheduled or (self._committing is not None and not self._committing.done()):
            if self._waiting:
                await self._waiting[-1].settled()
            elif self._committing is not None:
                await asyncio.wait([self._committing])
        self._feed.close()
        async with self._writer_free:
            self._commit_thread.shutdown()
            self._bulk_thread.shutdown()
            for database in (self._bulk, self._reader, self._writer):
                database.close()
            os.close(self._lock)

    # Deciding

    async def _expect(self, key: str, expected: int) -> KeyValue:
        """The state that an update or deletion replaces."""
        self._check_open()
        before = await self._decided(key, lambda state: state is None or state.mod_revision != expected)
        if before is None:
            raise KeyNotFound(key)
        if before.mod_revision != expected:
            raise RevisionMismatch(before)
        return before

    async def _decided(self, key: str, refuses: Callable[[KeyValue | None], bool]) -> KeyValue | None:
        """The key's newest state, pending writes included; but a refusal is based on durable states only."""
        while (write := self._pending.get(key)) is not None:
            state = None if write.event.kind is EventKind.DELETE else write.event.kv
            if not refuses(state):
                return state
            await write.settled()
        self._check_open()
        return self._present(key)

    def _present(self, key: str) -> KeyValue | None:
        """The key's committed state, from the connection that wrote it if it is free: another has to read again every
        page that was written."""
        return (self._reader if self._writer_free.locked() else self._writer).get(key)

    # Writing

    async def _write(self, event: Event) -> int:
        """Commit an event that was decided just now, with no await in between; its revision once it is durable."""
        if self._broken:
            raise StoreUnavailable(self._broken)
        revision = self._assigned = event.kv.mod_revision
        write = _Write(event, asyncio.get_running_loop().create_future())
        self._pending[event.kv.key] = write
        self._waiting.append(write)
        if not self._scheduled:
            self._schedule()
        # A caller that is cancelled while it waits does not take back the write.
        await write.done
        return revision

    def _schedule(self) -> None:
        self._scheduled = True
        asyncio.get_running_loop().call_soon(self._commit_waiting)

    def _commit_waiting(self) -> None:
        """Commit what waits: in place, or by a task that uses the thread."""
        if self._writer_free.locked() or not self._pace.in_place(len(self._waiting)):
            self._committing = asyncio.create_task(self._commit_in_thread(), name="store-commit")
            return
        self._scheduled = False
        batch, self._waiting = self._waiting, []
        try:
            self._pages += self._writer.begin(write.event for write in batch)
            with self._pace.measured():
                self._writer.commit()
        except Exception as error:
            self._failed(batch, error)
            return
        self._committed(batch)
        if self._pages > CHECKPOINT_PAGES:
            self._scheduled = True
            self._committing = asyncio.create_task(self._commit_in_thread(), name="store-commit")

    async def _commit_in_thread(self) -> None:
        """Commit what waits, all of it at once, until nothing waits; and tidy the log when it has grown."""
        async with self._writer_free:
            try:
                while self._waiting:
                    batch, self._waiting = self._waiting, []
                    try:
                        self._pages += self._writer.begin(write.event for write in batch)
                        await self._in_commit_thread(self._writer.commit)
                    except Exception as error:
                        self._failed(batch, error)
                    else:
                        self._committed(batch)
                if self._pages > CHECKPOINT_PAGES:
                    await self._checkpoint()
            finally:
                self._scheduled = False
                if self._waiting:
                    self._schedule()

    async def _checkpoint(self) -> None:
        """Bring the log's pages into the file, so that the log can begin anew."""
        self._pages = 0
        try:
            await self._in_commit_thread(self._writer.checkpoint)
        except StoreUnavailable as error:
            log.warning("%s: checkpoint: %s", self._path, error)  # the log goes on, and nothing is lost

    def _committed(self, batch: _Batch) -> None:
        for write in batch:
            key = write.event.kv.key
            if self._pending.get(key) is write:
                del self._pending[key]
        self._feed.publish([write.event for write in batch])
        for write in batch:
            write.settle()

    def _failed(self, batch: _Batch, error: Exception) -> None:
        """Nothing of the batch happened, so nothing that was decided after it may happen either."""
        durable = self._feed.newest
        try:
            self._writer.rollback()
            if self._reader.newest() != durable:
                self._broken = f"{self._path}: {error}; it is unclear what was committed, so it must be opened again"
        except StoreUnavailable as also:
            self._broken = f"{self._path}: {error}; rolling back failed too: {also}"
        if self._broken:
            self._broke.set()
        abandoned = [*batch, *self._waiting]
        self._waiting = []
        self._pending.clear()
        self._assigned = durable
        for write in abandoned:
            write.settle(StoreUnavailable(f"{self._path}: {error}"))

    # Reading

    async def _older_events(self, prefix: str, after: int, until: int) -> tuple[Events, int]:
        events = await self._in_bulk_thread(lambda: self._bulk.events(prefix, after, until, BATCH_LIMIT))
        return events, events[-1].kv.mod_revision if len(events) == BATCH_LIMIT else until

    def _check_open(self) -> None:
        if self._feed.closed:
            raise StoreUnavailable(f"{self._path} is closed")

    def _check_readable(self, revision: int) -> None:
        if revision < self._oldest:
            raise Compacted(self._oldest)
        if revision > self._feed.newest and revision > (newest := self._reader.newest()):
            raise FutureRevision(newest)

    # Threads

    async def _in_bulk_thread(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._bulk_thread, read)

    async def _in_commit_thread(self, work: Callable[[], T]) -> T:
        """Wait for it even when cancelled: the connection must not be used before it has finished."""
        running = asyncio.get_running_loop().run_in_executor(self._commit_thread, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise


def _lock(path: Path) -> int:
    """An exclusive lock that dies with the process; the open descriptor that holds it."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreUnavailable(f"{path} is in use by another process") from error
    return descriptor
