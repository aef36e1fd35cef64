"""ConfigMaps, Secrets and claims that this node's pods refer to, read one by one as the Node authoriser allows.

An answer is used for a short time (immutable objects for ever) so that pods of one namespace share reads; a pod's first
start asks afresh. When the API does not answer, the last known object serves.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from sampan import effects
from sampan.api.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, SECRETS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client
from sampan.kubelet.errors import ConfigError

RESOURCES: dict[str, Resource] = {
    "configmap": CONFIG_MAPS, "secret": SECRETS, "persistentvolumeclaim": PERSISTENT_VOLUME_CLAIMS,
    "persistentvolume": PERSISTENT_VOLUMES,
}
FRESH_S = 2.0
LIMIT = 4096


@dataclass(slots=True)
class _Known:
    obj: Object | None
    read_at: float


class NodeObjects:
    """`get(kind, namespace, name)`; kind is a lower-case singular of RESOURCES."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, str, str], _Known] = {}
        self._reads: dict[tuple[str, str, str], asyncio.Task[Object | None]] = {}

    async def lookup(self, kind: Literal["configmap", "secret"], namespace: str, name: str) -> Object | None:
        """A ConfigMap or Secret, None if there is none. Raises ConfigError when nobody can tell."""
        return await self.get(kind, namespace, name)

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object, not older than two seconds unless it is immutable or the API is away."""
        key = (kind, namespace, name)
        known = self._known.get(key)
        if known is not None:
            immutable = known.obj is not None and known.obj.get("immutable")
            if immutable or effects.monotonic() - known.read_at < FRESH_S:
                return known.obj
        if key not in self._reads:
            self._reads[key] = asyncio.create_task(self._read(key), name=f"get {kind} {namespace}/{name}")
            self._reads[key].add_done_callback(lambda task: self._reads.pop(key, None))
        return await asyncio.shield(self._reads[key])

    async def _read(self, key: tuple[str, str, str]) -> Object | None:
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
        self._known[key] = _Known(obj, effects.monotonic())
        return obj
