"""Forgets Events an hour after they last happened (upstream's --event-ttl), or they would pile up without end.

An Event's age counts from its creation or from the last time it was seen again, whichever is later; a time that lies
in the future, which any client may write, does not keep it. Only the state that was judged is deleted: an Event that
happens again meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from sampan import effects
from sampan.api.resources import CORE_EVENTS
from sampan.apimachinery.object import Object, dig
from sampan.apiserver.registry.entry import Entry
from sampan.apiserver.registry.hub import Hub
from sampan.apiserver.registry.periodic import Periodic
from sampan.apiserver.registry.selection import Selection
from sampan.storage.store import KeyNotFound, RevisionMismatch, Store

INTERVAL_S: Final = 60.0
_SEEN: Final = (
    ("metadata", "creationTimestamp"), ("lastTimestamp",), ("eventTime",), ("series", "lastObservedTime"),
)
_Judged: TypeAlias = tuple[int, datetime]
"""A revision, and when it last happened."""


class EventExpiry:
    """The loop; `start` and `stop` it. A `ttl_s` of 0 keeps everything."""

    def __init__(self, store: Store, hub: Hub, ttl_s: float) -> None:
        self._store = store
        self._hub = hub
        self._ttl = timedelta(seconds=ttl_s)
        self._seen: dict[str, _Judged] = {}
        """What was found the last time, so that an event is looked into once."""
        self._loop = Periodic("expiry of events", self.step, INTERVAL_S)

    def start(self) -> None:
        if self._ttl:
            self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def step(self) -> None:
        """Delete what has expired by now."""
        cache = self._hub.cache(CORE_EVENTS)
        if cache is None:
            return
        now = effects.now()
        oldest, known = now - self._ttl, self._seen
        self._seen = {}
        expired: list[tuple[str, int]] = []
        for entry in cache.select(Selection()):
            judged = known.get(entry.key)
            if judged is None or judged[0] != entry.revision:
                judged = self._judge(entry, now)
            else:
                self._seen[entry.key] = judged
            if judged[1] < oldest:
                expired.append((cache.prefix + entry.key, entry.revision))
        for key, revision in expired:
            try:
                await self._store.delete(key, expected=revision)
            except (KeyNotFound, RevisionMismatch):
                continue  # it is gone, or has happened again

    def _judge(self, entry: Entry, now: datetime) -> _Judged:
        """Look into an Event, and remember what was found unless that may change by itself."""
        times = list(_times(entry.object()))
        judged = entry.revision, last_seen(times, now)
        if all(time <= now for time in times):  # a time to come may be believed later
            self._seen[entry.key] = judged
        return judged


def last_seen(times: Iterable[datetime], now: datetime) -> datetime:
    """When an Event last happened, as far as its times can be believed at `now`."""
    return max((time for time in times if time <= now), default=now)


def _times(event: Object) -> Iterator[datetime]:
    for path in _SEEN:
        text = dig(event, *path)
        if text:
            yield datetime.fromisoformat(text)
