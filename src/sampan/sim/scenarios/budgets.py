"""Disruption budgets against drains and evictions, of a Deployment and of a StatefulSet."""

from __future__ import annotations

from sampan.api.resources import DEPLOYMENTS, POD_DISRUPTION_BUDGETS, STATEFUL_SETS
from sampan.sim.actions import delete_pod, drain_node, evict_pod, scale, uncordon_all
from sampan.sim.documents import budget, deployment, stateful_set
from sampan.sim.scenario import Scenario

SCENARIO = Scenario(
    name="budgets",
    about="drains and evictions never take more than the budgets allow",
    apart=("disruption-controller", "replicaset-controller", "statefulset-controller"),
    objects=(
        (DEPLOYMENTS, deployment("web", 5)),
        (STATEFUL_SETS, stateful_set("db", 3)),
        (POD_DISRUPTION_BUDGETS, budget("web", "web", minAvailable=4)),
        (POD_DISRUPTION_BUDGETS, budget("db", "db", maxUnavailable=1)),
    ),
    actions=(
        (4, drain_node()),
        (5, evict_pod("web")),
        (3, evict_pod("db")),
        (1, delete_pod("web")),
        (1, scale(DEPLOYMENTS, "web", 4, 7)),
    ),
    finale=(uncordon_all,),
)
