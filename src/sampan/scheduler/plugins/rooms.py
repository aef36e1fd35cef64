"""Rooms: for which pods room is being made, that is, whose victims still run as if nobody had asked them to end.

Until then the pod is not tried again (KEP-4832): it would find the node as full as before and choose more victims. A
victim counts as asked once its deletion is seen, or it is gone, or deleting it failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

_SWEPT_FROM = 256


@dataclass(slots=True)
class _Room:
    uid: str
    victims: dict[str, PodInfo]
    is_asking: bool = True
    """Whether deletions are still to be sent."""


class Rooms:
    """By preemptor."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._rooms: dict[str, _Room] = {}
        self._swept_at = _SWEPT_FROM

    def open(self, preemptor: PodInfo, victims: Iterable[PodInfo]) -> None:
        """Deletions begin."""
        if len(self._rooms) >= self._swept_at:
            self._rooms = {key: room for key, room in self._rooms.items() if self._is_open(room)}
            self._swept_at = max(_SWEPT_FROM, 2 * len(self._rooms))
        self._rooms[preemptor.key] = _Room(preemptor.uid, {victim.key: victim for victim in victims})

    def spare(self, preemptor: PodInfo, victim: PodInfo) -> None:
        """A victim could not be deleted."""
        room = self._rooms.get(preemptor.key)
        if room is not None:
            room.victims.pop(victim.key, None)

    def asked(self, preemptor: PodInfo) -> None:
        """All deletions have been sent."""
        room = self._rooms.get(preemptor.key)
        if room is not None:
            room.is_asking = False

    def is_open(self, preemptor: PodInfo) -> bool:
        """Whether the pod has to wait."""
        room = self._rooms.get(preemptor.key)
        if room is None:
            return False
        if room.uid == preemptor.uid and self._is_open(room):
            return True
        del self._rooms[preemptor.key]
        return False

    def _is_open(self, room: _Room) -> bool:
        return room.is_asking or any(map(self._runs, room.victims.values()))

    def _runs(self, victim: PodInfo) -> bool:
        placed = self._snapshot.placed().get(victim.key)
        return placed is not None and placed.pod.uid == victim.uid and not placed.pod.terminating
