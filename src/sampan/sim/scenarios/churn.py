"""Everything at once on fifty nodes: what `make bench` measures the simulator's speed with."""

from __future__ import annotations

from sampan.api.resources import CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, JOBS, SERVICES, STATEFUL_SETS
from sampan.sim.actions import create_some, delete_pod, scale, set_image
from sampan.sim.documents import daemon_set, deployment, job, rolling, service, stateful_set
from sampan.sim.scenario import Scenario
from sampan.sim.scenarios.cronjobs import cron_job

SCENARIO = Scenario(
    name="churn",
    about="a bit of everything on fifty nodes",
    objects=(
        (DEPLOYMENTS, deployment("web", 20, rolling("25%", "25%"))),
        (DEPLOYMENTS, deployment("api", 10)),
        (SERVICES, service("web", "web")),
        (STATEFUL_SETS, stateful_set("db", 3)),
        (DAEMON_SETS, daemon_set("agent", maxUnavailable=5)),
        (CRON_JOBS, cron_job("report", "*/5 * * * *", "Forbid", 30)),
    ),
    actions=(
        (3, scale(DEPLOYMENTS, "web", 15, 25)),
        (1, set_image(DEPLOYMENTS, "web")),
        (2, scale(DEPLOYMENTS, "api", 5, 15)),
        (1, set_image(DEPLOYMENTS, "api")),
        (2, scale(STATEFUL_SETS, "db", 1, 5)),
        (4, delete_pod("web")),
        (3, delete_pod("agent")),
        (2, create_some(JOBS, lambda n: job(f"work-{n}", 6, 3, ttlSecondsAfterFinished=60), 1000)),
    ),
    nodes=50,
    every_s=45,
    minutes=10,
)
