"""Two controller managers of which one leads: it is killed, cut off, asked to go; never do both write."""

from __future__ import annotations

from sampan.api.resources import DEPLOYMENTS, STATEFUL_SETS
from sampan.sim.actions import delete_pod, scale, set_image
from sampan.sim.documents import deployment, rolling, stateful_set
from sampan.sim.scenario import Scenario

SCENARIO = Scenario(
    name="leaders",
    about="of two controller managers one works, whatever befalls them",
    managers=2,
    struck=("controllers-0", "controllers-1"),
    objects=((DEPLOYMENTS, deployment("web", 5, rolling(1, 1))), (STATEFUL_SETS, stateful_set("db", 3))),
    actions=(
        (3, scale(DEPLOYMENTS, "web", 2, 8)),
        (2, set_image(DEPLOYMENTS, "web")),
        (2, scale(STATEFUL_SETS, "db", 1, 4)),
        (2, delete_pod("web")),
    ),
)
