"""What is particular to the sqlite store: its settings, its lock, and what it does when the disk is full."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest

from sampan.storage.database import Database, Range, prefix_end
from sampan.storage.sqlite import RECENT_EVENTS, SqliteStore
from sampan.storage.store import KeyValue, StoreUnavailable
from sampan.testing.check_store import raises, watched


async def test_commits_wait_for_the_disk(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    connection = store._writer._connection
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await store.close()


async def test_the_file_is_private(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    await store.create("/a", b"secret")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    await store.close()


async def test_a_second_opener_is_kept_out(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    error = await raises(StoreUnavailable, SqliteStore.open(tmp_path / "s.db"))
    assert "in use by another process" in str(error)
    await store.close()
    await (await SqliteStore.open(tmp_path / "s.db")).close()


async def test_a_file_that_is_not_a_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"not a database" * 1000)
    await raises(StoreUnavailable, SqliteStore.open(path))
    assert path.read_bytes() == b"not a database" * 1000


async def test_writes_that_wait_share_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    commits = 0
    commit = Database.commit

    def counted(database: Database) -> None:
        nonlocal commits
        commits += 1
        commit(database)

    monkeypatch.setattr(Database, "commit", counted)
    await asyncio.gather(*(store.create(f"/{n}", b"x") for n in range(500)))
    assert commits <= 2
    await asyncio.gather(*(store.create(f"/few/{n}", b"x") for n in range(20)))
    assert commits <= 3, "and so do few, which a quick disk commits in place"
    await store.close()


async def test_the_log_is_brought_into_the_file_before_it_grows(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    for n in range(60):
        await store.create(f"/{n}", b"x" * 400_000)
    assert (tmp_path / "s.db-wal").stat().st_size < 12 << 20 < (tmp_path / "s.db").stat().st_size
    await store.close()


async def test_a_full_disk_refuses_writes_without_a_trace_and_recovers(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    await store.create("/before", b"x")
    connection = store._writer._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 5}")
    outcomes = await asyncio.gather(*(store.create(f"/{n}", b"x" * 20_000) for n in range(5)), return_exceptions=True)
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    assert await store.revision() == 1
    assert [kv.key for kv in (await store.list("")).items] == ["/before"]
    connection.execute("PRAGMA max_page_count = 1000000")
    assert await store.create("/0", b"after") == 2
    assert [event.kv.key for event in await watched(store, "", 0, 2)] == ["/before", "/0"]
    await store.close()


async def test_a_caller_that_goes_away_does_not_take_its_write_back(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    task = asyncio.create_task(store.create("/a", b"x"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert len(await watched(store, "/", 0, 1)) == 1
    assert await store.get("/a") == KeyValue("/a", b"x", 1, 1)
    await store.close()


async def test_memory_keeps_only_recent_events(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    await asyncio.gather(*(store.create(f"/{n}", b"x") for n in range(5 * RECENT_EVENTS)))
    await store.create("/one more", b"x")
    assert len(store._feed._events) <= 2 * RECENT_EVENTS
    assert len(await watched(store, "/", 0, 5 * RECENT_EVENTS)) >= 5 * RECENT_EVENTS
    await store.close()


async def test_compaction_frees_what_nobody_can_read(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    revision = await store.create("/a", b"0")
    for n in range(300):
        revision = await store.update("/a", b"%d" % n, expected=revision)
    revision = await store.delete("/a", expected=revision)
    revision = await store.create("/b", b"x")
    await store.compact(revision)
    (rows,) = store._writer._connection.execute("SELECT count(*) FROM history").fetchone()
    assert rows == 1
    await store.close()


@pytest.mark.parametrize(
    ("prefix", "end"),
    [("", None), ("/a", "/b"), ("a\U0010ffff", "b"), ("\U0010ffff", None), ("\ud7ff", "\ue000"), ("~", "\x7f")],
)
def test_the_end_of_a_prefix_is_the_least_key_after_it(prefix: str, end: str | None) -> None:
    assert prefix_end(prefix) == end
    assert ("high" in Range(prefix).parameters) == (end is not None)


async def test_a_commit_of_which_nobody_knows_whether_it_happened_ends_all_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await SqliteStore.open(tmp_path / "s.db")
    commit = store._writer.commit

    def torn() -> None:
        commit()
        raise StoreUnavailable("disk I/O error")

    monkeypatch.setattr(store._writer, "commit", torn)
    failed = asyncio.create_task(store.failed())
    await raises(StoreUnavailable, store.create("/a", b"1"))
    monkeypatch.undo()
    assert "must be opened again" in await asyncio.wait_for(failed, 60)
    assert "must be opened again" in str(await raises(StoreUnavailable, store.create("/b", b"1")))
    await store.close()
    again = await SqliteStore.open(tmp_path / "s.db")
    assert (await again.get("/a")) is not None and (await again.get("/b")) is None
    await again.close()


async def test_a_store_of_the_first_format_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = await SqliteStore.open(path)
    revision = await store.create("/a", b"1")
    await store.update("/a", b"2", expected=revision)
    await store.close()
    connection = sqlite3.connect(path)
    connection.executescript("""
        CREATE TABLE current (key TEXT PRIMARY KEY, created INTEGER NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID;
        INSERT INTO current VALUES ('/a', 1, 2);
        UPDATE meta SET value = 1 WHERE name = 'format';
    """)
    connection.close()
    store = await SqliteStore.open(path)
    found = await store.get("/a")
    assert found is not None and (found.value, found.create_revision) == (b"2", 1)
    assert store._writer._connection.execute("SELECT name FROM sqlite_master WHERE name = 'current'").fetchall() == []
    await store.close()
    await (await SqliteStore.open(path)).close()
