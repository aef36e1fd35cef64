"""Backoff: how long to wait before the next attempt, doubling from attempt to attempt, with jitter.

A success that lasts resets it: the first failure after `reset_s` quiet seconds waits the shortest time again.
"""

from __future__ import annotations

from sampan import effects


class Backoff:
    """`next()` is the delay before another attempt, between one and two times base × 2ⁿ, at most twice `limit_s`."""

    def __init__(self, base_s: float = 0.2, limit_s: float = 5.0, reset_s: float = 60.0) -> None:
        self._base_s = base_s
        self._limit_s = limit_s
        self._reset_s = reset_s
        self._failures = 0
        self._last = effects.monotonic()

    def next(self) -> float:
        """Count a failure; seconds to wait."""
        now = effects.monotonic()
        if now - self._last > self._reset_s:
            self._failures = 0
        self._last = now
        delay: float = min(self._base_s * 2**self._failures, self._limit_s)
        self._failures = min(self._failures + 1, 30)
        return delay * (1 + effects.rng().random())

    def succeeded(self) -> None:
        """The attempt worked: the next failure starts anew."""
        self._failures = 0
