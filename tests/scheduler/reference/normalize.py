"""Scores from 0 to 100: the largest becomes 100, or, reversed, 0."""

from __future__ import annotations


def share(raw: dict[str, int]) -> dict[str, int]:
    most = max(raw.values(), default=0)
    return {node: 100 * score // most if most else 0 for node, score in raw.items()}


def reversed_share(raw: dict[str, int]) -> dict[str, int]:
    return {node: 100 - score for node, score in share(raw).items()}
