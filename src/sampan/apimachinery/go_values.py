"""JSON values as Go prints them with %v: some of upstream's messages show a value this way."""

from __future__ import annotations

from typing import Any


def show(value: Any) -> str:
    """`map[a:1 b:[x y]]`"""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{show(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(show, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
