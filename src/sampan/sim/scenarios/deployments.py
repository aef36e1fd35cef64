"""Roll-outs under churn: two Deployments are scaled, given images, paused and robbed of pods at the same time."""

from __future__ import annotations

from sampan.api.resources import DEPLOYMENTS, SERVICES
from sampan.sim.actions import delete_pod, relabel_pod, scale, set_image, set_spec
from sampan.sim.documents import deployment, rolling, service
from sampan.sim.scenario import Scenario
from sampan.sim.stages import STOP_SECONDS

SCENARIO = Scenario(
    name="deployments",
    about="roll-outs while sizes and images change and pods die",
    apart=("deployment-controller", "replicaset-controller", "endpointslice-controller"),
    objects=(
        (DEPLOYMENTS, deployment("web", 6, rolling(2, 1), annotations={STOP_SECONDS: "7"})),
        (DEPLOYMENTS, deployment("api", 4, rolling("25%", 0))),
        (DEPLOYMENTS, deployment("tool", 2, {"type": "Recreate"})),
        (SERVICES, service("web", "web")),
    ),
    actions=(
        (4, set_image(DEPLOYMENTS, "web")),
        (3, scale(DEPLOYMENTS, "web", 2, 10)),
        (3, set_image(DEPLOYMENTS, "api")),
        (2, scale(DEPLOYMENTS, "api", 1, 6)),
        (2, set_image(DEPLOYMENTS, "tool")),
        (2, set_spec(DEPLOYMENTS, "web", {"paused": True}, {"paused": False})),
        (3, delete_pod("web")),
        (1, delete_pod("api", by_force=True)),
        (1, relabel_pod("web")),
    ),
    finale=(set_spec(DEPLOYMENTS, "web", {"paused": False}),),
)
