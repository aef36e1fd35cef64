"""All watch caches of a server, fed by one watch of the whole store.

One stream instead of one a kind keeps every cache at the same revision, so a consistent read needs no more than
`fresh()`: wait until the stream has reached the revision the store had when the read began. When the stream breaks
(the store was compacted under it, a remote store went away) the caches are loaded anew and their watches end, so that
clients list again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable

from sampan.api.kind import Kind
from sampan.apimachinery.resource import Resource
from sampan.apiserver.registry.entry import Known
from sampan.apiserver.registry.keys import ROOT
from sampan.apiserver.registry.watch_cache import WatchCache
from sampan.storage.store import Event, EventKind, KeyValue, Store, StoreError

log = logging.getLogger(__name__)
RETRY_S = 0.5
EXPECTED, EXPECTED_BYTES = 64, 32 * 1024


class Hub:
    """The caches by resource. `revision` is what they all show."""

    def __init__(self, store: Store, kinds: Iterable[Kind], window_events: int) -> None:
        self._store = store
        self._window_events = window_events
        self._by_prefix: dict[str, WatchCache] = {}
        self._caches: dict[tuple[str, str], WatchCache] = {}
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._expected: dict[int, tuple[bytes, Known]] = {}
        self.revision = 0
        for kind in kinds:
            if kind.storage_resource is None:
                self._install(kind)

    def _install(self, kind: Kind) -> WatchCache:
        cache = WatchCache(kind, self._window_events)
        self._by_prefix[cache.prefix] = cache
        self._caches[(kind.resource.group, kind.resource.plural)] = cache
        return cache

    async def start(self) -> None:
        """Load every cache, then follow the store until `stop`."""
        await self._load()
        self._task = asyncio.create_task(self._follow(), name="watch-cache")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for cache in self._caches.values():
            cache.end_watches()

    def caches(self) -> list[WatchCache]:
        """All of them."""
        return list(self._caches.values())

    @property
    def following(self) -> bool:
        """Whether the caches are loaded and kept up to date."""
        return self._task is not None and not self._task.done()

    def cache(self, resource: Resource) -> WatchCache | None:
        """The cache of a stored kind, whatever version the resource names."""
        return self._caches.get((resource.group, resource.plural))

    async def add(self, kind: Kind) -> WatchCache:
        """A kind that came while running; events that arrive while its cache loads are applied after."""
        resource = kind.resource
        found = self.cache(resource)
        if found is not None:
            await self._replace(found, kind)
            return found
        cache = WatchCache(kind, self._window_events)
        cache.hold()
        self._by_prefix[cache.prefix] = cache
        at = self.revision
        listing = await self._store.list(cache.prefix, revision=at)
        cache.load(listing.items, at)
        self._caches[(resource.group, resource.plural)] = cache
        return cache

    async def _replace(self, cache: WatchCache, kind: Kind) -> None:
        """The kind has another definition: its objects are read again, and its watches end."""
        while True:
            listing = await self._store.list(cache.prefix)
            if self.revision <= listing.revision:
                break  # otherwise the cache is ahead of what was listed
        cache.kind = kind
        cache.load(listing.items, listing.revision)

    def expect(self, stored: bytes, known: Known) -> None:
        """The write path is about to store these very bytes, of an object that it does not change any more but for its
        resourceVersion: so they need not be decoded again when the store tells of them."""
        if len(stored) > EXPECTED_BYTES:
            return
        if len(self._expected) >= EXPECTED:
            self._expected.clear()  # of writes that failed, or of a store that gives other bytes
        self._expected[id(stored)] = stored, known

    def _known(self, stored: bytes) -> Known | None:
        expected = self._expected.pop(id(stored), None)
        return expected[1] if expected is not None and expected[0] is stored else None

    def remove(self, resource: Resource) -> None:
        """The kind is gone; its watches end."""
        cache = self._caches.pop((resource.group, resource.plural), None)
        if cache is not None:
            del self._by_prefix[cache.prefix]
            cache.end_watches()

    async def fresh(self) -> int:
        """Wait until the caches show every write committed before this call; the revision they then show."""
        newest = await self._store.revision()
        if self.revision < newest:
            await self._reach(newest)
        return self.revision

    async def _reach(self, revision: int) -> None:
        if self.revision >= revision:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((revision, waiter))
        await waiter

    async def reach(self, revision: int, timeout_s: float) -> bool:
        """Wait for a revision that may not exist yet; False if it did not come in time."""
        try:
            await asyncio.wait_for(self._reach(revision), timeout_s)
        except TimeoutError:
            return False
        return True

    async def _load(self) -> None:
        listing = await self._store.list(ROOT)
        by_prefix: defaultdict[str, list[KeyValue]] = defaultdict(list)
        for item in listing.items:
            by_prefix[_prefix(item.key)].append(item)
        listing.items.clear()
        for prefix, cache in self._by_prefix.items():
            cache.load(by_prefix.get(prefix, []), listing.revision)
        self._advance(listing.revision)

    async def _follow(self) -> None:
        while True:
            try:
                async with self._store.watch("", after=self.revision) as watch:
                    async for batch in watch:
                        self._apply(batch)
                return
            except (StoreError, OSError) as error:
                log.warning("watch of the store ended, loading again: %s", error)
                await self._reload()
            except Exception:
                log.exception("watch of the store failed, loading again")
                await self._reload()

    async def _reload(self) -> None:
        """Load again, until the store answers."""
        while True:
            await asyncio.sleep(RETRY_S)
            try:
                await self._load()
                return
            except (StoreError, OSError) as error:
                log.warning("the store does not answer: %s", error)

    def _apply(self, batch: list[Event]) -> None:
        touched: dict[WatchCache, None] = {}
        for event in batch:
            cache = self._by_prefix.get(_prefix(event.kv.key))
            if cache is not None:
                cache.apply(event, self._known(event.kv.value) if event.kind is EventKind.PUT else None)
                touched[cache] = None
        self._advance(batch[-1].kv.mod_revision)
        for cache in touched:
            cache.flush()

    def _advance(self, revision: int) -> None:
        self.revision = revision
        if self._waiters:
            waiting = self._waiters
            self._waiters = []
            for needed, waiter in waiting:
                if waiter.done():
                    continue  # given up: nobody keeps a place for a revision that may never come
                if needed > revision:
                    self._waiters.append((needed, waiter))
                else:
                    waiter.set_result(None)


def _prefix(key: str) -> str:
    """`/registry/GROUP/PLURAL/` of a key."""
    end = key.find("/", len(ROOT))
    return key[: key.find("/", end + 1) + 1]
