"""Carries out a fault plan: begins and ends each fault at its moment, and keeps the diary of what struck when."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Sequence

from sampan import effects
from sampan.sim.faults.fault import Fault, Target


class Campaign:
    """`run` ends when the last fault has ended. `diary` holds (time, what happened)."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.struck = 0
        self.diary: list[tuple[float, str]] = []
        numbers = itertools.count()
        self._moments = [(fault.at_s, next(numbers), fault, True) for fault in faults]
        self._moments += [(fault.at_s + fault.for_s, next(numbers), fault, False) for fault in faults]
        heapq.heapify(self._moments)
        self._active: list[Fault] = []

    async def run(self, target: Target) -> None:
        began = effects.monotonic()
        try:
            while self._moments:
                at, _, fault, begins = heapq.heappop(self._moments)
                await asyncio.sleep(max(0.0, began + at - effects.monotonic()))
                self._turn(target, fault, begins)
        finally:
            for fault in list(self._active):
                self._turn(target, fault, begins=False)

    def _turn(self, target: Target, fault: Fault, begins: bool) -> None:
        self.diary.append((effects.monotonic(), f"{'' if begins else 'end of '}{fault!r}"))
        if begins:
            self.struck += 1
            self._active.append(fault)
            fault.begin(target)
        elif fault in self._active:
            self._active.remove(fault)
            fault.end(target)
