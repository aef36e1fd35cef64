"""The present objects of one kind, and its recent changes, in memory: every read is served from here.

`apply` takes the store's events in order. Objects are held as ready-to-send bytes in key order, changes in a bounded
window, so that a watch which was interrupted resumes after its last resourceVersion. Guarantees: a watcher sees every
change after its starting point once and in order; starting before the window raises `Expired`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import attrgetter
from typing import Protocol

from sortedcontainers import SortedList

from sampan.api.kind import Kind
from sampan.apimachinery.errors import Expired
from sampan.apiserver.registry.entry import Entry, Known
from sampan.apiserver.registry.keys import local_key, prefix_of
from sampan.apiserver.registry.selection import Selection
from sampan.apiserver.registry.value_index import ValueIndex
from sampan.apiserver.registry.watch_groups import WatchGroups
from sampan.apiserver.registry.watcher import Change, Watcher
from sampan.storage.store import Event, EventKind, KeyValue


class Listener(Protocol):
    """Something that keeps an index of a kind's objects."""

    def reset(self, entries: Iterable[Entry]) -> None:
        """These are all."""

    def changed(self, change: Change) -> None:
        """One of them changed."""


class WatchCache:
    """One kind. `version` grows with every change."""

    def __init__(self, kind: Kind, window_events: int) -> None:
        self.kind = kind
        self.prefix = prefix_of(kind.resource)
        self.version = 0
        self.changed_at = 0
        """Revision of the newest change, or of the load."""
        self._entries: dict[str, Entry] = {}
        self._keys: SortedList[str] = SortedList()
        self._namespaces: dict[str, int] = {}
        self._by_label = ValueIndex(attrgetter("labels"))
        self._by_field = ValueIndex(attrgetter("fields"))
        self._window: deque[Change] = deque()
        self._window_events = window_events
        self._window_start = 0
        self._watchers = WatchGroups()
        self._touched: dict[Watcher, None] = {}
        self._held: list[Event] | None = None
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of every change from now on."""
        self._listeners.append(listener)
        listener.reset(self._entries.values())

    def hold(self) -> None:
        """Keep events back until `load`, which then applies those after its revision."""
        self._held = []

    def load(self, items: list[KeyValue], revision: int) -> None:
        """Begin with a listing of the store, which is used up; ends watches that a former life left behind."""
        self._entries = {}
        items.reverse()
        while items:  # each is let go as soon as its entry is made, so that not all are in memory twice
            item = items.pop()
            key = item.key[len(self.prefix) :]
            self._entries[key] = Entry(self.kind, key, item.value, item.mod_revision)
        self._keys = SortedList(self._entries)
        self._namespaces = dict(Counter(entry.namespace for entry in self._entries.values()))
        self._by_label.clear()
        self._by_field.clear()
        self._window.clear()
        self._window_start = self.changed_at = revision
        self.version += 1
        for listener in self._listeners:
            listener.reset(self._entries.values())
        self.end_watches()
        held, self._held = self._held, None
        for event in held or ():
            if event.kv.mod_revision > revision:
                self.apply(event)
        self.flush()

    def apply(self, event: Event, known: Known | None = None) -> None:
        """Take in one change of the store and queue it with the watchers whom it concerns; `flush` sends it. `known`
        is what the write path knows of the object."""
        if self._held is not None:
            self._held.append(event)
            return
        kv = event.kv
        key = kv.key[len(self.prefix) :]
        old = self._entries.get(key)
        new: Entry | None = None
        if event.kind is EventKind.DELETE:
            if old is None:
                return
            del self._entries[key]
            self._keys.remove(key)
            self._count(old.namespace, -1)
        else:
            new = Entry(self.kind, key, kv.value, kv.mod_revision, known)
            self._entries[key] = new
            if old is None:
                self._keys.add(key)
                self._count(new.namespace, 1)
        self._by_label.changed(old, new)
        self._by_field.changed(old, new)
        change = Change(kv.mod_revision, old, new)
        self.version += 1
        self.changed_at = kv.mod_revision
        self._remember(change)
        for listener in self._listeners:
            listener.changed(change)
        if self._watchers:
            self._watchers.offer(change, self._touched)

    def flush(self) -> None:
        """Send what has been queued since the last time, all of a watcher's together."""
        touched = self._touched
        if not touched:
            return
        self._touched = {}
        for watcher in touched:
            watcher.flush()
            if watcher.ended:
                self._watchers.discard(watcher)

    def _count(self, namespace: str, difference: int) -> None:
        count = self._namespaces.get(namespace, 0) + difference
        if count:
            self._namespaces[namespace] = count
        else:
            del self._namespaces[namespace]

    def _remember(self, change: Change) -> None:
        self._window.append(change)
        if len(self._window) > self._window_events:
            self._window_start = self._window.popleft().revision

    def forget_changes(self, until: int, keep: int) -> None:
        """Drop changes up to a revision from the window, except the last `keep`."""
        window = self._window
        while len(window) > keep and window[0].revision <= until:
            self._window_start = window.popleft().revision

    def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def __len__(self) -> int:
        return len(self._entries)

    def select(self, selection: Selection, start_after: str = "") -> Iterator[Entry]:
        """Matching entries in key order."""
        entries = self._entries
        keys: Iterable[str]
        candidates = self._candidates(selection)
        if candidates is None:
            keys = self._range(selection.namespace, start_after)
            if selection.plain:
                return map(entries.__getitem__, keys)
        else:
            keys = [key for key in candidates if key > start_after] if start_after else candidates
        matches = selection.matches
        return (entry for entry in map(entries.__getitem__, keys) if matches(entry))

    def _candidates(self, selection: Selection) -> list[str] | None:
        """Keys in order among which are all that match; None if that would be all keys of the namespace."""
        namespace, name = selection.namespace, selection.name
        if name:
            namespaces = [namespace] if namespace else sorted(self._namespaces)
            keys = [local_key(one, name) for one in namespaces] if self.kind.resource.namespaced else [name]
            return [key for key in keys if key in self._entries]
        if selection.label is not None:
            keys = self._by_label.keys(*selection.label, self._entries)
        elif selection.field is not None and selection.field[1]:
            keys = self._by_field.keys(selection.field[0], selection.field[1:], self._entries)
        else:
            return None
        if namespace:
            keys = keys[bisect_left(keys, namespace + "/") : bisect_left(keys, namespace + "0")]
        return keys

    def _range(self, namespace: str, start_after: str) -> Iterator[str]:
        if not namespace and not start_after:
            return iter(self._keys)
        low, high = (namespace + "/", namespace + "0") if namespace else ("", None)
        return self._keys.irange(max(low, start_after), high, (not start_after, False))

    def watch(self, watcher: Watcher, after: int) -> None:
        """Attach a watcher: what the window holds after `after` is queued at once. Raises Expired."""
        if after < self._window_start:
            raise Expired(f"too old resource version: {after} ({self._window_start})")
        if self._window and self._window[-1].revision > after:
            selection = watcher.selection
            missed = (change for change in self._window if change.revision > after)
            told = [(change, type) for change in missed if (type := change.type_for(selection)) is not None]
            watcher.begin_with(_frames(told, watcher))
        watcher.after = after
        self._watchers.add(watcher)

    def watch_from_now(self, watcher: Watcher, *, initial: bool) -> None:
        """Attach a watcher; with `initial`, the present objects come first, as ADDED."""
        if initial:
            present = [(Change(entry.revision, None, entry), "ADDED") for entry in self.select(watcher.selection)]
            watcher.begin_with(_frames(present, watcher))
        self._watchers.add(watcher)

    def forget(self, watcher: Watcher) -> None:
        """Detach a watcher. Idempotent."""
        self._watchers.discard(watcher)
        self._touched.pop(watcher, None)

    def end_watches(self) -> None:
        """End all watches: the server stops, or the kind is gone."""
        for watcher in self._watchers:
            watcher.end()
            self._watchers.discard(watcher)

    @property
    def watchers(self) -> int:
        return len(self._watchers)


def _frames(changes: list[tuple[Change, str]], watcher: Watcher) -> Iterator[bytes]:
    """Encoded as they are read; only what renders the first is settled now, since other events may come before that."""
    if not changes:
        return iter(())
    first, rendering = watcher.next_rendering(), watcher.rendering
    if first is rendering:
        return (change.frame(type, rendering) for change, type in changes)
    return chain([changes[0][0].frame(changes[0][1], first)], _frames(changes[1:], watcher))
