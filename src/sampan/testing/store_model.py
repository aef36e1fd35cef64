"""A store's obviously correct model, and random walks that compare a backend with it.

The model is the list of all events; every answer is computed from it by going through the whole list. An operation is a
small value, so a property-based tool can generate and shrink sequences of them; `walk` applies one sequence to both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sampan.storage.store import Compacted, Event, EventKind, KeyValue, Listing, Store, StoreError
from sampan.testing.check_store import Backend, watched

_Events: TypeAlias = list[Event]


@dataclass(frozen=True, slots=True)
class Operation:
    """`stale` makes a compare-and-swap name a wrong revision; `back` is how far in the past a read or compaction is."""

    verb: Literal["create", "update", "delete", "get", "list", "compact", "watch", "reopen", "restore"]
    key: str = ""
    value: bytes = b""
    stale: bool = False
    back: int = 0
    limit: int = 0


@dataclass
class StoreModel:
    """What a store should answer."""

    events: list[Event] = field(default_factory=list)
    oldest: int = 0

    @property
    def revision(self) -> int:
        return len(self.events)

    def get(self, key: str, revision: int) -> KeyValue | None:
        state = None
        for event in self.events[:revision]:
            if event.kv.key == key:
                state = event.kv if event.kind is EventKind.PUT else None
        return state

    def list(self, prefix: str, after: str, limit: int, revision: int) -> Listing:
        keys = sorted({event.kv.key for event in self.events if event.kv.key.startswith(prefix)})
        states = [self.get(key, revision) for key in keys if key > after]
        found = [state for state in states if state is not None]
        page = found[:limit] if limit else found
        return Listing(page, revision, len(found) - len(page))

    def after(self, prefix: str, revision: int) -> _Events:
        return [event for event in self.events[revision:] if event.kv.key.startswith(prefix)]

    def write(self, verb: str, key: str, value: bytes, expected: int) -> int | str:
        """The new revision, or the name of the error."""
        before = self.get(key, self.revision)
        revision = self.revision + 1
        if verb == "create":
            if before:
                return "KeyExists"
            event = Event(EventKind.PUT, KeyValue(key, value, revision, revision), None)
        elif before is None:
            return "KeyNotFound"
        elif before.mod_revision != expected:
            return "RevisionMismatch"
        elif verb == "update":
            event = Event(EventKind.PUT, KeyValue(key, value, before.create_revision, revision), before)
        else:
            kv = KeyValue(key, before.value, before.create_revision, revision)
            event = Event(EventKind.DELETE, kv, before)
        self.events.append(event)
        return revision


async def walk(backend: Backend, operations: Sequence[Operation]) -> None:
    """Apply the operations to a fresh store and to the model; every answer must agree."""
    store, model = await backend.open_fresh(), StoreModel()
    try:
        for operation in operations:
            if operation.verb == "reopen" and backend.reopen:
                store = await backend.reopen(store)
            elif operation.verb == "restore" and backend.restore:
                copy = await backend.restore(store.snapshot())
                await store.close()
                store = copy
            else:
                await _step(store, model, operation)
        assert await store.revision() == model.revision
        expected = model.after("", model.oldest)
        assert await _events(store, "", model.oldest, len(expected)) == expected
    finally:
        await store.close()


async def _step(store: Store, model: StoreModel, op: Operation) -> None:
    past = max(0, model.revision - op.back)
    at = past if op.back else model.revision
    readable = at >= model.oldest
    match op.verb:
        case "create" | "update" | "delete":
            before = model.get(op.key, model.revision)
            expected = (before.mod_revision if before else 0) + op.stale
            wanted = model.write(op.verb, op.key, op.value, expected)
            assert await _outcome(_write(store, op, expected)) == wanted, op
        case "get" if at:
            found = await _outcome(store.get(op.key, revision=past if op.back else 0))
            assert found == (model.get(op.key, at) if readable else "Compacted"), op
        case "list" if at:
            found = await _outcome(
                store.list(op.key[:2], start_after=op.key, limit=op.limit, revision=past if op.back else 0)
            )
            assert found == (model.list(op.key[:2], op.key, op.limit, at) if readable else "Compacted"), op
        case "compact" if at:
            await store.compact(at)
            model.oldest = max(model.oldest, at)
        case "watch":
            expected_events = model.after(op.key[:2], past)
            if past < model.oldest:
                assert await _outcome(watched(store, op.key[:2], past, 1)) == Compacted.__name__, op
            else:
                assert await _events(store, op.key[:2], past, len(expected_events)) == expected_events, op


def _write(store: Store, op: Operation, expected: int) -> Awaitable[int]:
    if op.verb == "create":
        return store.create(op.key, op.value)
    if op.verb == "update":
        return store.update(op.key, op.value, expected=expected)
    return store.delete(op.key, expected=expected)


async def _outcome(attempt: Awaitable[object]) -> object:
    """The result, or the name of the store's error."""
    try:
        return await attempt
    except StoreError as error:
        return type(error).__name__


async def _events(store: Store, prefix: str, after: int, count: int) -> _Events:
    return await watched(store, prefix, after, count) if count else []


