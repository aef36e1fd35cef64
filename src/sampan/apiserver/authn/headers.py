"""Header values that may repeat, and headers that share a prefix.

A listener gives repeated headers joined with commas, as RFC 9110 (5.3) allows; `listed` takes them apart. Headers that
say who somebody is are another matter: a group may have a comma in its name, and must not become two. Those the
listener joins with a line's end, which no value can have. Header names are compared without regard to case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

IDENTITY: Final = ("impersonate-", "x-remote-")
"""What the names of headers begin with that say who somebody is."""
SEPARATOR: Final = "\n"


def listed(headers: Mapping[str, str], name: str) -> tuple[str, ...]:
    """All values of a header, in order."""
    get_all = getattr(headers, "getall", None)
    values: Iterable[str] = get_all(name, ()) if get_all is not None else (headers.get(name, ""),)
    return tuple(part for value in values for part in (piece.strip() for piece in value.split(",")) if part)


def values(headers: Mapping[str, str], name: str) -> tuple[str, ...]:
    """All values of a header that says who somebody is, each as it was sent."""
    return tuple(part for value in headers.get(name, "").split(SEPARATOR) if (part := value.strip()))


def prefixed(headers: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    """The rest of each header name that starts with `prefix`, in lower case, each once, and the name itself."""
    seen = set()
    for name in headers:
        lower = name.lower()
        if lower.startswith(prefix) and lower not in seen:
            seen.add(lower)
            yield lower[len(prefix):], name
