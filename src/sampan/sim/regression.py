"""Turns a failing trial into a test file: the scenario, the seed and the plan as Python, to be played by pytest."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Final

from sampan.sim.play import Outcome

FOLDER: Final = Path("tests/sim/regressions")
_TEXT: Final = '''"""{title}

Found by `sampan sim --scenario {scenario} --seed {seed}`; the plan is what was left of its faults.
"""

from __future__ import annotations

{imports}
from sampan.sim.faults.plan import FaultPlan
from sampan.sim.play import Trial, play
from sampan.sim.scenarios.table import SCENARIOS

PLAN = {plan}


def test_{function}() -> None:
    outcome = play(Trial(SCENARIOS["{scenario}"], {seed}, plan=PLAN, minutes={minutes}))
    assert outcome.violation is None, outcome.violation
'''


def save(outcome: Outcome, folder: Path = FOLDER) -> Path:
    """Write the test; its path. It fails until what it shows is mended. Another test of the same seed stays."""
    assert outcome.violation is not None
    trial = outcome.trial
    invariant = re.sub(r"\W+", "_", outcome.violation.invariant)
    scenario = re.sub(r"\W+", "_", trial.scenario.name)
    kinds = sorted({type(fault).__name__ for fault in outcome.plan.faults})
    imports = f"from sampan.sim.faults.kinds import {', '.join(kinds)}" if kinds else ""
    text = _TEXT.format(
        title=f"{outcome.violation.invariant.capitalize()} in the scenario {trial.scenario.name}, seed {trial.seed}.",
        scenario=trial.scenario.name, seed=trial.seed, imports=imports, plan=str(outcome.plan),
        function=f"{invariant}_in_{scenario}_{trial.seed}", minutes=trial.minutes,
    )
    folder.mkdir(parents=True, exist_ok=True)
    text = text.replace("annotations\n\n\n", "annotations\n\n")
    for number in itertools.count(1):
        path = folder / f"test_{scenario}_{trial.seed}{f'_{number}' if number > 1 else ''}.py"
        if not path.exists() or path.read_text() == text:
            break
    path.write_text(text)
    return path
