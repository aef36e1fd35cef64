"""Reads in the scenario servers, seed 127.

Found by `sampan sim --scenario servers --seed 127 --faults mixed`; the plan is what was left of its faults. A watch
went on at a server that was behind, and that server's next bookmark named an older version than its reader knew.
"""

from __future__ import annotations

from sampan.sim.faults.kinds import OlderServer
from sampan.sim.faults.plan import FaultPlan
from sampan.sim.play import Trial, play
from sampan.sim.scenarios.table import SCENARIOS

PLAN = FaultPlan((
    OlderServer(at_s=52.8, for_s=39.1, component='statefulset-controller', server=0, how='broken'),
    OlderServer(at_s=90.1, for_s=49.7, component='scheduler', server=0, how='broken'),
))


def test_reads_in_servers_127() -> None:
    outcome = play(Trial(SCENARIOS["servers"], 127, plan=PLAN, minutes=3.0))
    assert outcome.violation is None, outcome.violation
