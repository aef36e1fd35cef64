"""Pods that are not ready go at once when their template changes again, however many they are: the invariant was wrong.

Found by `sampan sim --scenario ordinals --seed 17 --faults heavy`; the plan is what was left of its faults.
"""

from __future__ import annotations

from sampan.sim.faults.kinds import Crash, Partition, StaleWatch, StoreDown
from sampan.sim.faults.plan import FaultPlan
from sampan.sim.play import Trial, play
from sampan.sim.scenarios.table import SCENARIOS

PLAN = FaultPlan((
    Partition(at_s=7.4, for_s=34.8, component="garbage-collector-controller", breaks=True),
    StaleWatch(at_s=22.6, for_s=58.7, component="garbage-collector-controller", resource="/statefulsets"),
    Crash(at_s=24.3, for_s=54.4, component="garbage-collector-controller", phase="inside", writes=4),
    StoreDown(at_s=31.6, for_s=6.8),
))


def test_stateful_set_order_in_ordinals_17() -> None:
    outcome = play(Trial(SCENARIOS["ordinals"], 17, plan=PLAN, minutes=3.0))
    assert outcome.violation is None, outcome.violation
