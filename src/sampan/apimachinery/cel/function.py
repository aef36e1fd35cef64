"""A function of CEL that is written in Python: its name, its types and what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Function:
    """One overload. A ValueError that `run` raises is the evaluation's error. With `member`, `takes[0]` is the target.

    Types are CEL signatures: bool, int, double, string, dyn, list(dyn), kubernetes.Quantity, …
    """

    name: str
    takes: tuple[str, ...]
    returns: str
    run: Callable[..., Any]
    member: bool = False

    @property
    def overload(self) -> str:
        """A unique name."""
        return f"{self.name}({', '.join(self.takes)}){'.' if self.member else ''}"


def method(name: str, takes: tuple[str, ...], returns: str, run: Callable[..., Any]) -> Function:
    """A function called as `target.name(…)`."""
    return Function(name, takes, returns, run, member=True)
