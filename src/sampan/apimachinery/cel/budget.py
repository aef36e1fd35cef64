"""What several evaluations may cost together: all rules of an object, all conditions of a webhook, a policy's.

What an evaluation really cost is only counted once it matters. Until the most that all of them can have cost passes the
limit, that is certain to be enough; then those that were taken on trust are counted after all.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sampan.apimachinery.cel.activation import Activation
from sampan.apimachinery.cel.environment import Program
from sampan.apimachinery.cel.errors import BudgetExceeded, EvaluationError

RUNTIME_BUDGET: Final = 10_000_000
"""Of the rules of one custom resource, or of a policy with one binding and one parameter."""
MATCH_CONDITIONS_BUDGET: Final = RUNTIME_BUDGET // 4


class Budget:
    """Ask it to `evaluate`, or tell it with `spend` what was evaluated."""

    __slots__ = ("_limit", "_spent", "_trusted", "_trusted_most")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spent = 0
        self._trusted: list[tuple[Program, Activation]] = []
        self._trusted_most = 0

    @property
    def is_spent(self) -> bool:
        """Nothing is left."""
        return self._spent >= self._limit

    def evaluate(self, program: Program, activation: Activation, pending: Collection[object] = ()) -> Any:
        """Its value. Raises EvaluationError, and that is BudgetExceeded when there is no more.

        A failure that leaves something in `pending` costs nothing: it will be evaluated again.
        """
        try:
            value = program.evaluate(activation)
        except EvaluationError:
            if not pending:
                self.spend(program, activation)
            raise
        self.spend(program, activation)
        return value

    def spend(self, program: Program, activation: Activation) -> None:
        """It has been evaluated. Raises BudgetExceeded."""
        left = self._limit - self._spent - self._trusted_most
        most = program.most(activation, left)
        if most <= left:
            self._trusted.append((program, activation))
            self._trusted_most += most
            return
        for known, data in self._trusted:
            self._spent += known.counted(data).cost
        self._trusted.clear()
        self._trusted_most = 0
        self._spent += program.counted(activation).cost
        if self._spent > self._limit:
            raise BudgetExceeded
