"""The Store protocol: what the API server asks of a datastore.

A store maps string keys to byte values. Every committed write gets the next *revision*, one global counter, starting at
1 for the first write. A write names the revision it expects the key to have (compare-and-swap), so that two writers can
never overwrite each other unseen. A watch delivers every change of a key prefix after a given revision, in order and
without a gap, and history is kept, so that a read can be served as of an earlier revision until it is compacted.

Guarantees that `sampan.testing.check_store` checks on every backend:
- a write that returned survives a crash at any instant; a write that raised left no trace;
- watches are ordered by revision and gap-free; events that committed together may arrive together;
- a revision older than the compaction point raises `Compacted`, never a partial answer.

Values are opaque. They do not contain the revision: the API server adds it on the way out.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class StoreError(Exception):
    """Base of everything a store raises on purpose."""


class KeyExists(StoreError):
    """`create` found the key present."""


class KeyNotFound(StoreError):
    """`update` or `delete` found no such key."""


class RevisionMismatch(StoreError):
    """The key's revision is not the expected one; `.current` is the key's present state."""

    def __init__(self, current: KeyValue) -> None:
        super().__init__(f"{current.key}: at revision {current.mod_revision}")
        self.current = current


class Compacted(StoreError):
    """The revision asked for is older than the compaction point `.oldest`, the oldest one still readable."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"compacted; the oldest readable revision is {oldest}")
        self.oldest = oldest


class FutureRevision(StoreError):
    """The revision asked for has not been written yet; `.current` is the newest."""

    def __init__(self, current: int) -> None:
        super().__init__(f"the newest revision is {current}")
        self.current = current


class StoreUnavailable(StoreError):
    """The backend cannot serve now: disk full, in use by another process, closed. A write left no trace."""


class KeyValue(NamedTuple):
    """A key's value with the revisions that created it and last changed it."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list: the items in key order, the revision it was read at, how many follow in all."""

    items: list[KeyValue]
    revision: int
    remaining: int


class EventKind(enum.Enum):
    PUT = "put"
    DELETE = "delete"


class Event(NamedTuple):
    """A change. For DELETE, `kv` carries the last value and the deletion's revision as `mod_revision`.

    `previous` is the state before the change, None for a creation.
    """

    kind: EventKind
    kv: KeyValue
    previous: KeyValue | None


class Watch(Protocol):
    """A stream of batches of events. A batch is never empty and holds all events of the prefix that committed together.

    Also an async context manager: leaving it ends the watch. Iteration raises `Compacted` if the watch fell behind the
    compaction point.
    """

    def __aiter__(self) -> AsyncIterator[list[Event]]: ...
    async def __aenter__(self) -> Watch: ...
    async def __aexit__(self, *exc: object) -> None: ...


class Store(Protocol):
    """A datastore. All methods raise StoreError subclasses only; see each for which."""

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        """The key's state at `revision` (0: now), or None. Raises Compacted, FutureRevision."""

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 0, revision: int = 0) -> Listing:
        """Keys with `prefix` greater than `start_after` in order, `limit` of them (0: all). Raises as `get`."""

    async def create(self, key: str, value: bytes) -> int:
        """Write a new key; its revision. Raises KeyExists."""

    async def update(self, key: str, value: bytes, *, expected: int) -> int:
        """Replace the value if mod_revision is `expected`; the new revision. KeyNotFound, RevisionMismatch."""

    async def delete(self, key: str, *, expected: int) -> int:
        """Remove the key if mod_revision is `expected`; the deletion revision. KeyNotFound, RevisionMismatch."""

    def watch(self, prefix: str, *, after: int) -> Watch:
        """Every change of keys with `prefix` whose revision is greater than `after`. Iterating may raise Compacted."""

    async def revision(self) -> int:
        """The revision of the newest committed write, 0 in an empty store."""

    async def compact(self, revision: int) -> None:
        """Forget states that were superseded at or before `revision`. Reads at `revision` itself still work."""

    def snapshot(self) -> AsyncIterator[bytes]:
        """A consistent copy of the whole store as a byte stream that this backend can restore."""

    async def close(self) -> None:
        """Flush and release everything. Idempotent."""
