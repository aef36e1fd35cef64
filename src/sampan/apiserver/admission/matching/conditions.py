"""`matchConditions`: CEL expressions that must all hold for a webhook or policy to be concerned with a write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sampan.apimachinery.cel.activation import Activation
from sampan.apimachinery.cel.budget import MATCH_CONDITIONS_BUDGET, Budget
from sampan.apimachinery.cel.environment import BOOL, Environment, Program
from sampan.apimachinery.cel.errors import BudgetExceeded, CompileError, EvaluationError
from sampan.apimachinery.object import Object
from sampan.apiserver.admission.matching.expressions import Expressions, described


class ConditionFailed(Exception):
    """A condition has no value; `str` says which and why."""


@dataclass(frozen=True, slots=True)
class Condition:
    """`program` is None where the expression does not compile."""

    text: str
    program: Program | None
    problem: str = ""


def conditions_of(documents: Sequence[Object] | None, env: Environment) -> tuple[Condition, ...]:
    """Compiled. What does not compile fails when it is looked at: it was accepted by an older server."""
    found = []
    for document in documents or ():
        text = str(document.get("expression") or "")
        try:
            found.append(Condition(text, env.compile(text, BOOL)))
        except CompileError as error:
            found.append(Condition(text, None, str(error)))
    return tuple(found)


async def hold(conditions: Sequence[Condition], expressions: Expressions, activation: Activation) -> bool:
    """Whether all hold. One that does not decides, whatever errors the others meet. Raises ConditionFailed.

    They share a budget; one that there is nothing left for fails them all.
    """
    budget = Budget(MATCH_CONDITIONS_BUDGET)
    problems: list[str] = []
    for condition in conditions:
        if condition.program is None:
            problems.append(described(condition.text, CompileError(condition.problem)))
            continue
        try:
            if await expressions.value(condition.program, activation, budget) is not True:
                return False
        except BudgetExceeded as error:
            raise ConditionFailed(str(error)) from None
        except EvaluationError as error:
            problems.append(described(condition.text, error))
    if problems:
        raise ConditionFailed(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    return True
