"""The claims that the scheduler knows: the API server's, and what it is about to make of them.

Between the decision and the API server's answer an allocation is *pending*; after the answer, until the copy of the
claims has caught up, what was answered counts. So no device is given out twice, however late the watch is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from sampan.apimachinery.object import Object, dig, key_of, resource_version_of, uid_of
from sampan.client.lister import Lister
from sampan.scheduler.devices.allocator import allocated, shares
from sampan.scheduler.devices.device import DeviceID


class Claims:
    """All ResourceClaims, by `namespace/name`."""

    def __init__(self, lister: Lister) -> None:
        self._lister = lister
        self._pending: dict[str, Object] = {}
        self._answered: dict[str, Object] = {}

    def get(self, key: str) -> Object | None:
        """The newest that is known of a claim; a pending allocation is not shown."""
        return self._newest(self._lister.get_by_key(key), key)

    def is_pending(self, claim: Object) -> bool:
        return uid_of(claim) in self._pending

    def pend(self, claim: Object) -> None:
        """A claim with the allocation that it is to get."""
        self._pending[uid_of(claim)] = claim

    def restore(self, claim: Object) -> None:
        """It does not get it after all, or has it."""
        self._pending.pop(uid_of(claim), None)

    def answered(self, claim: Object) -> None:
        """What the API server made of a claim."""
        self._answered[key_of(claim)] = claim
        self.restore(claim)

    def taken(self) -> tuple[frozenset[DeviceID], Mapping[DeviceID, Mapping[str, int]]]:
        """The devices that are allocated, or about to be; and of those that are shared, what all shares consume."""
        alone: set[DeviceID] = set()
        consumed: dict[DeviceID, Counter[str]] = {}
        for claim in self._all():
            devices = dig(claim, "status", "allocation", "devices") or {}
            alone.update(allocated(devices))
            for device, amounts in shares(devices):
                consumed.setdefault(device, Counter()).update(amounts)
        return frozenset(alone), consumed

    def _all(self) -> Iterator[Object]:
        yield from self._pending.values()
        seen = set()
        for claim in self._lister.list():
            seen.add(key_of(claim))
            yield self._newest(claim, key_of(claim)) or claim
        for key in [key for key in self._answered if key not in seen]:
            del self._answered[key]  # deleted meanwhile

    def _newest(self, listed: Object | None, key: str) -> Object | None:
        answered = self._answered.get(key)
        if answered is None:
            return listed
        if listed is None or uid_of(listed) != uid_of(answered) or _version(listed) >= _version(answered):
            del self._answered[key]
            return listed
        return answered


def _version(claim: Object) -> int:
    text = resource_version_of(claim)
    return int(text) if text.isdigit() else 0
