"""The store on etcd, for control planes of more than one API server.

Compare-and-swap is an etcd transaction on the key's mod_revision; revisions, history and compaction are etcd's own.
etcd should be this cluster's alone: other writers' revisions would leave gaps that no watch fills.

An answer to a write can get lost. The same transaction is then sent again, which is safe because it names the revision
it expects: it is applied once at most. When the repetition finds the key changed to exactly what was to be written, the
first attempt had succeeded. If etcd stays away, `StoreUnavailable` says so; such a write may still have happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aetcd import rpc

from sampan.storage import snapshot
from sampan.storage.etcd.config import EtcdConfig
from sampan.storage.etcd.connection import Connection, RevisionCompacted, RevisionInFuture
from sampan.storage.etcd.convert import from_etcd, key_range, key_value, to_etcd
from sampan.storage.etcd.watch import EtcdWatch, oldest
from sampan.storage.snapshot import Header, Version
from sampan.storage.store import (
    Compacted,
    EventKind,
    FutureRevision,
    KeyExists,
    KeyNotFound,
    KeyValue,
    Listing,
    RevisionMismatch,
    StoreUnavailable,
)

PAGE = 5_000
"""Keys in one message of a long list."""


class EtcdStore:
    """See `sampan.storage.store.Store`."""

    def __init__(self, connection: Connection) -> None:
        self._etcd = connection
        self._watches: set[EtcdWatch] = set()
        self._closed = False

    @classmethod
    async def open(cls, config: EtcdConfig) -> EtcdStore:
        """Connect, and wait until etcd answers. Raises StoreUnavailable."""
        store = cls(Connection(config))
        try:
            await store.revision()
        except BaseException:
            await store.close()
            raise
        return store

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        answer = await self._range(rpc.RangeRequest(key=key.encode(), revision=_asked(revision)))
        return key_value(answer.kvs[0]) if answer.kvs else None

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 0, revision: int = 0) -> Listing:
        first, end = key_range(prefix, start_after)
        if prefix and first >= end:
            return Listing([], revision or await self.revision(), 0)
        items: list[KeyValue] = []
        at = _asked(revision)
        while True:
            size = min(PAGE, limit - len(items)) if limit else PAGE
            answer = await self._range(rpc.RangeRequest(key=first, range_end=end, limit=size, revision=at))
            items += map(key_value, answer.kvs)
            at = at or answer.header.revision
            if not answer.more or (limit and len(items) >= limit):
                return Listing(items, from_etcd(at), answer.count - len(answer.kvs))
            first = answer.kvs[-1].key + b"\0"

    async def create(self, key: str, value: bytes) -> int:
        return await self._write(key, 0, _put(key, value), value)

    async def update(self, key: str, value: bytes, *, expected: int) -> int:
        return await self._write(key, to_etcd(expected), _put(key, value), value)

    async def delete(self, key: str, *, expected: int) -> int:
        removal = rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key.encode()))
        return await self._write(key, to_etcd(expected), removal, None)

    def watch(self, prefix: str, *, after: int) -> EtcdWatch:
        return EtcdWatch(self._etcd, self._watches, prefix, after, ended=self._closed)

    async def revision(self) -> int:
        answer = await self._etcd.read(rpc.RangeRequest(key=b"\0", count_only=True))
        return from_etcd(answer.header.revision)

    async def compact(self, revision: int) -> None:
        request = rpc.CompactionRequest(revision=to_etcd(revision))
        try:
            await self._etcd.repeat("Compact", request)
        except RevisionCompacted:
            return
        except RevisionInFuture:
            raise FutureRevision(await self.revision()) from None

    async def snapshot(self) -> AsyncIterator[bytes]:
        """In the form that every backend restores, history included."""
        newest, beginning = await self.revision(), await oldest(self._etcd)
        base = await self.list("", revision=beginning) if beginning else Listing([], 0, 0)
        versions = [Version(kv, False) for kv in base.items]
        cursor = beginning
        async with self.watch("", after=beginning) as changes:
            while cursor < newest:
                for event in await anext(aiter(changes)):
                    cursor = event.kv.mod_revision
                    if cursor <= newest:
                        versions.append(Version(event.kv, event.kind is EventKind.DELETE))
        versions.sort(key=lambda version: version.kv.mod_revision)
        for chunk in snapshot.encode(Header(newest, beginning), versions):
            yield chunk

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for watch in list(self._watches):
            watch.end()
        await self._etcd.close()

    async def failed(self) -> str:
        """Never: an etcd that is away may come back, and every call says for itself that it is away."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def _range(self, request: rpc.RangeRequest) -> rpc.RangeResponse:
        try:
            return await self._etcd.read(request)
        except RevisionCompacted:
            raise Compacted(await oldest(self._etcd)) from None
        except RevisionInFuture:
            raise FutureRevision(await self.revision()) from None

    async def _write(self, key: str, expected: int, change: rpc.RequestOp, value: bytes | None) -> int:
        """Compare the key's mod_revision (0: absent), change it, and say at which revision."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        transaction = rpc.TxnRequest(
            compare=[rpc.Compare(key=key.encode(), target=rpc.Compare.MOD, result=rpc.Compare.EQUAL,
                                 mod_revision=expected)],
            success=[change], failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=key.encode()))],
        )
        answer, lost = await self._etcd.repeat("Txn", transaction)
        if answer.succeeded:
            return from_etcd(answer.header.revision)
        found = answer.responses[0].response_range.kvs
        current = key_value(found[0]) if found else None
        if lost and (own := await self._own(key, from_etcd(expected), current, value)):
            return own
        raise _refusal(key, expected, current)

    async def _own(self, key: str, expected: int, current: KeyValue | None, value: bytes | None) -> int:
        """After a lost answer: the revision at which the key became what was to be written, 0 if it did not."""
        if value is not None:
            return current.mod_revision if current is not None and current.value == value else 0
        if current is not None:
            return 0
        async with self.watch(key, after=expected) as changes:
            async for batch in changes:
                for event in batch:
                    if event.kv.key == key:
                        return event.kv.mod_revision if event.kind is EventKind.DELETE else 0
        return 0


def _asked(revision: int) -> int:
    """The revision to read at, as etcd counts; 0, the newest, stays 0."""
    return to_etcd(revision) if revision else 0


def _put(key: str, value: bytes) -> rpc.RequestOp:
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key.encode(), value=value))


def _refusal(key: str, expected: int, current: KeyValue | None) -> KeyExists | KeyNotFound | RevisionMismatch:
    if current is None:
        return KeyNotFound(key)
    return RevisionMismatch(current) if expected else KeyExists(key)
