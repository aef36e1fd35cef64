"""The server's own view of its objects, for admission plugins and authorizers: documents out of the watch cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apiserver.registry.entry import Entry
from sampan.apiserver.registry.hub import Hub
from sampan.apiserver.registry.keys import local_key
from sampan.apiserver.registry.selection import Selection
from sampan.apiserver.registry.watch_cache import WatchCache
from sampan.apiserver.seams import Objects, Watched

PEEKED: Final = 256
"""How many decoded documents are kept: namespaces and accounts that every write asks for."""


class CacheReader:
    """See `seams.Reader`. Unknown kinds have no objects."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._peeked: dict[Entry, Object] = {}

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        cache = self._cache(resource)
        entry = cache.get(local_key(namespace, name)) if cache else None
        return entry.object() if entry else None

    def peek(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        cache = self._cache(resource)
        entry = cache.get(local_key(namespace, name)) if cache else None
        if entry is None:
            return None
        found = self._peeked.get(entry)
        if found is None:
            if len(self._peeked) >= PEEKED:
                self._peeked.clear()
            found = self._peeked[entry] = entry.object()
        return found

    def list(self, resource: Resource, namespace: str = "", labels: Mapping[str, str] | None = None) -> Objects:
        cache = self._cache(resource)
        if cache is None:
            return []
        wanted = (labels or {}).items()
        return [
            entry.object() for entry in cache.select(Selection(namespace))
            if not wanted or all(entry.labels.get(key) == value for key, value in wanted)
        ]

    def version(self, resource: Resource) -> int:
        cache = self._cache(resource)
        return 0 if cache is None else cache.version

    def watched(self, *resources: Resource) -> Watched:
        watched = Watched()
        for resource in resources:
            cache = self._hub.cache(resource)
            assert cache is not None, f"{resource.qualified} is built in"
            cache.listen(watched)
        return watched

    async def fresh(self, resource: Resource) -> None:
        await self._hub.fresh()

    def _cache(self, resource: Resource) -> WatchCache | None:
        return self._hub.cache(resource)
