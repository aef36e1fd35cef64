"""Crash and pull back-off: doubling waits, forgotten after a long quiet time (as client-go's flowcontrol.Backoff)."""

from __future__ import annotations

from dataclasses import dataclass

from sampan import effects


@dataclass(slots=True)
class _Entry:
    wait_s: float
    updated: float


class Backoff:
    """Keys that fail wait `initial_s`, then twice as long each time up to `limit_s`; quiet for 2 × limit_s resets."""

    def __init__(self, initial_s: float, limit_s: float) -> None:
        self._initial_s = initial_s
        self._limit_s = limit_s
        self._entries: dict[str, _Entry] = {}

    def next(self, key: str) -> None:
        """Note a try."""
        now = effects.monotonic()
        entry = self._entries.get(key)
        if entry is None or now - entry.updated > 2 * self._limit_s:
            self._entries[key] = _Entry(self._initial_s, now)
        else:
            entry.wait_s = min(entry.wait_s * 2, self._limit_s)
            entry.updated = now

    def wait_s(self, key: str) -> float:
        """How long the present wait is in whole, 0 for a key that never failed."""
        entry = self._entries.get(key)
        return entry.wait_s if entry is not None else 0.0

    def remaining_s(self, key: str, since_s: float) -> float:
        """How much of it is left when the failure was `since_s` seconds ago; 0 or less: try now."""
        entry = self._entries.get(key)
        if entry is None:
            return 0.0
        failed_at = effects.monotonic() - since_s
        if failed_at - entry.updated > 2 * self._limit_s:
            return 0.0
        return entry.wait_s - since_s

    def remaining_since_update_s(self, key: str) -> float:
        """How much is left counted from the last try."""
        entry = self._entries.get(key)
        return 0.0 if entry is None else entry.wait_s - (effects.monotonic() - entry.updated)

    def forget(self, prefix: str) -> None:
        """Drop every key that starts with `prefix`."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]
