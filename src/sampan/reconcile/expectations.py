"""Expectations: a controller never decides on a copy of the cluster that does not yet show its own writes.

After a write, the informer's copy lags for a moment. A controller that looked now would see the pod it just created as
missing and create another. So for each key the writes are noted, and the key rests until the copy shows all of them:
a written object at its new resourceVersion or later, a deleted one gone or going. When the last one is seen, the key is
queued again.

What never shows (a lost watch, a server restored from a backup) is given up after five minutes, as upstream does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sampan.apimachinery.object import (
    Object,
    is_being_deleted,
    key_of,
    resource_version_of,
    uid_of,
)
from sampan.apimachinery.resource import Resource
from sampan.client.informer import Handler, Informer

TIMEOUT_S = 300.0


class Awaited(NamedTuple):
    """One write that the copy must show. An empty version stands for a deletion."""

    resource: Resource
    object_key: str
    uid: str
    version: str
    deadline: float


class Expectations:
    """The writes of each key that its controller's copies do not show yet."""

    def __init__(self, on_satisfied: Callable[[str], None]) -> None:
        self._on_satisfied = on_satisfied
        self._informers: dict[Resource, Informer] = {}
        self._awaited: dict[str, dict[Awaited, None]] = {}
        self._interested: dict[tuple[Resource, str], dict[str, None]] = {}

    def follow(self, informer: Informer) -> Handler:
        """Watch `informer` for this controller's writes. Writes of resources that nobody follows are not awaited."""
        resource, interested = informer.resource, self._interested
        self._informers[resource] = informer

        def seen(obj: Object) -> None:
            if interested:
                self._seen(resource, obj)

        def changed(_: Object, obj: Object) -> None:
            if interested:
                self._seen(resource, obj)

        return informer.add_handler(seen, changed, seen)

    def wrote(self, key: str, resource: Resource, obj: Object, now: float) -> None:
        """`key`'s controller created or changed `obj`, which is the server's answer."""
        self._await(key, Awaited(resource, key_of(obj), uid_of(obj), resource_version_of(obj), now + TIMEOUT_S))

    def deleted(self, key: str, resource: Resource, object_key: str, uid: str, now: float) -> None:
        """`key`'s controller deleted an object."""
        self._await(key, Awaited(resource, object_key, uid, "", now + TIMEOUT_S))

    def satisfied(self, key: str, now: float) -> bool:
        """Whether the copies show everything that was written for `key`."""
        for awaited in list(self._awaited.get(key, ())):
            if awaited.deadline <= now or self._shown(awaited):
                self._drop(key, awaited)
        return key not in self._awaited

    def forget(self, key: str) -> None:
        for awaited in list(self._awaited.get(key, ())):
            self._drop(key, awaited)

    def _await(self, key: str, awaited: Awaited) -> None:
        if awaited.resource in self._informers and not self._shown(awaited):
            self._awaited.setdefault(key, {})[awaited] = None
            self._interested.setdefault((awaited.resource, awaited.object_key), {})[key] = None

    def _shown(self, awaited: Awaited) -> bool:
        informer = self._informers[awaited.resource]
        found = informer.lister.get_by_key(awaited.object_key)
        if not awaited.version:
            return found is None or is_being_deleted(found) or bool(awaited.uid and uid_of(found) != awaited.uid)
        if found is not None and uid_of(found) == awaited.uid:
            return _at_least(resource_version_of(found), awaited.version)
        return _at_least(informer.reflector.resource_version, awaited.version)

    def _seen(self, resource: Resource, obj: Object) -> None:
        object_key = key_of(obj)
        for key in list(self._interested.get((resource, object_key), ())):
            for awaited in list(self._awaited.get(key, ())):
                mine = awaited.resource == resource and awaited.object_key == object_key
                if mine and (self._shown(awaited) or _at_least(resource_version_of(obj), awaited.version)):
                    self._drop(key, awaited)
            if key not in self._awaited:
                self._on_satisfied(key)

    def _drop(self, key: str, awaited: Awaited) -> None:
        self._awaited[key].pop(awaited, None)
        if not self._awaited[key]:
            del self._awaited[key]
        place = (awaited.resource, awaited.object_key)
        others = self._awaited.get(key, ())
        if not any((other.resource, other.object_key) == place for other in others):
            interested = self._interested.get(place, {})
            interested.pop(key, None)
            if not interested:
                self._interested.pop(place, None)


def _at_least(version: str, wanted: str) -> bool:
    if version.isdigit() and wanted.isdigit():
        return int(version) >= int(wanted)
    return bool(version) and version == wanted
