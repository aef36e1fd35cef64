"""Regular expressions that users bring (schemas, CEL), matched in linear time by RE2, the syntax that Go has.

Python's own engine backtracks: a pattern of twenty characters in a custom resource could keep the server busy for
hours. RE2 is imported at first use.
"""

from __future__ import annotations

import functools
from typing import Protocol, cast


class RegexError(ValueError):
    """Not a regular expression, with RE2's complaint."""


class Found(Protocol):
    """As `re.Match`."""

    def group(self, index: int = 0) -> str: ...
    def start(self) -> int: ...
    def end(self) -> int: ...
    def groups(self) -> tuple[str | None, ...]: ...


class Pattern(Protocol):
    """As `re.Pattern`, as far as it is used."""

    def search(self, text: str) -> Found | None: ...


@functools.lru_cache(maxsize=1024)
def compile_regex(pattern: str) -> Pattern:
    """Raises RegexError."""
    import re2  # type: ignore[import-untyped,unused-ignore]

    options = re2.Options()
    options.log_errors = False
    try:
        return cast(Pattern, re2.compile(pattern, options=options))
    except re2.error as error:
        text = error.args[0] if error.args else ""
        raise RegexError(text.decode() if isinstance(text, bytes) else str(text)) from None
