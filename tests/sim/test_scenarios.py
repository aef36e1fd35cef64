"""Three hundred short trials: every scenario, with few faults and with many; nothing may be violated."""

from __future__ import annotations

import logging

import pytest

from sampan.sim.play import Trial, play
from sampan.sim.report import timeline
from sampan.sim.scenarios.table import SCENARIOS

MINUTES = 1.0
BLOCK = 2
SMALL = [name for name in SCENARIOS if name != "churn"]
BLOCKS = [(name, first) for first in range(1, 19, BLOCK) for name in SMALL]
"""20 scenarios × 18 seeds, two a test."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "first"), BLOCKS, ids=lambda value: str(value))
def test_nothing_is_violated(name: str, first: int) -> None:
    logging.getLogger("sampan").setLevel(logging.ERROR)
    for seed in range(first, first + BLOCK):
        outcome = play(Trial(SCENARIOS[name], seed, "mixed", minutes=MINUTES))
        assert outcome.violation is None, f"sampan sim --scenario {name} --seed {seed}\n{timeline(outcome)}"
        assert outcome.checks > outcome.writes
