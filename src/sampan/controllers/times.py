"""Times in API objects: RFC 3339 text to datetime and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def parse(text: str) -> datetime:
    """A `Time` or `MicroTime`. Raises ValueError."""
    return datetime.fromisoformat(text).astimezone(UTC)


def parse_or_none(text: Any) -> datetime | None:
    """A `Time`, or None for a missing one."""
    return parse(text) if text else None


def text(moment: datetime) -> str:
    """As a `Time`: whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_until(moment: datetime, now: datetime) -> float:
    """Seconds from `now` to `moment`, at least a millisecond, as a delay to look again."""
    return max((moment - now).total_seconds(), 0.001)
