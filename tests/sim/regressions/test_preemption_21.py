"""Liveness in the scenario preemption, seed 21.

Found by `sampan sim --scenario preemption --seed 21`; the plan is what was left of its faults. The scheduler looked for
the room that it makes where the status said, which could not be written, chose the same victims again and again, and
tried the pod anew at once, for they were going already.
"""

from __future__ import annotations

from sampan.sim.faults.kinds import StoreConflicts
from sampan.sim.faults.plan import FaultPlan
from sampan.sim.play import Trial, play
from sampan.sim.scenarios.table import SCENARIOS

PLAN = FaultPlan((
    StoreConflicts(at_s=137.8, for_s=52.8, share=0.5),
))


def test_liveness_in_preemption_21() -> None:
    outcome = play(Trial(SCENARIOS["preemption"], 21, plan=PLAN, minutes=0.0))
    assert outcome.violation is None, outcome.violation
