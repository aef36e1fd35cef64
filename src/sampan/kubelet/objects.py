"""ConfigMaps, Secrets and claims that this node's pods refer to, read one by one as the Node authoriser allows.

An answer is used for a short time (immutable objects for ever) so that pods of one namespace share reads; a pod's first
start asks afresh. When the API does not answer, the last known object serves. What pods show in volumes is watched, so
that a change reaches them at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from sampan import effects
from sampan.api.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, RUNTIME_CLASSES, SECRETS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, resource_version_of
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client
from sampan.client.reflector import is_repeated
from sampan.kubelet.errors import ConfigError
from sampan.kubelet.object_watches import Key, ObjectWatches

RESOURCES: dict[str, Resource] = {
    "configmap": CONFIG_MAPS, "secret": SECRETS, "persistentvolumeclaim": PERSISTENT_VOLUME_CLAIMS,
    "persistentvolume": PERSISTENT_VOLUMES, "runtimeclass": RUNTIME_CLASSES,
}
FRESH_S = 2.0
LIMIT = 4096
UNWATCHED = "kube-root-ca.crt"
"""In every pod and changed hardly ever: looked at now and then, which spares a connection a namespace."""


@dataclass(slots=True)
class _Known:
    obj: Object | None
    read_at: float


class NodeObjects:
    """`get(kind, namespace, name)`; kind is a lower-case singular of RESOURCES.

    `on_change(uid)` is called when something that a pod follows may have changed.
    """

    def __init__(self, client: Client, on_change: Callable[[str], None] = lambda uid: None) -> None:
        self._client = client
        self._on_change = on_change
        self._known: dict[Key, _Known] = {}
        self._reads: dict[Key, asyncio.Task[Object | None]] = {}
        self._watches = ObjectWatches(client, RESOURCES, self._changed)

    async def lookup(self, kind: Literal["configmap", "secret"], namespace: str, name: str) -> Object | None:
        """A ConfigMap or Secret, None if there is none. Raises ConfigError when nobody can tell."""
        return await self.get(kind, namespace, name)

    def follow(self, uid: str, keys: Iterable[Key]) -> None:
        """The pod shows these ConfigMaps and Secrets."""
        self._watches.follow(uid, [key for key in keys if key[2] != UNWATCHED and not self._is_immutable(key)])

    def forget(self, uid: str) -> None:
        """The pod shows nothing any more."""
        self._watches.forget(uid)

    async def close(self) -> None:
        await self._watches.close()

    def _is_immutable(self, key: Key) -> bool:
        known = self._known.get(key)
        return known is not None and known.obj is not None and bool(known.obj.get("immutable"))

    def _changed(self, key: Key, obj: Object | None) -> None:
        """Forget what is known, and a read that is under way, unless they are as new as this."""
        known = self._known.get(key)
        if known is not None and known.obj is not None and obj is not None and is_repeated(
            resource_version_of(obj), resource_version_of(known.obj)
        ):
            return
        self._known.pop(key, None)
        self._reads.pop(key, None)
        for uid in self._watches.users(key):
            self._on_change(uid)

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object, not older than two seconds unless it is immutable or the API is away."""
        key = (kind, namespace, name)
        known = self._known.get(key)
        if known is not None and (self._is_immutable(key) or effects.monotonic() - known.read_at < FRESH_S):
            return known.obj
        read = self._reads.get(key)
        if read is None:
            read = self._reads[key] = asyncio.create_task(self._read(key), name=f"get {kind} {namespace}/{name}")
            read.add_done_callback(lambda task: self._read_done(key, task))
        return await asyncio.shield(read)

    def _read_done(self, key: Key, task: asyncio.Task[Object | None]) -> None:
        if self._reads.get(key) is task:
            del self._reads[key]

    async def _read(self, key: Key) -> Object | None:
        kind, namespace, name = key
        known = self._known.get(key)
        obj: Object | None
        try:
            obj = await self._client.get(RESOURCES[kind], name, namespace or None)
        except errors.NotFound:
            obj = None
        except errors.APIError as error:
            if known is not None:
                return known.obj
            raise ConfigError(f"failed to get {kind} {namespace}/{name}: {error}") from error
        if len(self._known) >= LIMIT:
            self._known.pop(next(iter(self._known)))
        if self._reads.get(key) is asyncio.current_task():  # else it changed meanwhile
            self._known[key] = _Known(obj, effects.monotonic())
        return obj
