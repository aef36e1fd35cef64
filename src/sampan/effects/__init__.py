"""The only door to what is not deterministic: time, randomness, identity.

Everything in sampan asks this module for the time of day, a monotonic time, randomness and uids. In production the
answers come from the operating system. Under the simulator (`sampan.sim`) a seeded source is installed instead, so the
same code replays byte for byte. Sleeping is not here: it goes through asyncio, whose event loop is the clock.

Guarantee: no other module of sampan imports `time`, `random`, `uuid`, `secrets` or calls `datetime.now`
(tests/tidy enforces it).
"""

from __future__ import annotations

import contextlib
import random
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol


class Source(Protocol):
    """Where non-deterministic values come from."""

    def now(self) -> datetime:
        """Wall time, timezone-aware UTC."""

    def monotonic(self) -> float:
        """Seconds that never go backwards; only differences mean anything."""

    def rng(self) -> random.Random:
        """The source's random number generator."""

    def uid(self) -> str:
        """A fresh RFC 4122 UUID, as an object's `metadata.uid`."""

    def secret(self, size_bytes: int) -> bytes:
        """Unpredictable bytes, for tokens and keys."""


class SystemSource:
    """The operating system's clocks and entropy."""

    def __init__(self) -> None:
        self._rng = random.Random()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def rng(self) -> random.Random:
        return self._rng

    def uid(self) -> str:
        text = secrets.token_hex(16)  # uuid4() as text takes three times as long
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"

    def secret(self, size_bytes: int) -> bytes:
        return secrets.token_bytes(size_bytes)


_source: Source = SystemSource()


@contextlib.contextmanager
def use(source: Source) -> Iterator[None]:
    """Install `source` for the whole process until the block ends; for the simulator and for unit tests."""
    global _source
    previous, _source = _source, source
    try:
        yield
    finally:
        _source = previous


def now() -> datetime:
    """Wall time, timezone-aware UTC."""
    return _source.now()


def timestamp() -> str:
    """Wall time as a Kubernetes `Time`: RFC 3339, whole seconds, e.g. `2026-01-02T03:04:05Z`."""
    return _source.now().isoformat(timespec="seconds")[:19] + "Z"  # strftime takes five times as long


def micro_timestamp() -> str:
    """Wall time as a Kubernetes `MicroTime`: RFC 3339 with six decimals."""
    return _source.now().isoformat(timespec="microseconds")[:26] + "Z"


def monotonic() -> float:
    """Seconds that never go backwards; only differences mean anything."""
    return _source.monotonic()


def rng() -> random.Random:
    """Randomness that need not be secret: jitter, name suffixes, tie-breaking."""
    return _source.rng()


def uid() -> str:
    """A fresh RFC 4122 UUID, as an object's `metadata.uid`."""
    return _source.uid()


def secret(size_bytes: int) -> bytes:
    """Unpredictable bytes, for tokens and keys."""
    return _source.secret(size_bytes)
