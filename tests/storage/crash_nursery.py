"""Kill a writer again and again, and look at what it leaves; a program of its own, run by test_crash.py.

It forks a child that writes to a sqlite store as fast as it can and reports every acknowledged write through a pipe,
SIGKILLs it at a random instant, opens the store and checks it, some hundreds of times on the same file. Prints one
JSON line with what was seen. Usage: crash_nursery.py DIRECTORY KILLS SEED
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import signal
import sys
import time
import traceback
import zlib
from pathlib import Path

from sampan.storage.sqlite import SqliteStore
from sampan.storage.store import Event, EventKind, StoreError

KEYS = [f"/key/{n}" for n in range(40)]


def value_for(key: str, rng: random.Random) -> bytes:
    """Bytes that carry their own checksum and often span pages."""
    body = rng.randbytes(rng.choice((0, 10, 500, 5_000, 30_000)))
    return zlib.crc32(key.encode() + body).to_bytes(4, "big") + body


def is_whole(key: str, value: bytes) -> bool:
    return zlib.crc32(key.encode() + value[4:]).to_bytes(4, "big") == value[:4]


async def write_for_ever(path: Path, pipe: int, seed: int) -> None:
    rng = random.Random(seed)
    store = await SqliteStore.open(path)

    async def writer() -> None:
        while True:
            key = rng.choice(KEYS)
            current = await store.get(key)
            value = value_for(key, rng)
            try:
                if current is None:
                    revision = await store.create(key, value)
                elif rng.random() < 0.2:
                    revision = await store.delete(key, expected=current.mod_revision)
                    value = b""
                else:
                    revision = await store.update(key, value, expected=current.mod_revision)
            except StoreError:
                continue
            os.write(pipe, f"{revision} {key} {zlib.crc32(value)}\n".encode())

    async def compactor() -> None:
        while True:
            await asyncio.sleep(rng.random() * 0.02)
            newest = await store.revision()
            await store.compact(max(0, newest - rng.randrange(200)))

    await asyncio.gather(compactor(), *(writer() for _ in range(rng.choice((1, 4, 16)))))


def run_and_kill(path: Path, rng: random.Random) -> list[tuple[int, str, int]]:
    """The acknowledged writes of one child that lived for a random while."""
    reading, writing = os.pipe()
    seed = rng.randrange(1 << 30)
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            asyncio.run(write_for_ever(path, writing, seed))
        except BaseException:
            traceback.print_exc()
        os._exit(70)
    os.close(writing)
    lifetime_s = rng.choice((0.004, 0.02, 0.05)) * rng.random() + 0.001
    if rng.random() < 0.5:  # half of them live that long from their first write on, however slow the machine is
        select.select([reading], [], [], 30)
    deadline = time.monotonic() + lifetime_s
    received = b""
    while (left := deadline - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            received += os.read(reading, 1 << 16)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"the child ended by itself: {status}"
    while more := os.read(reading, 1 << 16):
        received += more
    os.close(reading)
    whole = received.decode().split("\n")[:-1]
    return [(int(r), key, int(crc)) for r, key, crc in (line.split() for line in whole)]


async def history_of(store: SqliteStore) -> tuple[int, list[Event]]:
    """The oldest readable revision, and every event after it."""
    newest = await store.revision()
    oldest = store._oldest
    events: list[Event] = []
    if newest > oldest:
        async with store.watch("", after=oldest) as watch:
            async for batch in watch:
                events += batch
                if events[-1].kv.mod_revision >= newest:
                    break
    return oldest, events


async def check(path: Path, acknowledged: list[tuple[int, str, int]]) -> int:
    """Assert that nothing is lost or torn; the newest revision."""
    store = await SqliteStore.open(path)
    try:
        newest = await store.revision()
        oldest, events = await history_of(store)
        assert [e.kv.mod_revision for e in events] == list(range(oldest + 1, newest + 1)), "revisions are contiguous"
        assert newest >= max((r for r, _, _ in acknowledged), default=0), "an acknowledged write is lost"
        by_revision = {event.kv.mod_revision: event for event in events}
        for revision, key, crc in acknowledged:
            if revision <= oldest:
                continue
            event = by_revision[revision]
            assert event.kv.key == key
            assert zlib.crc32(b"" if event.kind is EventKind.DELETE else event.kv.value) == crc
        state = {kv.key: kv for kv in (await store.list("", revision=oldest)).items} if oldest else {}
        for event in events:
            assert is_whole(event.kv.key, event.kv.value), "a value is torn"
            assert event.previous == state.get(event.kv.key)
            if event.kind is EventKind.PUT:
                state[event.kv.key] = event.kv
            else:
                del state[event.kv.key]
        assert state == {kv.key: kv for kv in (await store.list("")).items}, "index and history disagree"
        return newest
    finally:
        await store.close()


def main(directory: str, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    path = Path(directory) / "crash.db"
    acknowledged = revision = with_writes = 0
    for _ in range(kills):
        writes = run_and_kill(path, rng)
        revision = asyncio.run(check(path, writes))
        acknowledged += len(writes)
        with_writes += bool(writes)
    print(json.dumps({
        "kills": kills, "acknowledged": acknowledged, "revision": revision, "kills_while_writing": with_writes,
    }))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
