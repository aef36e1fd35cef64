"""Durations as Go and kubectl write them: `90s`, `2m`, `1h30m`."""

from __future__ import annotations

import re

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TERM = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def seconds(text: str) -> float:
    """The duration in seconds; a bare number is seconds. Raises ValueError.

    >>> seconds("1m30s")
    90.0
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not text or _TERM.sub("", text):
        raise ValueError(f'"{text}" is no duration: write 90s, 2m or 1h30m')
    return sum(float(number) * _UNITS_S[unit] for number, unit in _TERM.findall(text))
