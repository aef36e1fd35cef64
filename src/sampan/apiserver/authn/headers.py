"""Header values that may repeat: a listener joins repeated headers with commas, as RFC 9110 (5.3) allows."""

from __future__ import annotations


def listed(value: str) -> tuple[str, ...]:
    """The values of a repeated header."""
    return tuple(part for part in (part.strip() for part in value.split(",")) if part)
