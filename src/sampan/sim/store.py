"""The store of a simulated cluster: in memory, survives the API server, can have trouble, and shows every commit.

What listens is called synchronously at each commit, with the change and its cause, before anyone else can know of it.
While faults are active reads and writes take time, find conflicts that nobody made, or fail and leave no trace. A
fingerprint of everything that was ever written grows with each commit.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol, TypeAlias

from sampan.effects.seeded import Generator, generator
from sampan.sim.cause import CAUSE, Cause
from sampan.storage.memory import MemoryStore
from sampan.storage.store import Event, KeyValue, Listing, RevisionMismatch, StoreUnavailable, Watch

OnCommit: TypeAlias = Callable[[Event, Cause], None]


class Trouble(Protocol):
    """What an active fault does to the store."""

    def store_latency_s(self, rng: Generator) -> float: ...
    def finds_conflict(self, rng: Generator) -> bool: ...
    def is_down(self) -> bool: ...


HOLD_S: Final = 0.1


class StoreView:
    """The store as one API server sees it: all is the store's, but what it watches comes late while it is `held`."""

    def __init__(self, store: SimStore) -> None:
        self.held = 0
        self._store = store
        self.get, self.list, self.create, self.update = store.get, store.list, store.create, store.update
        self.delete, self.revision, self.compact = store.delete, store.revision, store.compact
        self.snapshot, self.close = store.snapshot, store.close

    def watch(self, prefix: str, *, after: int) -> Watch:
        return _LateWatch(self, self._store.watch(prefix, after=after))


class _LateWatch:
    def __init__(self, view: StoreView, inner: Watch) -> None:
        self._view = view
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[list[Event]]:
        async for batch in self._inner:
            while self._view.held:  # noqa: ASYNC110  # several holds may overlap
                await asyncio.sleep(HOLD_S)
            yield batch

    async def __aenter__(self) -> _LateWatch:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._inner.__aexit__(*exc)


class SimStore(MemoryStore):
    """See `sampan.storage.store.Store`."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.listeners: list[OnCommit] = []
        self.troubles: list[Trouble] = []
        self.writes = 0
        self._rng = generator(seed, "store")
        self._fingerprint = hashlib.sha256()

    def fingerprint(self) -> str:
        """Of the whole history: every key, value and revision."""
        return self._fingerprint.hexdigest()

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        if self.troubles:
            await self._suffer()
        return await super().get(key, revision=revision)

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 0, revision: int = 0) -> Listing:
        if self.troubles:
            await self._suffer()
        return await super().list(prefix, start_after=start_after, limit=limit, revision=revision)

    async def create(self, key: str, value: bytes) -> int:
        if self.troubles:
            await self._suffer()
        return await super().create(key, value)

    async def update(self, key: str, value: bytes, *, expected: int) -> int:
        if self.troubles:
            await self._suffer()
            await self._conflict(key)
        return await super().update(key, value, expected=expected)

    async def delete(self, key: str, *, expected: int) -> int:
        if self.troubles:
            await self._suffer()
            await self._conflict(key)
        return await super().delete(key, expected=expected)

    async def _suffer(self) -> None:
        """Wait as long as the store takes now. Raises StoreUnavailable."""
        latency_s = sum(trouble.store_latency_s(self._rng) for trouble in self.troubles)
        if latency_s > 0:
            await asyncio.sleep(latency_s)
        if any(trouble.is_down() for trouble in self.troubles):
            raise StoreUnavailable("the disk does not answer")

    async def _conflict(self, key: str) -> None:
        if any(trouble.finds_conflict(self._rng) for trouble in self.troubles):
            current = await super().get(key)
            if current is not None:
                raise RevisionMismatch(current)

    def _commit(self, event: Event) -> None:
        super()._commit(event)
        kv = event.kv
        self.writes += 1
        self._fingerprint.update(f"{kv.mod_revision} {event.kind.value} {kv.key} {len(kv.value)}\n".encode())
        self._fingerprint.update(kv.value)
        cause = CAUSE.get()
        for listener in self.listeners:
            listener(event, cause)
