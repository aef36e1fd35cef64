"""Node ports that API servers on one store are about to give to Services, so that no two of them give away the same.

Addresses have IPAddress objects for that; ports have nothing that clients could see. A server knows what is taken from
its watch cache and its own reservations, and cannot see those of another server. So before a Service with a new node
port is written, a key of the store that is named after the port is created: that succeeds once. With it held, the
server lets its cache catch up and looks again, for whoever held the key before has written a Service or given up. The
key is deleted when the Service is written or refused.

A claim whose server died may be taken over after `EXPIRES_S`. Nothing else reads these keys: what a Service has is in
the Service.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from sampan import effects
from sampan.apiserver.registry.hub import Hub
from sampan.apiserver.registry.keys import ROOT
from sampan.storage.store import KeyExists, KeyNotFound, RevisionMismatch, Store, StoreError

log = logging.getLogger(__name__)

Port: TypeAlias = tuple[str, int | str]
"""(protocol, node port)"""

EXPIRES_S: Final = 180.0
"""Longer than any request may take."""
PREFIX: Final = f"{ROOT}core/nodeportclaims/"


class PortClaims:
    """The claims of one server."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        self._held: dict[Port, int] = {}
        self._releasing: set[asyncio.Task[None]] = set()

    async def claim(self, wanted: Iterable[Port]) -> set[Port]:
        """Claim all of these, and wait until the cache shows what was written before. Those that others claim."""
        lost = {port for port in sorted(wanted, key=str) if not await self._claim(port)}
        await self._hub.fresh()
        return lost

    def release(self, claims: Iterable[Port]) -> None:
        """Those of them that are held, soon."""
        held = {port: revision for port in claims if (revision := self._held.pop(port, 0))}
        if held:
            task = asyncio.create_task(self._release(held), name="release of node ports")
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    async def _claim(self, port: Port) -> bool:
        key, value = _key(port), effects.timestamp().encode()
        try:
            self._held[port] = await self._store.create(key, value)
            return True
        except KeyExists:
            found = await self._store.get(key)
        if found is None or not _is_expired(found.value):
            return False
        try:
            self._held[port] = await self._store.update(key, value, expected=found.mod_revision)
        except (KeyNotFound, RevisionMismatch):
            return False
        return True

    async def _release(self, held: dict[Port, int]) -> None:
        for port, revision in held.items():
            try:
                await self._store.delete(_key(port), expected=revision)
            except (KeyNotFound, RevisionMismatch):
                continue  # it had expired, and another has taken it over
            except StoreError as error:
                log.warning("the claim on %s port %s stays until it expires: %s", *port, error)


def _key(port: Port) -> str:
    protocol, number = port
    return f"{PREFIX}{protocol.lower()}-{number}"


def _is_expired(value: bytes) -> bool:
    return effects.now() - datetime.fromisoformat(value.decode()) > timedelta(seconds=EXPIRES_S)
