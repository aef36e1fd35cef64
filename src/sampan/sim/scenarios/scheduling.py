"""A full cluster, and a scheduler that dies between deciding and binding."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.resources import DEPLOYMENTS, JOBS
from sampan.sim.actions import create_some, delete_pod, scale
from sampan.sim.documents import deployment, job
from sampan.sim.node import NodeSpec
from sampan.sim.scenario import Scenario


def small_nodes(count: int) -> Sequence[NodeSpec]:
    capacity = {"cpu": "1", "memory": "2Gi", "pods": "8"}
    return [NodeSpec(f"small-{n}", f"172.31.0.{n + 1}", capacity) for n in range(count)]


SCENARIO = Scenario(
    name="scheduling",
    about="no node is given more than it has, whenever the scheduler dies",
    objects=((DEPLOYMENTS, deployment("web", 6, cpu="300m")), (DEPLOYMENTS, deployment("api", 3, cpu="400m"))),
    actions=(
        (4, scale(DEPLOYMENTS, "web", 2, 9)),
        (3, scale(DEPLOYMENTS, "api", 1, 5)),
        (3, delete_pod("web")),
        (2, create_some(JOBS, lambda n: job(f"burst-{n}", 4, 4, seconds=5), 6)),
    ),
    finale=(scale(DEPLOYMENTS, "web", 4, 4), scale(DEPLOYMENTS, "api", 2, 2)),
    nodes=small_nodes(5),
    struck=("scheduler", "scheduler", "nodes"),
    every_s=6,
    minutes=4,
)
