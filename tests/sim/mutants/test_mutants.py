"""The simulator finds every mutant within its number of seeds; without the mistake those seeds are clean.

A handful is tried at each run of the tests, all of them with SAMPAN_NIGHTLY=1.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from sampan.sim.play import Trial, play
from sampan.sim.scenarios.table import SCENARIOS

_spec = importlib.util.spec_from_file_location("sim_catalogue", Path(__file__).with_name("catalogue.py"))
assert _spec is not None and _spec.loader is not None
_catalogue = sys.modules["sim_catalogue"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_catalogue)
MUTANTS = _catalogue.MUTANTS
HANDFUL = MUTANTS if os.environ.get("SAMPAN_NIGHTLY") else MUTANTS[::6]


def trial(mutant: Any, seed: int) -> Trial:
    return Trial(SCENARIOS[mutant.scenario], seed, mutant.level, mutant.plan, mutant.minutes)


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("sampan").setLevel(logging.ERROR)


def test_there_are_at_least_thirty_of_them_and_all_have_their_place() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 30
    for mutant in MUTANTS:
        with mutant.alive():
            pass


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", HANDFUL, ids=lambda mutant: mutant.name)
def test_the_simulator_finds(mutant: Any) -> None:
    with mutant.alive():
        found = any(play(trial(mutant, seed)).violation is not None for seed in range(1, mutant.seeds + 1))
    assert found, f"{mutant.name} was not found with {mutant.seeds} seeds"
