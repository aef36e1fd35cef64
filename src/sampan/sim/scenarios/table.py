"""SCENARIOS: all of them, by name."""

from __future__ import annotations

from typing import Final

from sampan.sim.scenario import Scenario
from sampan.sim.scenarios import (
    autoscaling,
    budgets,
    churn,
    cronjobs,
    daemonsets,
    deployments,
    devices,
    gangs,
    garbage,
    jobs,
    leaders,
    namespaces,
    ordinals,
    preemption,
    quotas,
    scheduling,
    servers,
    statefulsets,
    volumes,
    webhooks,
    zones,
)

SCENARIOS: Final[dict[str, Scenario]] = {
    module.SCENARIO.name: module.SCENARIO
    for module in (
        deployments, statefulsets, ordinals, jobs, cronjobs, daemonsets, autoscaling, budgets, namespaces, garbage,
        quotas, volumes, zones, scheduling, preemption, gangs, devices, leaders, webhooks, servers, churn,
    )
}
