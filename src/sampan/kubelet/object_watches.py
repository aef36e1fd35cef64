"""Watches of single ConfigMaps and Secrets, one each however many pods show it, as the Node authoriser allows.

A watch says only that something changed; whoever is told reads the object anew. Pods name what they show with `follow`
and let go of it with `forget`; the last one to let go ends the watch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client
from sampan.client.informer import Informer

Key: TypeAlias = tuple[str, str, str]
"""Kind (a lower-case singular), namespace, name."""

OnChange: TypeAlias = Callable[[Key, Object | None], None]
"""(what, its new state or None when it is gone)."""


@dataclass(slots=True)
class _Watch:
    informer: Informer
    task: asyncio.Task[None]
    users: set[str] = field(default_factory=set)


class ObjectWatches:
    """`on_change` is called for what the first list brings, too."""

    def __init__(self, client: Client, resources: Mapping[str, Resource], on_change: OnChange) -> None:
        self._client = client
        self._resources = resources
        self._on_change = on_change
        self._watches: dict[Key, _Watch] = {}

    def users(self, key: Key) -> set[str]:
        """The pods that follow it."""
        watch = self._watches.get(key)
        return set(watch.users) if watch is not None else set()

    def follow(self, uid: str, keys: Iterable[Key]) -> None:
        """The pod shows these, and no others any more."""
        wanted = set(keys)
        for key in wanted:
            watch = self._watches.get(key) or self._start(key)
            watch.users.add(uid)
        for key in [key for key, watch in self._watches.items() if uid in watch.users and key not in wanted]:
            self._leave(key, uid)

    def forget(self, uid: str) -> None:
        self.follow(uid, ())

    async def close(self) -> None:
        tasks = [watch.task for watch in self._watches.values()]
        self._watches.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: Key) -> _Watch:
        kind, namespace, name = key
        informer = Informer(self._client, self._resources[kind], namespace, field_selector=f"metadata.name={name}")
        informer.add_handler(
            lambda obj: self._on_change(key, obj), lambda _, new: self._on_change(key, new),
            lambda _: self._on_change(key, None),
        )
        task = asyncio.create_task(informer.run(), name=f"watch {kind} {namespace}/{name}")
        watch = self._watches[key] = _Watch(informer, task)
        return watch

    def _leave(self, key: Key, uid: str) -> None:
        watch = self._watches[key]
        watch.users.discard(uid)
        if not watch.users:
            watch.task.cancel()
            del self._watches[key]
