"""The SQL below the sqlite store: its tables and every statement on them, all blocking, none deciding anything.

    history   every version of every key, by revision; `previous` is the revision that it superseded, 0 for a creation
    meta      format, the compaction point (`oldest`) and how far its sweep has come (`swept`)

Versions are never changed, only added and swept, so what a reader found stays true until it is compacted. The newest
version of a key says what it is now; a write is one row and its entry in the index of keys. WAL with synchronous=FULL:
a commit returns after its fsync, and readers see it only then.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeAlias, TypeVar

from sampan.storage.snapshot import Header, Version
from sampan.storage.store import Event, EventKind, KeyValue, Listing, StoreUnavailable

FORMAT = 2
SWEEP_STEP = 2000
_CACHE_KIB = 4096
_PAGE_BYTES = 4096
_PAGES_A_WRITE = 2
"""At least: a leaf of each tree."""
_WAL_BYTES = 16 << 20

P = ParamSpec("P")
R = TypeVar("R")
Events: TypeAlias = list[Event]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history (
    revision INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER NOT NULL, previous INTEGER NOT NULL,
    deleted INTEGER NOT NULL, value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS history_of_key ON history (key, revision);
INSERT OR IGNORE INTO meta VALUES ('format', 2), ('oldest', 0), ('swept', 0);
"""
_FROM_FORMAT_1 = """
BEGIN IMMEDIATE;
DROP TABLE current;
UPDATE meta SET value = 2 WHERE name = 'format';
COMMIT;
"""
"""It kept the present keys in a table of their own, which every write had to change as well."""


@dataclass(frozen=True, slots=True)
class Range:
    """Keys with a prefix, greater than `start_after`."""

    prefix: str
    start_after: str = ""

    def condition(self, column: str) -> str:
        operator = ">" if self.start_after and self.start_after >= self.prefix else ">="
        lower = f"{column} {operator} :low"
        return lower if prefix_end(self.prefix) is None else f"{lower} AND {column} < :high"

    @property
    def parameters(self) -> dict[str, str | int]:
        low = self.start_after if self.start_after >= self.prefix else self.prefix
        high = prefix_end(self.prefix)
        return {"low": low} if high is None else {"low": low, "high": high}


def prefix_end(prefix: str) -> str | None:
    """The least string greater than all that begin with `prefix`, None if there is none.

    sqlite compares UTF-8 bytes, whose order is that of the code points.
    """
    stripped = prefix.rstrip("\U0010ffff")
    if not stripped:
        return None
    following = ord(stripped[-1]) + 1
    return stripped[:-1] + chr(0xE000 if following == 0xD800 else following)


def _translated(method: Callable[P, R]) -> Callable[P, R]:
    """sqlite's errors as the store's."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error

    return call


class Database:
    """One connection. It may move between threads but is used by one at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Database:
        """Connect; with `create`, make file (0600) and tables where they are missing. Raises StoreUnavailable."""
        if create:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            if create:
                connection.executescript(_SCHEMA)
            found = _format(connection)
            if create and found == 1:
                connection.executescript(_FROM_FORMAT_1)
                found = _format(connection)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{path}: {error}") from error
        if found != FORMAT:
            raise StoreUnavailable(f"{path}: format {found}; this program reads format {FORMAT}")
        return cls(connection)

    def close(self) -> None:
        self._connection.close()

    # Reading

    @_translated
    def meta(self, name: str) -> int:
        (value,) = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(value)

    @_translated
    def newest(self) -> int:
        """The newest revision; its row outlives compaction until there is a newer one."""
        (revision,) = self._connection.execute("SELECT coalesce(max(revision), 0) FROM history").fetchone()
        return int(revision)

    @_translated
    def get(self, key: str) -> KeyValue | None:
        row = self._connection.execute(
            "SELECT key, value, created, revision, deleted FROM history WHERE key = ? ORDER BY revision DESC LIMIT 1",
            (key,),
        ).fetchone()
        return KeyValue(*row[:4]) if row and not row[4] else None

    @_translated
    def get_at(self, key: str, revision: int) -> KeyValue | None:
        row = self._connection.execute(
            "SELECT key, value, created, revision, deleted FROM history WHERE key = ? AND revision <= ? "
            "ORDER BY revision DESC LIMIT 1",
            (key, revision),
        ).fetchone()
        return KeyValue(*row[:4]) if row and not row[4] else None

    @_translated
    def list(self, keys: Range, limit: int, revision: int) -> Listing:
        """A page as of `revision` (0: now), read in one transaction."""
        self._connection.execute("BEGIN")
        try:
            newest = self.newest()
            present = (
                f"FROM history h WHERE {keys.condition('key')} AND revision <= :at AND NOT deleted AND NOT EXISTS "
                "(SELECT 1 FROM history n WHERE n.key = h.key AND n.revision > h.revision AND n.revision <= :at)"
            )
            parameters = {**keys.parameters, "at": revision or newest, "limit": limit or -1}
            rows = self._connection.execute(
                f"SELECT key, value, created, revision {present} ORDER BY key LIMIT :limit", parameters
            ).fetchall()
            total = len(rows)
            if limit and total == limit:
                (total,) = self._connection.execute(f"SELECT count(*) {present}", parameters).fetchone()
            return Listing([KeyValue(*row) for row in rows], revision or newest, total - len(rows))
        finally:
            self._connection.execute("COMMIT")

    @_translated
    def events(self, prefix: str, after: int, until: int, limit: int) -> Events:
        """Events of the prefix with after < revision <= until, in order."""
        keys = Range(prefix)
        rows = self._connection.execute(
            "SELECT h.key, h.value, h.created, h.revision, h.deleted, p.value, p.created, p.revision "
            "FROM history h LEFT JOIN history p ON p.revision = h.previous "
            f"WHERE h.revision > :after AND h.revision <= :until AND {keys.condition('h.key')} "
            "ORDER BY h.revision LIMIT :limit",
            {**keys.parameters, "after": after, "until": until, "limit": limit},
        )
        return [_event(*row) for row in rows]

    def versions(self) -> Generator[Header | Version, None, None]:
        """Everything that is still known, header first, from one read transaction."""
        self._connection.execute("BEGIN")
        try:
            oldest = self.meta("oldest")
            yield Header(self.newest(), oldest)
            rows = self._connection.execute(
                "SELECT h.key, CASE WHEN h.deleted THEN p.value ELSE h.value END, h.created, h.revision, h.deleted "
                "FROM history h LEFT JOIN history p ON p.revision = h.previous "
                "WHERE h.revision > ? OR (NOT h.deleted AND NOT EXISTS (SELECT 1 FROM history n "
                "WHERE n.key = h.key AND n.revision > h.revision AND n.revision <= ?)) ORDER BY h.revision",
                (oldest, oldest),
            )
            for row in rows:
                yield Version(KeyValue(*row[:4]), bool(row[4]))
        finally:
            self._connection.execute("COMMIT")

    # Writing

    @_translated
    def begin(self, events: Iterable[Event]) -> int:
        """Put events into a transaction that `commit` makes durable and `rollback` forgets; about how many pages."""
        execute = self._connection.execute
        pages = 0
        execute("BEGIN IMMEDIATE")
        for event in events:
            kv, previous = event.kv, event.previous
            before = previous.mod_revision if previous else 0
            deleted = event.kind is EventKind.DELETE
            execute(
                "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?)",
                (kv.mod_revision, kv.key, kv.create_revision, before, deleted, b"" if deleted else kv.value),
            )
            pages += _PAGES_A_WRITE + len(kv.value) // _PAGE_BYTES
        return pages

    @_translated
    def checkpoint(self) -> None:
        """Copy what the log holds into the file. `commit` leaves that to its caller, since it takes a while."""
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @_translated
    def commit(self) -> None:
        """Returns when the transaction is on disk."""
        self._connection.execute("COMMIT")

    @_translated
    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    @_translated
    def set_meta(self, name: str, value: int) -> None:
        self._connection.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))

    @_translated
    def sweep(self) -> bool:
        """Remove a limited number of versions that the compaction point made unreadable; whether more are left.

        A version goes when its successor is at or before the point, a deletion when it is before it. (The one at the
        point stays for the next sweep, so that the newest revision always has a row.)
        """
        oldest, swept = self.meta("oldest"), self.meta("swept")
        until = min(oldest, swept + SWEEP_STEP)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.execute(
                "DELETE FROM history WHERE revision IN "
                "(SELECT previous FROM history WHERE revision > ? AND revision <= ? AND previous > 0)",
                (swept, until),
            )
            self._connection.execute(
                "DELETE FROM history WHERE revision >= ? AND revision < ? AND deleted", (swept, until)
            )
            self.set_meta("swept", until)
            self._connection.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise
        return until < oldest

    @_translated
    def load(self, header: Header, versions: Iterable[Version]) -> None:
        """Fill an empty database from a snapshot, in one transaction."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        present: dict[str, int] = {}
        for version in versions:
            kv = version.kv
            before = present.pop(kv.key, 0)
            execute(
                "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?)",
                (kv.mod_revision, kv.key, kv.create_revision, before, version.deleted,
                 b"" if version.deleted else kv.value),
            )
            if not version.deleted:
                present[kv.key] = kv.mod_revision
        if header.revision > self.newest():  # it was a deletion that has been compacted: a row has to stand for it
            execute("INSERT INTO history VALUES (?, '', ?, 0, 1, x'')", (header.revision, header.revision))
        self.set_meta("oldest", header.oldest)
        self.set_meta("swept", header.oldest)
        execute("COMMIT")


def _format(connection: sqlite3.Connection) -> int:
    (found,) = connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
    return int(found)


def _event(
    key: str, value: bytes, created: int, revision: int, deleted: int, *before: bytes | int | None
) -> Event:
    previous_value, previous_created, previous_revision = before
    previous = None
    if isinstance(previous_value, bytes) and isinstance(previous_created, int) and isinstance(previous_revision, int):
        previous = KeyValue(key, previous_value, previous_created, previous_revision)
    if not deleted:
        return Event(EventKind.PUT, KeyValue(key, value, created, revision), previous)
    assert previous is not None, f"{key}: a readable deletion has the state before it"
    return Event(EventKind.DELETE, KeyValue(key, previous.value, created, revision), previous)
