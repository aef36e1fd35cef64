"""A watch on etcd: one stream, resumed after the last event when it breaks, so that nobody notices a lost member.

etcd tells that a starting point is compacted only when it is older than the compaction point by more than one revision;
so the point itself is read first, which says it exactly. Fragments of one answer are put together again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import grpc
from aetcd import rpc

from sampan.storage.etcd.connection import PAUSE_S, Connection, RevisionCompacted, RevisionInFuture, translated
from sampan.storage.etcd.convert import event, from_etcd, key_range, to_etcd
from sampan.storage.store import Compacted, Event, StoreError, StoreUnavailable


class EtcdWatch:
    """See `sampan.storage.store.Watch`."""

    def __init__(self, etcd: Connection, all: set[EtcdWatch], prefix: str, after: int, *, ended: bool) -> None:
        self._etcd = etcd
        self._all = all
        self._prefix = prefix
        self._cursor = after
        self._stream: Any = None
        self._reading: asyncio.Task[Any] | None = None
        self._ended = ended
        all.add(self)

    def __aiter__(self) -> AsyncIterator[list[Event]]:
        return self

    async def __anext__(self) -> list[Event]:
        while not self._ended:
            try:
                batch = await self._until_ended(self._next())
            except (StoreUnavailable, grpc.aio.AioRpcError) as error:
                self._stream = None
                failure = translated(error) if isinstance(error, grpc.aio.AioRpcError) else error
                if isinstance(failure, StoreError) and not isinstance(failure, StoreUnavailable):
                    raise failure from error
                await asyncio.sleep(PAUSE_S)  # a member is away, or all are: go on after the last event
                continue
            if batch:
                self._cursor = batch[-1].kv.mod_revision
                return batch
        raise StopAsyncIteration

    async def __aenter__(self) -> EtcdWatch:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.end()

    def end(self) -> None:
        """End the iteration, also one that waits. Idempotent."""
        self._ended = True
        self._all.discard(self)
        if self._stream is not None:
            self._stream.cancel()
        if self._reading is not None:
            self._reading.cancel()

    async def _next(self) -> list[Event]:
        """The events of one whole answer; none if it had none."""
        if self._stream is None:
            await self._open()
        events: list[Event] = []
        while True:
            answer = await self._stream.read()
            if answer is grpc.aio.EOF:
                self._stream = None
                return events
            if answer.compact_revision:
                raise Compacted(from_etcd(answer.compact_revision))
            if answer.canceled:
                raise StoreError(f"etcd ended the watch: {answer.cancel_reason}")
            events += map(event, answer.events)
            if answer.fragment:
                continue
            if not events and not answer.created:
                self._cursor = max(self._cursor, from_etcd(answer.header.revision))  # a notice of progress
            return events

    async def _until_ended(self, reading: Coroutine[Any, Any, list[Event]]) -> list[Event]:
        """The result, or nothing if `end` is called meanwhile."""
        task = asyncio.create_task(reading)
        self._reading = task
        try:
            return await task
        except asyncio.CancelledError:
            if self._ended and not _being_cancelled():
                return []
            raise
        except grpc.aio.AioRpcError:
            if self._ended:
                return []
            raise
        finally:
            self._reading = None

    async def _open(self) -> None:
        await self._check_readable()
        first, end = key_range(self._prefix)
        self._stream = self._etcd.open_watch()
        await self._stream.write(rpc.WatchRequest(create_request=rpc.WatchCreateRequest(
            key=first, range_end=end, start_revision=to_etcd(self._cursor) + 1, prev_kv=True, fragment=True,
            progress_notify=True,
        )))

    async def _check_readable(self) -> None:
        try:
            await self._etcd.read(rpc.RangeRequest(key=b"\0", count_only=True, revision=to_etcd(self._cursor)))
        except RevisionCompacted:
            raise Compacted(await oldest(self._etcd)) from None
        except RevisionInFuture:
            return


async def oldest(etcd: Connection) -> int:
    """The oldest revision that is still readable: what etcd answers to a watch from the beginning."""
    stream = etcd.open_watch()
    try:
        first, end = key_range("")
        everything = rpc.WatchCreateRequest(key=first, range_end=end, start_revision=1, fragment=True)
        await stream.write(rpc.WatchRequest(create_request=everything))
        while True:
            answer = await stream.read()
            if answer is grpc.aio.EOF:
                return 0
            if answer.compact_revision:
                return from_etcd(answer.compact_revision)
            if not answer.created or to_etcd(0) == answer.header.revision:
                return 0
    finally:
        stream.cancel()


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
