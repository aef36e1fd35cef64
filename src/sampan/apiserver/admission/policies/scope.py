"""What one evaluation of a policy sees: the write, one parameter object, the namespace, the policy's variables.

A variable is evaluated when an expression first names it, once. One that fails makes those expressions fail that really
read it: it is left out of `variables`, and the error of the missing key becomes the variable's own. What a variable
costs is paid by the expression that named it first.
"""

from __future__ import annotations

import re
from typing import Any

from sampan.apimachinery.cel.activation import Activation
from sampan.apimachinery.cel.budget import Budget
from sampan.apimachinery.cel.environment import Program
from sampan.apimachinery.cel.errors import BudgetExceeded, CELError, EvaluationError
from sampan.apimachinery.object import Object
from sampan.apiserver.admission.matching.expressions import Expressions
from sampan.apiserver.admission.policies.policy import Policy

_NAMED = re.compile(r"\bvariables\s*\.\s*\??\s*([A-Za-z_]\w*)")


class Scope:
    """Of one policy, one write, one parameter."""

    def __init__(
        self, policy: Policy, expressions: Expressions, params: Object | None, namespace: Object | None
    ) -> None:
        self._policy = policy
        self._expressions = expressions
        self._data: dict[str, Any] = {"params": params, "namespaceObject": namespace}
        self._values: dict[str, Any] = {}
        self._failed: dict[str, str] = {}
        self._activations: dict[frozenset[str], Activation] = {}

    @property
    def expressions(self) -> Expressions:
        return self._expressions

    def activation(self, names: frozenset[str] = frozenset()) -> Activation:
        """With these variables, as far as they have values."""
        found = self._activations.get(names)
        if found is None:
            values = {name: self._values[name] for name in names if name in self._values}
            found = self._expressions.activation(self._policy.env, {**self._data, "variables": values})
            self._activations[names] = found
        return found

    def forget(self) -> None:
        """The object changed: so may everything that was worked out from it."""
        self._values.clear()
        self._failed.clear()
        self._activations.clear()

    async def value(self, budget: Budget, text: str, *returns: str) -> Any:
        """The value of one of the policy's expressions. Raises CompileError, EvaluationError."""
        return await self._run(self._policy.compile(text, *returns), budget)

    async def _run(self, program: Program, budget: Budget) -> Any:
        names = frozenset(_NAMED.findall(program.text)) & self._policy.variables.keys()
        for name in names:
            await self._evaluate(name, budget)
        try:
            return await self._expressions.value(program, self.activation(frozenset(names)), budget)
        except EvaluationError as error:
            for name in names & self._failed.keys():
                if str(error) == f"no such key: {name}":
                    why = f'composited variable "{name}" fails to evaluate: {self._failed[name]}'
                    raise EvaluationError(why) from None
            raise

    async def _evaluate(self, name: str, budget: Budget) -> None:
        if name in self._values or name in self._failed:
            return
        self._failed[name] = "it refers to itself"
        try:
            self._values[name] = await self.value(budget, self._policy.variables[name])
            del self._failed[name]
        except BudgetExceeded:
            del self._failed[name]
            raise
        except CELError as error:
            self._failed[name] = str(error)
