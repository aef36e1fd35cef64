"""Liveness in the scenario devices, seed 33.

Found by `sampan sim --scenario devices --seed 33`; the plan is what was left of its faults. A claim
was made twice for a pod, for the answer to the first creation was lost; nobody looked at that one when the pod ended.
"""

from __future__ import annotations

from sampan.sim.faults.kinds import Crash, Lossy, Slow
from sampan.sim.faults.plan import FaultPlan
from sampan.sim.play import Trial, play
from sampan.sim.scenarios.table import SCENARIOS

PLAN = FaultPlan((
    Crash(at_s=7.6, for_s=49.3, component='replicaset-controller', phase='before', writes=6),
    Crash(at_s=36.8, for_s=5.9, component='controllers', phase='inside', writes=5),
    Lossy(at_s=44.1, for_s=59.0, component='resourceclaim-controller', requests=0.1, answers=0.1),
    Slow(at_s=51.4, for_s=27.5, component='resourceclaim-controller', most_s=0.5),
    Slow(at_s=73.8, for_s=35.3, component='resourceclaim-controller', most_s=3.0),
))


def test_liveness_in_devices_33() -> None:
    outcome = play(Trial(SCENARIOS["devices"], 33, plan=PLAN, minutes=0.0))
    assert outcome.violation is None, outcome.violation
