"""The watchers of one kind, arranged so that a change costs only those whom it concerns.

Watchers with the same selection and rendering form a group: what a change is to them is decided once, and encoded once
for all groups that render alike. A group stands in one place, by what its selection demands: a value of a field (the
pods of a node), a namespace, a name, or nothing. A change looks only into the places that it can concern.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from sampan.apiserver.registry.rendering import Rendering
from sampan.apiserver.registry.selection import Selection
from sampan.apiserver.registry.watcher import Change, Watcher

Place: TypeAlias = tuple[str, str, str]
"""("", namespace, name), each empty for any; or (field, value, "")."""


class _Group:
    __slots__ = ("rendering", "selection", "watchers")

    def __init__(self, selection: Selection, rendering: Rendering) -> None:
        self.selection = selection
        self.rendering = rendering
        self.watchers: dict[Watcher, None] = {}


class WatchGroups:
    """See the module."""

    def __init__(self) -> None:
        self._places: dict[Place, dict[object, _Group]] = {}
        self._fields: dict[str, int] = {}
        """Fields by whose value groups are placed, and how many places each has."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Watcher]:
        return iter([
            watcher for groups in self._places.values() for group in groups.values() for watcher in group.watchers
        ])

    def add(self, watcher: Watcher) -> None:
        selection, rendering = watcher.selection, watcher.rendering
        place = _place(selection)
        groups = self._places.get(place)
        if groups is None:
            groups = self._places[place] = {}
            if place[0]:
                self._fields[place[0]] = self._fields.get(place[0], 0) + 1
        key = (selection.text, rendering.key)
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group(selection, rendering)
        if watcher not in group.watchers:
            group.watchers[watcher] = None
            self._count += 1

    def discard(self, watcher: Watcher) -> None:
        """Idempotent."""
        place, key = _place(watcher.selection), (watcher.selection.text, watcher.rendering.key)
        groups = self._places.get(place, {})
        group = groups.get(key)
        if group is None or watcher not in group.watchers:
            return
        del group.watchers[watcher]
        self._count -= 1
        if not group.watchers:
            del groups[key]
            if not groups:
                del self._places[place]
                if place[0]:
                    self._fields[place[0]] -= 1
                    if not self._fields[place[0]]:
                        del self._fields[place[0]]

    def offer(self, change: Change, touched: dict[Watcher, None]) -> None:
        """Queue a change with all whom it concerns, and note them."""
        frames: dict[tuple[str, object], bytes] = {}
        for place in self._concerned(change):
            for group in self._places.get(place, {}).values():
                type = change.type_for(group.selection)
                if type is None:
                    continue
                key = (type, group.rendering.key)
                frame = frames.get(key)
                if frame is None:
                    frame = frames[key] = change.frame(type, group.rendering)
                for watcher in group.watchers:
                    if change.revision > watcher.after:
                        watcher.push(frame if watcher.first is None else change.frame(type, watcher.next_rendering()))
                        touched[watcher] = None

    def _concerned(self, change: Change) -> Iterator[Place]:
        subject = change.new or change.old
        assert subject is not None
        namespace, name = subject.namespace, subject.name
        yield "", "", ""
        yield "", "", name
        if namespace:
            yield "", namespace, ""
            yield "", namespace, name
        for field in self._fields:
            states = (change.old, change.new)
            for value in {state.fields.get(field, "") for state in states if state is not None}:
                yield field, value, ""


def _place(selection: Selection) -> Place:
    if selection.field is not None:
        return *selection.field, ""
    return "", selection.namespace, selection.name
