"""Effects from a seed and a given clock, for the simulator: two runs with the same seed see the same values.

Uids and secrets have generators of their own, so that one more random decision somewhere does not rename everything.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

Generator: TypeAlias = random.Random
"""What draws numbers; only this package makes one."""

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class SeededSource:
    """See `effects.Source`. `clock()` gives seconds; the wall clock shows `epoch` plus them plus `clock_offset`."""

    def __init__(self, seed: int, clock: Callable[[], float], epoch: datetime = EPOCH) -> None:
        self.monotonic = clock
        """It is asked a dozen times for each write, so it is the clock itself."""
        self._epoch = epoch
        self._rng = random.Random(f"{seed}/decisions")
        self._uids = random.Random(f"{seed}/uids")
        self._secrets = random.Random(f"{seed}/secrets")
        self.clock_offset = timedelta()
        """Change it to let the wall clock jump."""
        self._moment = (0.0, timedelta())
        self._now = epoch
        """The wall clock as it was asked last: on virtual time it is asked often at the same moment."""

    def now(self) -> datetime:
        moment = self.monotonic(), self.clock_offset
        if moment != self._moment:
            self._moment = moment
            self._now = self._epoch + timedelta(seconds=moment[0]) + moment[1]
        return self._now

    def rng(self) -> random.Random:
        return self._rng

    def uid(self) -> str:
        return str(uuid.UUID(int=self._uids.getrandbits(128), version=4))

    def secret(self, size_bytes: int) -> bytes:
        return self._secrets.randbytes(size_bytes)


def generator(*parts: object) -> Generator:
    """A generator of its own for a purpose: the same parts give the same numbers, others independent ones."""
    return random.Random("/".join(map(str, parts)))
