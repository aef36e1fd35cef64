"""Liveness in the scenario cronjobs, seed 61.

Found by `sampan sim --scenario cronjobs --seed 61`; the plan is what was left of its faults. The Job of a pod was
deleted and another took its name, so nobody took the finalizer from the pod.
"""

from __future__ import annotations

from sampan.sim.faults.kinds import Crash, Partition, Slow, SlowStore, StaleWatch, StoreConflicts
from sampan.sim.faults.plan import FaultPlan
from sampan.sim.play import Trial, play
from sampan.sim.scenarios.table import SCENARIOS

PLAN = FaultPlan((
    StaleWatch(at_s=30.6, for_s=38.5, component='scheduler', resource='/pods'),
    Partition(at_s=75.3, for_s=16.0, component='nodes', breaks=True),
    Slow(at_s=98.7, for_s=37.5, component='nodes', most_s=0.5),
    StoreConflicts(at_s=131.7, for_s=55.5, share=0.5),
    Crash(at_s=147.9, for_s=17.8, component='controllers', phase='before', writes=3),
    Slow(at_s=150.9, for_s=30.9, component='nodes', most_s=0.5),
    SlowStore(at_s=161.7, for_s=35.2, most_s=0.005),
))


def test_liveness_in_cronjobs_61() -> None:
    outcome = play(Trial(SCENARIOS["cronjobs"], 61, plan=PLAN, minutes=3.0))
    assert outcome.violation is None, outcome.violation
