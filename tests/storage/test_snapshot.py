"""Snapshots: the same stream from every backend, and nothing from a damaged one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sampan.storage.memory import MemoryStore
from sampan.storage.snapshot import SnapshotDamaged
from sampan.storage.sqlite import SqliteStore
from sampan.storage.store import Store
from sampan.testing.check_store import watched


async def chunks(data: bytes, size: int = 7) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def whole(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def filled(store: Store) -> Store:
    await store.create("/a", b"1")
    await store.create("/b", b"2")
    await store.update("/a", b"3", expected=1)
    await store.delete("/b", expected=2)
    await store.compact(2)
    return store


async def test_a_cluster_is_forked_into_memory_and_back(tmp_path: Path) -> None:
    original = await filled(await SqliteStore.open(tmp_path / "one.db"))
    fork = await MemoryStore.restore(original.snapshot())
    back = await SqliteStore.restore(tmp_path / "two.db", fork.snapshot())
    assert await whole(original.snapshot()) == await whole(fork.snapshot()) == await whole(back.snapshot())
    assert await watched(back, "", 2, 2) == await watched(original, "", 2, 2)
    await fork.update("/a", b"tried on the copy", expected=3)
    assert (await original.list("")) == (await back.list(""))
    for store in (original, fork, back):
        await store.close()


@pytest.mark.parametrize("damage", ["cut", "flipped", "not a snapshot"])
async def test_a_damaged_stream_restores_nothing(tmp_path: Path, damage: str) -> None:
    data = bytearray(await whole((await filled(MemoryStore())).snapshot()))
    match damage:
        case "cut":
            del data[-40:]
        case "flipped":
            data[60] ^= 1
        case "not a snapshot":
            data[:4] = b"nope"
    with pytest.raises(SnapshotDamaged):
        await MemoryStore.restore(chunks(bytes(data)))
    with pytest.raises(SnapshotDamaged):
        await SqliteStore.restore(tmp_path / "s.db", chunks(bytes(data)))
    assert list(tmp_path.iterdir()) == []


async def test_a_snapshot_is_not_restored_over_a_store(tmp_path: Path) -> None:
    store = await filled(await SqliteStore.open(tmp_path / "s.db"))
    from sampan.storage.store import StoreUnavailable

    with pytest.raises(StoreUnavailable, match="exists"):
        await SqliteStore.restore(tmp_path / "s.db", store.snapshot())
    await store.close()
