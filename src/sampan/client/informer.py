"""Informer: a local, indexed, always converging copy of a list, and a call for each change.

An `InformerFactory` shares informers: whoever asks for the same resource and selectors gets the same one, so a process
holds one copy and one watch of each. Handlers are plain functions, called in the order of the changes; they note what
to do (usually a work queue's key) and return at once.

Guarantees: a handler that is added late is first given everything that is there; after a lost connection, objects that
vanished meanwhile arrive as deletions with their last known state. Objects are shared and must not be changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from sampan.apimachinery.object import Object, key_of, resource_version_of, uid_of
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client, WatchEvent
from sampan.client.lister import Cache, Lister
from sampan.client.reflector import Reflector

log = logging.getLogger(__name__)

OnObject: TypeAlias = Callable[[Object], None]
OnUpdate: TypeAlias = Callable[[Object, Object], None]


@dataclass(frozen=True, slots=True)
class Handler:
    """What to call when an object appears, changes (old, new), or is gone (its last known state)."""

    on_add: OnObject | None = None
    on_update: OnUpdate | None = None
    on_delete: OnObject | None = None


class Informer:
    """One resource, optionally of one namespace and of those objects that match selectors."""

    def __init__(
        self, client: Client, resource: Resource, namespace: str | None = None, *, label_selector: str = "",
        field_selector: str = "", metadata_only: bool = False,
    ) -> None:
        self.resource = resource
        self._cache = Cache()
        self.lister = Lister(self._cache)
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self.handler_errors = 0
        self.reflector = Reflector(
            client, resource, self, namespace=namespace, label_selector=label_selector, field_selector=field_selector,
            metadata_only=metadata_only,
        )

    @property
    def synced(self) -> bool:
        """Whether the first list has arrived and every handler has seen it."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    async def run(self) -> None:
        """Keep the copy current until cancelled."""
        await self.reflector.run()

    def add_handler(
        self, on_add: OnObject | None = None, on_update: OnUpdate | None = None, on_delete: OnObject | None = None
    ) -> Handler:
        """Call these for each change from now on, and `on_add` at once for everything that is already there."""
        handler = Handler(on_add, on_update, on_delete)
        self._handlers.append(handler)
        if on_add is not None:
            for obj in list(self._cache.objects.values()):
                try:
                    on_add(obj)
                except Exception:
                    self._failed(obj)
        return handler

    def remove_handler(self, handler: Handler) -> None:
        self._handlers = [kept for kept in self._handlers if kept is not handler]

    def replace(self, items: list[Object]) -> None:
        """Make the copy equal to `items`; called by the reflector."""
        gone = dict.fromkeys(self._cache.objects)
        for item in items:
            gone.pop(key_of(item), None)
            self._put(item)
        for key in gone:
            self._remove(key)
        self._synced.set()

    def apply(self, event: WatchEvent) -> None:
        """Take one change; called by the reflector."""
        if event.type == "DELETED":
            self._remove(key_of(event.object), event.object)
        else:
            self._put(event.object)

    def _put(self, obj: Object) -> None:
        key = key_of(obj)
        known = self._cache.objects.get(key)
        if known is not None:
            version = resource_version_of(known)
            if version and version == resource_version_of(obj):
                return
            if uid_of(known) != uid_of(obj):  # another object under the same name: the old one went unseen
                self._remove(key)
        old = self._cache.put(obj)
        for handler in self._handlers:
            try:
                if old is None:
                    if handler.on_add is not None:
                        handler.on_add(obj)
                elif handler.on_update is not None:
                    handler.on_update(old, obj)
            except Exception:
                self._failed(obj)

    def _remove(self, key: str, final: Object | None = None) -> None:
        old = self._cache.remove(key)
        if old is None:
            return
        for handler in self._handlers:
            if handler.on_delete is not None:
                try:
                    handler.on_delete(final or old)
                except Exception:
                    self._failed(final or old)

    def _failed(self, obj: Object) -> None:
        """A handler did, with the exception at hand; the others are called all the same."""
        self.handler_errors += 1
        log.exception("handler of %s %s failed", self.resource.qualified, key_of(obj))


class InformerFactory:
    """Informers shared by everyone in a process who talks through `client`.

    `async with InformerFactory(client) as factory:` runs them until the block ends. Informers asked for while it runs
    start at once.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[tuple[Any, ...], Informer] = {}
        self._tasks: dict[tuple[Any, ...], asyncio.Task[None]] = {}
        self._running = False

    def informer(
        self, resource: Resource, namespace: str | None = None, label_selector: str = "", field_selector: str = "", *,
        metadata_only: bool = False,
    ) -> Informer:
        """The shared informer of these objects. `metadata_only` copies hold apiVersion, kind and metadata."""
        key = (resource, namespace, label_selector, field_selector, metadata_only)
        if key not in self._informers:
            self._informers[key] = Informer(
                self.client, resource, namespace, label_selector=label_selector, field_selector=field_selector,
                metadata_only=metadata_only,
            )
            if self._running:
                self._start(key)
        return self._informers[key]

    def start(self) -> None:
        """Start every informer; needs a running event loop."""
        self._running = True
        for key in self._informers:
            self._start(key)

    async def stop(self) -> None:
        """End every watch. The copies stay readable."""
        self._running = False
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def forget(self, informer: Informer) -> None:
        """Stop one informer and drop it, for resources that no longer exist."""
        for key, found in list(self._informers.items()):
            if found is informer:
                del self._informers[key]
                task = self._tasks.pop(key, None)
                if task is not None:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)

    async def wait_synced(self) -> None:
        """Until every informer asked for so far has its first list."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    async def run(self) -> None:
        """Start everything and keep it running until cancelled."""
        async with self:
            await asyncio.Event().wait()

    async def __aenter__(self) -> InformerFactory:
        self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await self.stop()

    def _start(self, key: tuple[Any, ...]) -> None:
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(
                self._informers[key].run(), name=f"informer {self._informers[key].resource.qualified}"
            )
