"""Header values that may repeat, and headers that share a prefix.

A listener gives repeated headers either as a multi-dict or joined with commas, as RFC 9110 (5.3) allows; header names
are compared without regard to case here, whatever the listener made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


def listed(headers: Mapping[str, str], name: str) -> tuple[str, ...]:
    """All values of a header, in order."""
    get_all = getattr(headers, "getall", None)
    values: Iterable[str] = get_all(name, ()) if get_all is not None else (headers.get(name, ""),)
    return tuple(part for value in values for part in (piece.strip() for piece in value.split(",")) if part)


def prefixed(headers: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    """The rest of each header name that starts with `prefix`, in lower case, each once, and the name itself."""
    seen = set()
    for name in headers:
        lower = name.lower()
        if lower.startswith(prefix) and lower not in seen:
            seen.add(lower)
            yield lower[len(prefix):], name
