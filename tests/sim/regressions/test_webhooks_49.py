"""Rollout availability in the scenario webhooks, seed 49.

Found by `sampan sim --scenario webhooks --seed 49`; the plan is what was left of its faults. It was the invariant's
mistake: a pod became ready a moment before its set was shrunk, and nobody had told the Deployment.
"""

from __future__ import annotations

from sampan.sim.faults.kinds import Crash, WebhookTrouble
from sampan.sim.faults.plan import FaultPlan
from sampan.sim.play import Trial, play
from sampan.sim.scenarios.table import SCENARIOS

PLAN = FaultPlan((
    Crash(at_s=67.7, for_s=58.3, component='replicaset-controller', phase='inside', writes=4),
    WebhookTrouble(at_s=10.0, for_s=20.0, most_s=5.0, fails=0.0),
    WebhookTrouble(at_s=35.0, for_s=15.0, most_s=0.0, fails=0.5),
    WebhookTrouble(at_s=60.0, for_s=25.0, most_s=0.0, fails=1.0),
))


def test_rollout_availability_in_webhooks_49() -> None:
    outcome = play(Trial(SCENARIOS["webhooks"], 49, plan=PLAN, minutes=3.0))
    assert outcome.violation is None, outcome.violation
