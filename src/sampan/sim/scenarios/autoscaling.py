"""A HorizontalPodAutoscaler follows a load that changes, while its target is updated."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.resources import DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS
from sampan.sim.actions import delete_pod, set_image
from sampan.sim.documents import deployment, document, rolling
from sampan.sim.invariants.replicas import size
from sampan.sim.scenario import Action, Scenario, Stage
from sampan.sim.world import World

LOW, HIGH = 2, 8


def set_load(*choices: int) -> Action:
    async def act(stage: Stage) -> None:
        stage.cluster.metrics.load_milli["web"] = stage.rng.choice(choices)

    return act


def follows(world: World) -> Sequence[str]:
    """400 thousandths at 50% of 100 each are eight pods."""
    found = world.get(("apps", "deployments"), "default/web")
    if found is None or world.get(("autoscaling", "horizontalpodautoscalers"), "default/web") is None:
        return ()
    return () if LOW <= size(found) <= HIGH else (f"Deployment default/web has {size(found)} replicas",)


SCENARIO = Scenario(
    name="autoscaling",
    about="an autoscaler follows a changing load within its bounds",
    apart=("horizontal-pod-autoscaler-controller", "deployment-controller"),
    objects=(
        (DEPLOYMENTS, deployment("web", 3, rolling(1, 1))),
        (HORIZONTAL_POD_AUTOSCALERS, document("HorizontalPodAutoscaler", "autoscaling/v2", "web", spec={
            "minReplicas": LOW, "maxReplicas": HIGH,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "metrics": [{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}},
        })),
    ),
    actions=(
        (4, set_load(0, 100, 200, 400, 2000)),
        (1, set_image(DEPLOYMENTS, "web")),
        (2, delete_pod("web")),
    ),
    finale=(set_load(200),),
    settled=follows,
    every_s=15,
)
