"""A trial that could not go on: the scenario garbage, seed 557.

Found by `sampan sim --scenario garbage --seed 557`. A set was to be deleted whose name another had by then, and the
scenario asked again until it gave up.
"""

from __future__ import annotations

from sampan.sim.play import Trial, play
from sampan.sim.scenarios.table import SCENARIOS


def test_a_set_whose_name_another_has_is_gone() -> None:
    outcome = play(Trial(SCENARIOS["garbage"], 557, "heavy", minutes=3.0))
    assert outcome.violation is None, outcome.violation
