"""How quick the disk is: whether a commit is waited for in place or handed to a thread.

To hand a commit to a thread and to be woken by it costs about 0.2 ms of CPU; many disks (and their caches) have the
commit on record in less. Then it is cheaper, and for everybody else not slower, to let the event loop wait for it. So
the time that commits take is averaged, and while the average is short they are done in place. A slow disk is noticed at
its first commits and then asked again once in a while. Many writes at once take long on any disk: the thread has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sampan import effects

QUICK_S: Final = 0.0006
LONE_S: Final = 0.002
"""For a write that nobody joins: the loop has little else to do, and to hand it over costs most."""
PROBE_EVERY: Final = 64
MANY: Final = 32
_WEIGHT: Final = 1 / 8


class Pace:
    """Of one disk. Only commits in place are measured: a thread's time holds waiting for the interpreter."""

    def __init__(self) -> None:
        self.average_s = 0.0
        self._since_probe = 0

    def in_place(self, writes: int) -> bool:
        """Whether the next commit, of so many writes, is to be done in place."""
        if writes > MANY:
            return False
        if self.average_s <= (LONE_S if writes == 1 else QUICK_S):
            return True
        self._since_probe += 1
        if self._since_probe < PROBE_EVERY:
            return False
        self._since_probe = 0
        return True

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around a commit in place."""
        began_s = effects.monotonic()
        yield
        self.note(effects.monotonic() - began_s)

    def note(self, took_s: float) -> None:
        self.average_s += (took_s - self.average_s) * _WEIGHT
