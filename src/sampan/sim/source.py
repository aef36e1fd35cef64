"""The effects of a simulated world: everything from one seed, both clocks from the virtual event loop."""

from __future__ import annotations

import asyncio
from datetime import datetime

from sampan.effects import seeded
from sampan.effects.seeded import EPOCH

__all__ = ["EPOCH", "SeededSource"]


class SeededSource(seeded.SeededSource):
    """`effects.Source` on the time of an event loop."""

    def __init__(self, seed: int, loop: asyncio.AbstractEventLoop, epoch: datetime = EPOCH) -> None:
        super().__init__(seed, loop.time, epoch)
