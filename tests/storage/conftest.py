"""The backends that the suites run on."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterable, Callable
from pathlib import Path

import pytest

from sampan.storage.memory import MemoryStore
from sampan.storage.pace import Pace
from sampan.storage.sqlite import SqliteStore
from sampan.storage.store import Store
from sampan.testing.check_store import Backend

from .etcd_server import OwningEtcdStore, members


def memory_backend(directory: Path) -> Backend:
    async def open_fresh() -> Store:
        return MemoryStore()

    return Backend("memory", open_fresh, restore=MemoryStore.restore)


class SlowDisk(Pace):
    """Every commit goes to the thread."""

    def in_place(self, writes: int) -> bool:
        return False


def slow_sqlite_backend(directory: Path) -> Backend:
    return sqlite_backend(directory, SlowDisk)


def sqlite_backend(directory: Path, pace: Callable[[], Pace] = Pace) -> Backend:
    count = itertools.count()
    paths: dict[int, Path] = {}

    async def opened(path: Path) -> Store:
        store = await SqliteStore.open(path)
        store._pace = pace()
        paths[id(store)] = path
        return store

    async def open_fresh() -> Store:
        return await opened(directory / f"{next(count)}.db")

    async def reopen(store: Store) -> Store:
        path = paths[id(store)]
        await store.close()
        return await opened(path)

    async def restore(stream: AsyncIterable[bytes]) -> Store:
        path = directory / f"{next(count)}.db"
        store = await SqliteStore.restore(path, stream)
        paths[id(store)] = path
        return store

    return Backend("sqlite", open_fresh, reopen, restore)


def etcd_backend(directory: Path) -> Backend:
    count = itertools.count()

    async def open_fresh() -> Store:
        home = directory / f"{next(count)}"
        home.mkdir()
        return await OwningEtcdStore.on(members(home))

    async def reopen(store: Store) -> Store:
        if not isinstance(store, OwningEtcdStore):
            return store  # a copy in memory
        await store.disconnect()
        return await OwningEtcdStore.on(store.owned)

    return Backend("etcd", open_fresh, reopen, MemoryStore.restore)


@pytest.fixture(
    params=[memory_backend, sqlite_backend, slow_sqlite_backend, etcd_backend], ids=["memory", "sqlite", "slow", "etcd"]
)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    make: Callable[[Path], Backend] = request.param
    return make(tmp_path)
