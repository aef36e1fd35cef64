"""The effects of a simulated world: everything from one seed, the wall clock from the event loop."""

from __future__ import annotations

import asyncio
import random
import uuid
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class SeededSource:
    """See `sampan.effects.Source`. Time is the loop's, counted from `epoch`; `clock_offset` is a wall clock's jump.

    Uids and secrets have generators of their own, so that one more random decision somewhere does not rename
    everything.
    """

    def __init__(self, seed: int, loop: asyncio.AbstractEventLoop, epoch: datetime = EPOCH) -> None:
        self._loop = loop
        self._epoch = epoch
        self._rng = random.Random(f"{seed}/decisions")
        self._uids = random.Random(f"{seed}/uids")
        self._secrets = random.Random(f"{seed}/secrets")
        self.clock_offset = timedelta()

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self._loop.time()) + self.clock_offset

    def monotonic(self) -> float:
        return self._loop.time()

    def rng(self) -> random.Random:
        return self._rng

    def uid(self) -> str:
        return str(uuid.UUID(int=self._uids.getrandbits(128), version=4))

    def secret(self, size_bytes: int) -> bytes:
        return self._secrets.randbytes(size_bytes)
