"""Observer: hangs on the store, feeds the world with each commit and asks the invariants that it concerns.

The first violation is kept; from then on nothing is checked, since one wrong thing leads to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sampan.sim.cause import Cause
from sampan.sim.world import Change, GroupResource, World
from sampan.storage.store import Event


@dataclass(frozen=True, slots=True)
class Violation:
    """Which invariant does not hold, in what words, at which write, about which objects (their keys)."""

    invariant: str
    message: str
    at_s: float
    revision: int = 0
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.invariant}: {self.message}"


class Invariant(Protocol):
    """`resources`: whose changes concern it. `check` yields what is wrong, each in one sentence."""

    @property
    def name(self) -> str: ...
    @property
    def resources(self) -> Sequence[GroupResource]: ...
    def check(self, world: World, change: Change) -> Iterator[str]: ...


OnViolation: TypeAlias = Callable[[Violation], None]


class Observer:
    """See above. An invariant that concerns every kind lists the resource `("*", "*")`."""

    def __init__(self, world: World, invariants: Sequence[Invariant], on_violation: OnViolation) -> None:
        self.world = world
        self.checks = 0
        self.violation: Violation | None = None
        self._on_violation = on_violation
        self._invariants = invariants
        self._concerned: dict[GroupResource, list[Invariant]] = {}

    def committed(self, event: Event, cause: Cause) -> None:
        """The store's listener."""
        change = self.world.take(event, cause)
        if change is None or self.violation is not None:
            return
        concerned = self._concerned.get(change.resource)
        if concerned is None:
            concerned = self._concerned[change.resource] = self._of(change.resource)
        self.checks += len(concerned)
        for invariant in concerned:
            for message in invariant.check(self.world, change):
                self.report(Violation(invariant.name, message, change.at_s, change.revision, (change.key,)))
                return

    def _of(self, resource: GroupResource) -> list[Invariant]:
        """Those that a resource concerns: first those that every one does."""
        always = [one for one in self._invariants if ("*", "*") in one.resources]
        return always + [one for one in self._invariants if resource in one.resources]

    def report(self, violation: Violation) -> None:
        """Keep the first."""
        if self.violation is None:
            self.violation = violation
            self._on_violation(violation)
