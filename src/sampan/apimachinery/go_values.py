"""Values as Go prints them, which some of upstream's messages show."""

from __future__ import annotations

from typing import Any


def quoted(text: str) -> str:
    """As Go's `%q` shows a plain string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def show(value: Any) -> str:
    """With `%v`: `map[a:1 b:[x y]]`"""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{show(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(show, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
