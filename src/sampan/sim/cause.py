"""Cause: who wrote. The network notes it for each request, the store reads it at the commit, violations print it.

It travels in a context variable, so that nothing between the two needs to know of it. What the API server writes on
its own account (bootstrap, expiry of Events) has the cause `APISERVER`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Life:
    """One incarnation of a component, from its start to its end. Writes of a life that is over may still arrive."""

    component: str
    number: int = 1
    over: bool = False
    crash_point: Callable[[str], bool] | None = None
    """Asked at each write, with its phase (before, inside, after): True when the component has been killed there."""

    def __str__(self) -> str:
        return self.component if self.number == 1 else f"{self.component}#{self.number}"


@dataclass(slots=True, eq=False)
class Cause:
    """One request: whose, what, when it was sent. `lost` once its answer can no more reach who sent it."""

    life: Life
    user: str
    method: str
    path: str
    sent_at_s: float
    acknowledged: bool = False
    failed: bool = False
    query: dict[str, list[str]] = field(default_factory=dict)

    @property
    def lost(self) -> bool:
        """Whether the sender does not know, and will never be told, that this was done."""
        return not self.acknowledged and (self.failed or self.life.over)

    @property
    def by(self) -> str:
        """The controller's account, or the component's name."""
        account = self.user.removeprefix("system:serviceaccount:kube-system:")
        return account if account != self.user else self.life.component

    def __str__(self) -> str:
        return f"{self.by}{'' if self.life.number == 1 else f' (life {self.life.number})'}: {self.method} {self.path}"


APISERVER = Cause(Life("apiserver"), "system:apiserver", "", "by itself", 0.0)
CAUSE: ContextVar[Cause] = ContextVar("cause", default=APISERVER)
