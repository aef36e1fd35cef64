"""A store whose values of some resources are sealed: plain to the API server, unreadable in the file below.

It wraps any `Store`. Values that no configuration covers pass through untouched, and what knows no values (revisions,
compaction, snapshots) is the inner store's own. A value that cannot be opened is an error with its key's name, never
an absence. `reseal` writes again whatever the first provider would write otherwise: plaintext from before encryption
was on, and values under a key that was rotated out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Final, TypeAlias

from sampan.apiserver.authn.watched_file import WatchedFile
from sampan.apiserver.encryption.configuration import EncryptionConfiguration, Providers, opened, parse, stale
from sampan.apiserver.encryption.providers import MARK, CannotOpen
from sampan.apiserver.registry.keys import ROOT
from sampan.storage.store import (
    Event,
    KeyNotFound,
    KeyValue,
    Listing,
    RevisionMismatch,
    Store,
    StoreUnavailable,
    Watch,
)

_ROOT_LENGTH: Final = len(ROOT)
_KIND_SLASHES: Final = 4  # in /registry/GROUP/PLURAL/
Strings: TypeAlias = list[str]
Events: TypeAlias = list[Event]


class EncryptedStore:
    """See `storage.store.Store`. The configuration is read again when its file changes. Raises ValueError, OSError."""

    def __init__(self, inner: Store, configuration_path: str) -> None:
        self._inner = inner
        self._configuration: WatchedFile[EncryptionConfiguration] = WatchedFile(configuration_path, parse)
        self.revision = inner.revision
        self.compact = inner.compact
        self.snapshot = inner.snapshot
        self.close = inner.close

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        found = await self._inner.get(key, revision=revision)
        return found if found is None else self._plain(found)

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 0, revision: int = 0) -> Listing:
        found = await self._inner.list(prefix, start_after=start_after, limit=limit, revision=revision)
        of_one_kind = prefix.startswith(ROOT) and prefix.count("/") >= _KIND_SLASHES
        if of_one_kind and not self._providers(prefix):
            return found
        return dataclasses.replace(found, items=[self._plain(item) for item in found.items])

    async def create(self, key: str, value: bytes) -> int:
        return await self._inner.create(key, self._sealed(key, value))

    async def update(self, key: str, value: bytes, *, expected: int) -> int:
        try:
            return await self._inner.update(key, self._sealed(key, value), expected=expected)
        except RevisionMismatch as race:
            raise RevisionMismatch(self._plain(race.current)) from None

    async def delete(self, key: str, *, expected: int) -> int:
        try:
            return await self._inner.delete(key, expected=expected)
        except RevisionMismatch as race:
            raise RevisionMismatch(self._plain(race.current)) from None

    def watch(self, prefix: str, *, after: int) -> Watch:
        return _OpeningWatch(self, self._inner.watch(prefix, after=after))

    async def reseal(self) -> int:
        """Write again what the first provider would write otherwise; how many values that were."""
        count = 0
        for prefix in self._prefixes():
            for item in (await self._inner.list(prefix)).items:
                providers = self._providers(item.key)
                if not stale(providers, item.value):
                    continue
                fresh = providers[0].seal(item.key, self._plain(item).value)
                try:
                    await self._inner.update(item.key, fresh, expected=item.mod_revision)
                    count += 1
                except (RevisionMismatch, KeyNotFound):
                    pass  # whoever was faster has sealed it
        return count

    def _prefixes(self) -> Strings:
        """Where sealed values may be."""
        found: Strings = []
        for entry in self._configuration.get().entries:
            for name in entry.resources:
                plural, _, group = name.partition(".")
                if name == "*.*":
                    return [ROOT]
                found.append(f"{ROOT}{group or 'core'}/" + ("" if plural == "*" else f"{plural}/"))
        return found

    def _providers(self, key: str) -> Providers:
        group, _, rest = key[_ROOT_LENGTH:].partition("/")
        plural, _, _ = rest.partition("/")
        return self._configuration.get().providers("" if group == "core" else group, plural)

    def _sealed(self, key: str, value: bytes) -> bytes:
        providers = self._providers(key)
        return providers[0].seal(key, value) if providers else value

    def _plain(self, found: KeyValue) -> KeyValue:
        value = found.value
        providers = self._providers(found.key)
        if not providers and not value.startswith(MARK):
            return found
        try:
            return found._replace(value=opened(providers, found.key, value))
        except CannotOpen as error:
            raise StoreUnavailable(f"encryption at rest: {error}") from error

    def opened(self, batch: Events) -> Events:
        """A batch of events with plain values; the same one where nothing was sealed."""
        changed = [self._opened(event) for event in batch]
        return changed if any(new is not old for new, old in zip(changed, batch, strict=True)) else batch

    def _opened(self, event: Event) -> Event:
        kv, previous = event.kv, event.previous
        providers = self._providers(kv.key)
        if not providers and not kv.value.startswith(MARK) and (
            previous is None or not previous.value.startswith(MARK)
        ):
            return event
        kv = self._plain(kv)
        previous = previous if previous is None else self._plain(previous)
        if kv is event.kv and previous is event.previous:
            return event
        return Event(event.kind, kv, previous)


class _OpeningWatch:
    """A watch whose values come out plain."""

    def __init__(self, store: EncryptedStore, inner: Watch) -> None:
        self._store = store
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[list[Event]]:
        async for batch in self._inner:
            yield self._store.opened(batch)

    async def __aenter__(self) -> _OpeningWatch:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._inner.__aexit__(*exc)


def wrap(store: Store, configuration_path: str) -> Store:
    """The store as the API server is to use it: sealed when a configuration is given."""
    return EncryptedStore(store, configuration_path) if configuration_path else store
