"""Nodes and zones fall silent: pods leave them one by one, and stay where most of a zone is lost, or everything."""

from __future__ import annotations

from sampan.api.resources import DEPLOYMENTS, STATEFUL_SETS
from sampan.sim.actions import lose_zone, scale
from sampan.sim.documents import deployment, stateful_set
from sampan.sim.scenario import Scenario

SCENARIO = Scenario(
    name="zones",
    about="nodes and zones are lost and come back",
    apart=("node-lifecycle-controller", "taint-eviction-controller"),
    objects=((DEPLOYMENTS, deployment("web", 8)), (STATEFUL_SETS, stateful_set("db", 3))),
    actions=((2, lose_zone()), (2, scale(DEPLOYMENTS, "web", 6, 10))),
    nodes=12,
    every_s=40,
    minutes=8,
)
