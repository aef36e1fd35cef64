"""How many connections a server holds at once, and who gives way when there are too many.

A newcomer for whom there is no place takes that of the connection which has been idle longest: its client connects
again when it next has something to ask. If all are busy, the newcomer's request is answered with 429, so that a client
knows to come back; and when many such are being told so, further ones are closed at once, before they cost a handshake.
"""

from __future__ import annotations

import logging
import resource
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

log = logging.getLogger(__name__)
_OTHER_FILES: Final = 128
"""Descriptors that are kept for the store, the audit log, webhooks and kubelets."""
_TOLD_AT_ONCE: Final = 64


def _openable(wanted: int) -> int:
    """How many of the wanted files the process may open; it raises its own limit if it can, as Go programs do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return raised


class Occupant(Protocol):
    """A connection."""

    def give_way(self) -> None:
        """Close; it is idle."""


T = TypeVar("T", bound=Occupant)


class Places(Generic[T]):
    """`limit` places; fewer if the process cannot be let open as many files."""

    def __init__(self, limit: int) -> None:
        self.limit = max(1, min(limit, _openable(limit + _OTHER_FILES) - _OTHER_FILES))
        self.refused = 0
        """How many connections found no place."""
        self._taken: dict[T, None] = {}
        self._idle: dict[T, None] = {}
        self._told: dict[T, None] = {}

    @property
    def is_hopeless(self) -> bool:
        """Whether a newcomer would not even be told that there is no place."""
        return len(self._told) >= _TOLD_AT_ONCE

    def take(self, newcomer: T) -> bool:
        """A place for one that is idle yet; False if there is none, and then it only may tell its client so."""
        if len(self._taken) >= self.limit and not self._make_room():
            if not self.refused:
                log.warning("all %d connections are busy; new ones are refused", self.limit)
            self.refused += 1
            self._told[newcomer] = None
            return False
        self._taken[newcomer] = None
        self._idle[newcomer] = None
        return True

    def _make_room(self) -> bool:
        longest_idle = next(iter(self._idle), None)
        if longest_idle is None:
            return False
        self.leave(longest_idle)
        longest_idle.give_way()
        return True

    def busy(self, occupant: T) -> None:
        """It has a request to answer."""
        self._idle.pop(occupant, None)

    def idle(self, occupant: T) -> None:
        """It has answered."""
        if occupant in self._taken:
            self._idle[occupant] = None

    def leave(self, occupant: T) -> None:
        """It is gone, or will be. Idempotent."""
        self._taken.pop(occupant, None)
        self._idle.pop(occupant, None)
        self._told.pop(occupant, None)

    def __len__(self) -> int:
        return len(self._taken)

    def __iter__(self) -> Iterator[T]:
        """All that are open, those without a place too."""
        return iter([*self._taken, *self._told])
