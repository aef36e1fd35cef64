"""The conformance suite of `sampan.storage.store.Store`: what every backend must do, one function a behaviour.

A backend is described by `Backend`; `CHECKS` lists the functions, each a coroutine that gets a backend, opens a fresh
store and asserts. With pytest:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_my_store(check): await check(Backend("mine", open_fresh))

`sampan.testing.store_model` adds random walks that are compared with a model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from sampan.storage.store import (
    Compacted,
    Event,
    EventKind,
    FutureRevision,
    KeyExists,
    KeyNotFound,
    KeyValue,
    RevisionMismatch,
    Store,
    StoreError,
)

DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class Backend:
    """`open_fresh()` gives an empty store; `reopen(store)` closes it and opens its data again, where they outlive that.

    `restore(stream)` gives a store from the byte stream of `snapshot()`.
    """

    name: str
    open_fresh: Callable[[], Awaitable[Store]]
    reopen: Callable[[Store], Awaitable[Store]] | None = None
    restore: Callable[[AsyncIterable[bytes]], Awaitable[Store]] | None = None


Check: TypeAlias = Callable[[Backend], Awaitable[None]]


@asynccontextmanager
async def fresh(backend: Backend) -> AsyncIterator[Store]:
    store = await backend.open_fresh()
    try:
        yield store
    finally:
        await store.close()


async def raises(expected: type[StoreError], attempt: Awaitable[object]) -> StoreError:
    """The error that the attempt raised; it must be of the expected type."""
    try:
        result = await attempt
    except expected as error:
        return error
    raise AssertionError(f"expected {expected.__name__}, got the result {result!r}")


async def watched(store: Store, prefix: str, after: int, count: int) -> list[Event]:
    """The first `count` events of a watch."""
    events: list[Event] = []
    async with asyncio.timeout(DEADLINE_S), store.watch(prefix, after=after) as watch:
        async for batch in watch:
            assert batch, "a batch is never empty"
            events += batch
            if len(events) >= count:
                break
    return events


async def an_empty_store_is_at_revision_zero(backend: Backend) -> None:
    async with fresh(backend) as store:
        assert await store.revision() == 0
        listing = await store.list("")
        assert (listing.items, listing.revision, listing.remaining) == ([], 0, 0)
        assert await store.get("/a") is None


async def every_write_takes_the_next_revision(backend: Backend) -> None:
    async with fresh(backend) as store:
        assert await store.create("/a", b"1") == 1
        assert await store.create("/b", b"2") == 2
        assert await store.update("/a", b"3", expected=1) == 3
        assert await store.delete("/b", expected=2) == 4
        assert await store.create("/b", b"") == 5
        assert await store.revision() == 5
        assert await store.get("/a") == KeyValue("/a", b"3", 1, 3)
        assert await store.get("/b") == KeyValue("/b", b"", 5, 5)


async def refused_writes_leave_no_trace(backend: Backend) -> None:
    async with fresh(backend) as store:
        await store.create("/a", b"1")
        await raises(KeyExists, store.create("/a", b"x"))
        await raises(KeyNotFound, store.update("/b", b"x", expected=1))
        await raises(KeyNotFound, store.delete("/b", expected=1))
        for attempt in (store.update("/a", b"x", expected=7), store.delete("/a", expected=7)):
            error = await raises(RevisionMismatch, attempt)
            assert isinstance(error, RevisionMismatch)
            assert error.current == KeyValue("/a", b"1", 1, 1)
        assert await store.revision() == 1
        assert await store.get("/a") == KeyValue("/a", b"1", 1, 1)


async def of_concurrent_writers_exactly_one_wins(backend: Backend) -> None:
    async with fresh(backend) as store:
        await store.create("/a", b"0")
        outcomes = await asyncio.gather(
            *(store.update("/a", str(n).encode(), expected=1) for n in range(20)), return_exceptions=True
        )
        won = [n for n, outcome in enumerate(outcomes) if outcome == 2]
        assert len(won) == 1
        lost = [outcome for outcome in outcomes if isinstance(outcome, RevisionMismatch)]
        assert len(lost) == 19
        present = KeyValue("/a", str(won[0]).encode(), 1, 2)
        assert all(error.current == present for error in lost), "a refusal shows the state that is durable"
        assert await store.get("/a") == present
        created = await asyncio.gather(*(store.create("/b", b"") for _ in range(20)), return_exceptions=True)
        assert sorted(type(c).__name__ for c in created) == ["KeyExists"] * 19 + ["int"]


async def optimistic_increments_lose_nothing(backend: Backend) -> None:
    async with fresh(backend) as store:
        await store.create("/n", b"0")

        async def increment() -> None:
            while True:
                current = await store.get("/n")
                assert current is not None
                try:
                    value = str(int(current.value) + 1).encode()
                    await store.update("/n", value, expected=current.mod_revision)
                except RevisionMismatch:
                    continue
                return

        await asyncio.gather(*(increment() for _ in range(30)))
        assert await store.get("/n") == KeyValue("/n", b"30", 1, 31)


async def a_returned_write_is_seen_by_the_next_read(backend: Backend) -> None:
    async with fresh(backend) as store:

        async def write_and_read(n: int) -> None:
            revision = await store.create(f"/{n}", b"x")
            assert await store.get(f"/{n}") == KeyValue(f"/{n}", b"x", revision, revision)
            assert await store.revision() >= revision
            listing = await store.list(f"/{n}")
            assert KeyValue(f"/{n}", b"x", revision, revision) in listing.items
            assert listing.revision >= revision

        await asyncio.gather(*(write_and_read(n) for n in range(50)))


async def lists_are_ordered_by_key_and_page(backend: Backend) -> None:
    async with fresh(backend) as store:
        names = ["b/1", "a/2", "a/10", "a/1", "a0", "a", "ä/1", "a/é"]
        for name in names:
            await store.create(f"/{name}", name.encode())
        inside = sorted(f"/{name}" for name in names if name.startswith("a/"))
        listing = await store.list("/a/")
        assert [kv.key for kv in listing.items] == inside
        assert (listing.revision, listing.remaining) == (len(names), 0)
        pages, after = [], ""
        while True:
            page = await store.list("/a/", start_after=after, limit=1, revision=listing.revision)
            pages += [kv.key for kv in page.items]
            assert page.remaining == len(inside) - len(pages)
            if not page.remaining:
                break
            after = page.items[-1].key
        assert pages == inside
        assert [kv.key for kv in (await store.list("")).items] == sorted(f"/{name}" for name in names)
        assert (await store.list("/a/", start_after="/b")).items == []
        assert [kv.key for kv in (await store.list("/a/", start_after="/")).items] == inside
        assert (await store.list("/nothing/", limit=5)).items == []


async def values_are_opaque_bytes(backend: Backend) -> None:
    async with fresh(backend) as store:
        values = {"/zeros": b"\0" * 10, "/all": bytes(range(256)), "/empty": b"", "/large": b"x" * 1_500_000}
        for key, value in values.items():
            await store.create(key, value)
        assert {kv.key: kv.value for kv in (await store.list("/")).items} == values


async def reads_of_the_past_see_the_past(backend: Backend) -> None:
    async with fresh(backend) as store:
        await store.create("/a", b"1")
        await store.create("/b", b"2")
        await store.update("/a", b"3", expected=1)
        await store.delete("/b", expected=2)
        await store.create("/b", b"5")
        seen = [
            {kv.key: (kv.value, kv.create_revision, kv.mod_revision)
             for kv in (await store.list("/", revision=revision)).items}
            for revision in range(1, 6)
        ]
        assert seen == [
            {"/a": (b"1", 1, 1)},
            {"/a": (b"1", 1, 1), "/b": (b"2", 2, 2)},
            {"/a": (b"3", 1, 3), "/b": (b"2", 2, 2)},
            {"/a": (b"3", 1, 3)},
            {"/a": (b"3", 1, 3), "/b": (b"5", 5, 5)},
        ]
        assert await store.get("/b", revision=4) is None
        assert await store.get("/b", revision=3) == KeyValue("/b", b"2", 2, 2)
        page = await store.list("/", revision=2, limit=1)
        assert (len(page.items), page.remaining, page.revision) == (1, 1, 2)


async def the_future_cannot_be_read(backend: Backend) -> None:
    async with fresh(backend) as store:
        await store.create("/a", b"1")
        for attempt in (store.get("/a", revision=2), store.list("/", revision=2), store.compact(2)):
            error = await raises(FutureRevision, attempt)
            assert isinstance(error, FutureRevision)
            assert error.current == 1


async def a_watch_tells_what_happened_and_what_was_before(backend: Backend) -> None:
    async with fresh(backend) as store:
        await store.create("/a/1", b"x")
        await store.create("/b/1", b"-")
        await store.update("/a/1", b"y", expected=1)
        await store.delete("/a/1", expected=3)
        await store.create("/a/1", b"z")
        first, second = KeyValue("/a/1", b"x", 1, 1), KeyValue("/a/1", b"y", 1, 3)
        expected = [
            Event(EventKind.PUT, first, None),
            Event(EventKind.PUT, second, first),
            Event(EventKind.DELETE, KeyValue("/a/1", b"y", 1, 4), second),
            Event(EventKind.PUT, KeyValue("/a/1", b"z", 5, 5), None),
        ]
        assert await watched(store, "/a/", 0, 4) == expected
        assert await watched(store, "/a/", 3, 2) == expected[2:]


async def watches_are_ordered_and_free_of_gaps_under_load(backend: Backend) -> None:
    """Watches that begin before, during and after concurrent writes, fast and slow, all see the same sequence."""
    async with fresh(backend) as store:
        writers, each = 8, 100
        total = writers * each

        async def write(n: int) -> None:
            for i in range(each):
                await store.create(f"/{'ab'[i % 2]}/{n}/{i:03}", b"x")

        async def late(delay_turns: int) -> list[Event]:
            for _ in range(delay_turns):
                await asyncio.sleep(0)
            return await watched(store, "/", 0, total)

        tasks = [asyncio.create_task(late(turns)) for turns in (0, 0, 5, 50, 500)]
        only_a = asyncio.create_task(watched(store, "/a/", 0, total // 2))
        await asyncio.gather(*(write(n) for n in range(writers)))
        tasks.append(asyncio.create_task(watched(store, "/", 0, total)))
        sequences = await asyncio.gather(*tasks)
        assert [event.kv.mod_revision for event in sequences[0]] == list(range(1, total + 1))
        assert all(sequence == sequences[0] for sequence in sequences)
        assert await only_a == [event for event in sequences[0] if event.kv.key.startswith("/a/")]


async def a_list_and_a_watch_from_it_miss_nothing(backend: Backend) -> None:
    """The reflector's pattern: list, then watch after the list's revision, while others write."""
    async with fresh(backend) as store:

        async def write() -> None:
            for i in range(200):
                await store.create(f"/{i:03}", b"x")

        writing = asyncio.create_task(write())
        copies: list[set[str]] = []
        for _ in range(5):
            await asyncio.sleep(0.001)
            listing = await store.list("/")
            keys = {kv.key for kv in listing.items}
            assert len(keys) == listing.revision, "a list holds exactly what its revision says"
            missing = 200 - len(keys)
            following = await watched(store, "/", listing.revision, missing) if missing else []
            copies.append(keys | {event.kv.key for event in following})
        await writing
        assert all(len(copy) == 200 for copy in copies)


async def a_watch_never_shows_what_is_not_committed(backend: Backend) -> None:
    async with fresh(backend) as store, asyncio.timeout(DEADLINE_S), store.watch("/", after=0) as watch:
        writing = asyncio.gather(*(store.create(f"/{n}", b"x") for n in range(50)))
        seen = 0
        async for batch in watch:
            for event in batch:
                assert await store.get(event.kv.key) == event.kv
                assert await store.revision() >= event.kv.mod_revision
            seen += len(batch)
            if seen == 50:
                break
        await writing


async def a_slow_watch_holds_nobody_up(backend: Backend) -> None:
    async with fresh(backend) as store, store.watch("/", after=0) as slow:
        iterator = aiter(slow)
        await store.create("/first", b"x")
        assert [event.kv.key for event in await anext(iterator)] == ["/first"]
        for n in range(1500):
            await store.create(f"/{n:04}", b"x")
        events: list[Event] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(events) < 1500:
                events += await anext(iterator)
        assert [event.kv.mod_revision for event in events] == list(range(2, 1502))


async def closing_ends_watches(backend: Backend) -> None:
    store = await backend.open_fresh()
    task = asyncio.create_task(watched(store, "/", 0, 1))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    assert await asyncio.wait_for(task, DEADLINE_S) == []


async def compaction_keeps_the_present_and_the_point_itself(backend: Backend) -> None:
    async with fresh(backend) as store:
        await store.create("/a", b"1")
        await store.create("/gone", b"2")
        await store.update("/a", b"3", expected=1)
        await store.delete("/gone", expected=2)
        await store.update("/a", b"5", expected=3)
        await store.compact(4)
        await store.compact(2)
        for attempt in (store.get("/a", revision=3), store.list("/", revision=3), watched(store, "/", 3, 1)):
            error = await raises(Compacted, attempt)
            assert isinstance(error, Compacted)
            assert error.oldest == 4
        assert (await store.list("/", revision=4)).items == [KeyValue("/a", b"3", 1, 3)]
        assert await store.get("/a") == KeyValue("/a", b"5", 1, 5)
        before, after = KeyValue("/a", b"3", 1, 3), KeyValue("/a", b"5", 1, 5)
        assert await watched(store, "/", 4, 1) == [Event(EventKind.PUT, after, before)]
        assert await store.create("/gone", b"6") == 6


async def compacting_the_newest_revision_does_not_turn_it_back(backend: Backend) -> None:
    async with fresh(backend) as store:
        await store.create("/a", b"1")
        await store.delete("/a", expected=1)
        await store.compact(2)
        assert await store.revision() == 2
        if backend.reopen:
            store = await backend.reopen(store)
            assert await store.revision() == 2
        assert await store.create("/a", b"3") == 3
        await store.compact(3)
        assert (await store.list("")).items == [KeyValue("/a", b"3", 3, 3)]
        await store.close()


async def a_sleeping_watch_survives_compaction(backend: Backend) -> None:
    """It had seen everything up to the compaction, so it has missed nothing."""
    async with fresh(backend) as store, asyncio.timeout(DEADLINE_S), store.watch("/mine/", after=0) as watch:
        await store.create("/mine/a", b"x")
        assert [event.kv.key for event in await anext(aiter(watch))] == ["/mine/a"]
        sleeping = asyncio.ensure_future(anext(aiter(watch)))
        await store.compact(await _elsewhere(store, 20))
        await store.create("/mine/b", b"x")
        assert [event.kv.key for event in await sleeping] == ["/mine/b"]


async def _elsewhere(store: Store, writes: int) -> int:
    """Writes that do not concern a watch of /mine/; the last one's revision."""
    revision = await store.create("/other/a", b"x")
    for n in range(writes):
        await asyncio.sleep(0)
        revision = await store.update("/other/a", str(n).encode(), expected=revision)
    return revision


async def a_snapshot_restores_everything(backend: Backend) -> None:
    if backend.restore is None:
        return
    async with fresh(backend) as store:
        for n in range(300):
            await store.create(f"/{n:03}", bytes([n % 256]) * n)
        for n in range(0, 300, 3):
            await store.update(f"/{n:03}", b"changed", expected=n + 1)
        for n in range(0, 300, 5):
            current = await store.get(f"/{n:03}")
            assert current is not None
            await store.delete(f"/{n:03}", expected=current.mod_revision)
        await store.compact(350)
        copy = await backend.restore(store.snapshot())
        try:
            newest = await store.revision()
            assert await copy.revision() == newest
            for revision in (0, 350, 400, newest):
                assert await copy.list("", revision=revision) == await store.list("", revision=revision)
            await raises(Compacted, copy.get("/001", revision=349))
            assert await watched(copy, "", 350, newest - 350) == await watched(store, "", 350, newest - 350)
            assert await copy.create("/new", b"x") == newest + 1
            assert await store.get("/new") is None
        finally:
            await copy.close()


async def a_snapshot_is_of_one_moment(backend: Backend) -> None:
    if backend.restore is None:
        return
    async with fresh(backend) as store:
        await store.create("/n", b"x" * 100_000)

        async def write() -> None:
            for n in range(50):
                await store.create(f"/{n:02}", b"x" * 50_000)

        writing = asyncio.create_task(write())
        await asyncio.sleep(0.002)
        copy = await backend.restore(store.snapshot())
        await writing
        revision = await copy.revision()
        assert (await copy.list("")) == (await store.list("", revision=revision))
        await copy.close()


async def data_outlive_a_close(backend: Backend) -> None:
    if backend.reopen is None:
        return
    store = await backend.open_fresh()
    await store.create("/a", b"1")
    await store.update("/a", b"2", expected=1)
    await store.create("/b", b"3")
    store = await backend.reopen(store)
    assert await store.revision() == 3
    assert await store.get("/a", revision=1) == KeyValue("/a", b"1", 1, 1)
    assert len(await watched(store, "/", 0, 3)) == 3
    await store.compact(2)
    store = await backend.reopen(store)
    await raises(Compacted, store.get("/a", revision=1))
    assert await store.delete("/b", expected=3) == 4
    await store.close()


CHECKS: tuple[Check, ...] = (
    an_empty_store_is_at_revision_zero,
    every_write_takes_the_next_revision,
    refused_writes_leave_no_trace,
    of_concurrent_writers_exactly_one_wins,
    optimistic_increments_lose_nothing,
    a_returned_write_is_seen_by_the_next_read,
    lists_are_ordered_by_key_and_page,
    values_are_opaque_bytes,
    reads_of_the_past_see_the_past,
    the_future_cannot_be_read,
    a_watch_tells_what_happened_and_what_was_before,
    watches_are_ordered_and_free_of_gaps_under_load,
    a_list_and_a_watch_from_it_miss_nothing,
    a_watch_never_shows_what_is_not_committed,
    a_slow_watch_holds_nobody_up,
    closing_ends_watches,
    compaction_keeps_the_present_and_the_point_itself,
    compacting_the_newest_revision_does_not_turn_it_back,
    a_sleeping_watch_survives_compaction,
    a_snapshot_restores_everything,
    a_snapshot_is_of_one_moment,
    data_outlive_a_close,
)
