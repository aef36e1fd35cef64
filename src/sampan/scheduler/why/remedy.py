"""Remedy: one change that would stop one plugin from refusing a node.

`weight` says how much is asked for, so that changes can be compared: a toleration or a label costs little, room on a
node as much as is missing, moving other pods more, and what nobody can change at will most. `pod` and `node` apply the
change to copies of the two documents, where it is a change of one of them; then it can be tried out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sampan.apimachinery.object import Object

Edit: TypeAlias = Callable[[Object], None]

SMALL, MEDIUM, LARGE, BEYOND = 1.0, 4.0, 8.0, 16.0


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do, in the words of an instruction."""

    text: str
    weight: float
    pod: Edit | None = None
    node: Edit | None = None
