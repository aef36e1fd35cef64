"""Times and durations as Kubernetes writes them: RFC 3339 in objects, `5d3h` in tables, `1h2m3.5s` in fields.

`human_duration` is k8s.io/apimachinery's HumanDuration: at most two units, coarser with age. `parse_go_duration` and
`format_go_duration` are Go's, as metav1.Duration and many flags use them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

UNKNOWN: Final = "<unknown>"

_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]+))?(?:[Zz]|([+-][0-9]{2}:[0-9]{2}))"
)
_GO_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_NANOS: Final = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}


def parse_time(text: str) -> datetime:
    """A `Time` or `MicroTime` in UTC. Raises ValueError. Digits finer than a microsecond are dropped."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    day, clock, fraction, zone = match.groups()
    parsed = datetime.fromisoformat(f"{day}T{clock}.{fraction or 0}{zone or '+00:00'}")
    try:
        return parsed if zone is None else parsed.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is outside of the years 1 to 9999") from None


def format_time(moment: datetime) -> str:
    """As a `Time`: whole seconds, UTC."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")[:19] + "Z"


def format_micro_time(moment: datetime) -> str:
    """As a `MicroTime`: six decimals, UTC."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def age(timestamp: str | None, now: datetime) -> str:
    """How long ago, for a table: `<unknown>` without a timestamp."""
    if not timestamp:
        return UNKNOWN
    try:
        return human_duration((now - parse_time(timestamp)).total_seconds())
    except ValueError:
        return UNKNOWN


def human_duration(seconds: float) -> str:
    """`5s`, `2m10s`, `5d3h`, `3y45d`; `<invalid>` when more than a second negative."""
    if seconds <= -2:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    whole = int(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 2920:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(major: int, major_unit: str, minor: int, minor_unit: str) -> str:
    return f"{major}{major_unit}{minor}{minor_unit}" if minor else f"{major}{major_unit}"


def parse_go_duration(text: str) -> timedelta:
    """Go's `time.ParseDuration`, to the microsecond. Raises ValueError with Go's message."""
    return timedelta(microseconds=parse_go_nanoseconds(text) / 1000)


def parse_go_nanoseconds(text: str) -> int:
    """Go's `time.ParseDuration`, exactly. Raises ValueError with Go's message."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total, position = 0, 0
    while position < len(rest):
        match = _GO_PART.match(rest, position)
        if match is None or not (match.group(1) or match.group(2)):
            raise ValueError(_go_complaint(text, rest[position:]))
        whole, fraction, unit = match.group(1) or "0", match.group(2) or "", _NANOS[match.group(3)]
        total += int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
        position = match.end()
    if total >= 2**63:
        raise ValueError(f'time: invalid duration "{text}"')
    return -total if text.startswith("-") else total


def _go_complaint(text: str, rest: str) -> str:
    number = re.match(r"[0-9]*\.?[0-9]*", rest)
    digits = number.group() if number else ""
    if not digits.strip("."):
        return f'time: invalid duration "{text}"'
    unit = re.match(r"[^0-9.]*", rest[len(digits):])
    found = unit.group() if unit else ""
    if not found:
        return f'time: missing unit in duration "{text}"'
    return f'time: unknown unit "{found}" in duration "{text}"'


def format_go_duration(duration: timedelta) -> str:
    """Go's `Duration.String()`: `1h2m3.5s`, `150ms`, `0s`."""
    micros = round(duration / timedelta(microseconds=1))
    sign, micros = ("-" if micros < 0 else ""), abs(micros)
    if micros == 0:
        return "0s"
    if micros < 1000:
        return f"{sign}{micros}µs"
    if micros < 1_000_000:
        return f"{sign}{_trimmed(micros, 1000)}ms"
    minutes, rest = divmod(micros, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{_trimmed(rest, 1_000_000)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _trimmed(number: int, unit: int) -> str:
    whole, part = divmod(number, unit)
    decimals = f"{part:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{decimals}" if decimals else str(whole)
