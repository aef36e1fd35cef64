"""Why a node does not take a pod that was bound to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """A pod that is not taken: its status becomes Failed with this reason."""

    reason: str
    message: str
