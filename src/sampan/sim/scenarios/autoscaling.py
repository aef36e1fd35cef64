"""Two HorizontalPodAutoscalers follow loads that rise and fall, by the minute and by the day, and peak now and then.

One goes fast by the more generous of its policies, the other slowly by the stricter. Metrics come late, are old, say
nothing of some pods, or do not come at all.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from sampan.api.resources import DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS
from sampan.apimachinery.object import Object, dig
from sampan.sim.actions import delete_pod, set_image, set_spec
from sampan.sim.documents import deployment, document, rolling
from sampan.sim.invariants.replicas import size
from sampan.sim.metrics import Curve, Trouble
from sampan.sim.scenario import Action, Scenario, Stage
from sampan.sim.world import World, title

LOW, HIGH = 2, 12
CALM_MILLI = 200
"""At 50% of 100 each these are four pods."""
DAY_S, BREATH_S = 86_400.0, 420.0


def autoscaler(name: str, **behavior: Any) -> Object:
    return document("HorizontalPodAutoscaler", "autoscaling/v2", name, spec={
        "minReplicas": LOW, "maxReplicas": HIGH, "behavior": behavior,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "metrics": [{"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
    })


def policies(window_s: int, select: str, *policies: tuple[str, int, int]) -> Object:
    return {"stabilizationWindowSeconds": window_s, "selectPolicy": select, "policies": [
        {"type": type, "value": value, "periodSeconds": period_s} for type, value, period_s in policies
    ]}


def curve(base: int, phase: float) -> Curve:
    """A day's load with a shorter breath in it, in thousandths."""

    def load(at_s: float) -> int:
        day = math.sin(2 * math.pi * at_s / DAY_S + phase)
        breath = math.sin(2 * math.pi * at_s / BREATH_S + phase)
        return max(0, round(base * (1 + 0.5 * day + 0.6 * breath)))

    return load


def breathe(app: str) -> Action:
    """A load that rises and falls from now on."""

    async def act(stage: Stage) -> None:
        load = curve(stage.rng.choice((150, 250, 350)), stage.rng.uniform(0, math.pi))
        stage.cluster.metrics.set(app, load)

    return act


def spike(app: str) -> Action:
    """Everybody comes at once, or nobody, for a while."""

    async def act(stage: Stage) -> None:
        metrics = stage.cluster.metrics
        before = metrics.curves.get(app, CALM_MILLI)
        metrics.set(app, stage.rng.choice((0, 20, 900, 2000)))
        peak = metrics.curves[app]

        def pass_by() -> None:
            if metrics.curves[app] is peak:
                metrics.set(app, before)

        asyncio.get_running_loop().call_later(stage.rng.uniform(20, 60), pass_by)

    return act


def disturb_metrics() -> Action:
    """The metrics server has trouble for a while."""

    async def act(stage: Stage) -> None:
        metrics = stage.cluster.metrics
        trouble = metrics.trouble = stage.rng.choice((
            Trouble(late_s=6.0), Trouble(old_s=45.0), Trouble(missing_percent=30), Trouble(missing_percent=60),
            Trouble(missing_percent=100), Trouble(down=True), Trouble(late_s=3.0, missing_percent=50),
        ))

        def pass_by() -> None:
            if metrics.trouble is trouble:
                metrics.trouble = Trouble()

        asyncio.get_running_loop().call_later(stage.rng.uniform(30, 120), pass_by)

    return act


async def calm(stage: Stage) -> None:
    stage.cluster.metrics.trouble = Trouble()
    for app in ("web", "api"):
        stage.cluster.metrics.set(app, CALM_MILLI)


def follows(world: World) -> Sequence[str]:
    """Without a curve the load is that of four pods, and everything is within bounds."""
    wrong = []
    for scaler in world.all("autoscaling", "horizontalpodautoscalers"):
        target = world.get(("apps", "deployments"), f"default/{dig(scaler, 'spec', 'scaleTargetRef', 'name')}")
        if target is not None and size(target) != 4:
            wrong.append(f"{title(target)} has {size(target)} replicas for the load of four")
    return wrong


UP = policies(0, "Max", ("Pods", 3, 30), ("Percent", 100, 30))
DOWN = policies(60, "Max", ("Pods", 2, 30), ("Percent", 50, 30))

SCENARIO = Scenario(
    name="autoscaling",
    about="autoscalers follow loads within their bounds, windows and policies, whatever metrics they are told",
    apart=("horizontal-pod-autoscaler-controller", "deployment-controller"),
    objects=(
        (DEPLOYMENTS, deployment("web", 4, rolling(1, 1))),
        (DEPLOYMENTS, deployment("api", 4, rolling(1, 1))),
        (HORIZONTAL_POD_AUTOSCALERS, autoscaler("web", scaleUp=UP, scaleDown=DOWN)),
        (HORIZONTAL_POD_AUTOSCALERS, autoscaler(
            "api", scaleUp=policies(45, "Min", ("Pods", 4, 60), ("Percent", 50, 60)),
            scaleDown=policies(120, "Min", ("Pods", 1, 60), ("Percent", 50, 60)),
        )),
    ),
    actions=(
        (3, breathe("web")),
        (3, breathe("api")),
        (3, spike("web")),
        (2, spike("api")),
        (3, disturb_metrics()),
        (1, set_image(DEPLOYMENTS, "web")),
        (2, delete_pod("web")),
        (1, delete_pod("api")),
        (1, set_spec(HORIZONTAL_POD_AUTOSCALERS, "api", {"maxReplicas": 6}, {"maxReplicas": HIGH})),
    ),
    begin=(calm,),
    finale=(calm,),
    settled=follows,
    every_s=12,
    minutes=8,
    rest_within_s=900,
)
