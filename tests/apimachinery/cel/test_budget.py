"""What evaluations may cost together."""

from __future__ import annotations

import pytest

from sampan.apimachinery.cel.activation import Activation
from sampan.apimachinery.cel.budget import Budget
from sampan.apimachinery.cel.environment import Environment, Program, environment
from sampan.apimachinery.cel.errors import BudgetExceeded, EvaluationError


def within() -> Environment:
    return environment(("self", "dyn"))


def adding(data: list[int]) -> tuple[Program, Activation, int]:
    env = within()
    program, activation = env.compile("self.all(x, x + 1 > 0)"), env.activation({"self": data})
    return program, activation, program.counted(activation).cost


def test_evaluations_spend_what_they_really_cost() -> None:
    program, activation, cost = adding(list(range(100)))
    assert program.most(activation, 0) > 2 * cost, "so that something has to be counted after all"
    budget = Budget(3 * cost)
    for _ in range(3):
        assert budget.evaluate(program, activation) is True
    assert budget.is_spent
    with pytest.raises(BudgetExceeded):
        budget.evaluate(program, activation)


def test_nothing_is_counted_while_the_most_it_can_cost_fits() -> None:
    env = within()
    program, activation = env.compile("self.all(x, x + 1 > 0)"), env.activation({"self": [1, 2, 3]})
    budget = Budget(program.most(activation, 0) * 2)
    budget.evaluate(program, activation)
    budget.evaluate(program, activation)
    assert not activation.counted
    budget.evaluate(program, activation)
    assert activation.counted


def test_evaluations_that_fail_spend_too() -> None:
    env = within()
    program, activation = env.compile("self.all(x, x > 0) && self[1000] == 1"), env.activation({"self": [1] * 100})
    cost = program.counted(activation).cost
    budget = Budget(2 * cost)
    for _ in range(2):
        with pytest.raises(EvaluationError, match="index out of bounds: 1000"):
            budget.evaluate(program, activation)
    with pytest.raises(BudgetExceeded, match="running out of cost budget, no further validation rules will be run"):
        budget.evaluate(program, activation)
