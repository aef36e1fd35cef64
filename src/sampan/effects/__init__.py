"""The only door to what is not deterministic: time, randomness, identity.

Everything in sampan asks this module for the time of day, a monotonic time, randomness and uids. In production the
answers come from the operating system. Under the simulator (`sampan.sim`) a seeded source is installed instead, so the
same code replays byte for byte. Sleeping is not here: it goes through asyncio, whose event loop is the clock.

Guarantee: no other module of sampan imports `time`, `random`, `uuid`, `secrets` or calls `datetime.now`
(tests/tidy enforces it).
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

_UIDS_AT_ONCE = 128
_GROUPS = re.compile("(.{8})(.{4})(.{4})(.{4})(.{12})")
_RANDOM_BITS = int("ffffffffffff0fff3fffffffffffffff" * _UIDS_AT_ONCE, 16)
_VERSION_4 = int("00000000000040008000000000000000" * _UIDS_AT_ONCE, 16)


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
        self._uids: list[str] = []
        os.register_at_fork(after_in_child=self._uids.clear)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def rng(self) -> random.Random:
        return self._rng

    def uid(self) -> str:
        if not self._uids:  # many at once: a call of the system for each takes as long as all the rest
            size_bytes = _UIDS_AT_ONCE * 16
            bits = int.from_bytes(os.urandom(size_bytes)) & _RANDOM_BITS | _VERSION_4
            self._uids += _GROUPS.sub(r"\1-\2-\3-\4-\5 ", bits.to_bytes(size_bytes).hex()).split()
        return self._uids.pop()

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
    return _second.text(_source.now()) + "Z"


def micro_timestamp() -> str:
    """Wall time as a Kubernetes `MicroTime`: RFC 3339 with six decimals."""
    now = _source.now()
    return f"{_second.text(now)}.{now.microsecond:06}Z"


class _Second:
    """The text of a second, kept until it is over: a request asks several times, and isoformat takes a while."""

    def __init__(self) -> None:
        self._began = datetime.min.replace(tzinfo=UTC)
        self._text = ""

    def text(self, now: datetime) -> str:
        since = now - self._began
        if since.days or since.seconds:
            self._began = now.replace(microsecond=0)
            self._text = now.isoformat(timespec="seconds")[:19]
        return self._text


_second = _Second()


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
