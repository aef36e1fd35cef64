"""DaemonSets while nodes come, go, and change their labels, and while they are updated."""

from __future__ import annotations

from sampan.api.resources import DAEMON_SETS, NODES
from sampan.apimachinery.object import Object
from sampan.sim.actions import delete_pod, patch, replace_node, set_image
from sampan.sim.documents import daemon_set
from sampan.sim.scenario import Action, Scenario, Stage


def with_selector() -> Object:
    found = daemon_set("fast")
    found["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "fast"}
    return found


def relabel_node() -> Action:
    async def act(stage: Stage) -> None:
        node = stage.rng.choice(sorted(stage.cluster.fleet.nodes))
        label = stage.rng.choice(("fast", "slow"))
        await patch(NODES, node, lambda stage: {"metadata": {"labels": {"disk": label}}})(stage)

    return act


SCENARIO = Scenario(
    name="daemonsets",
    about="one pod a node while nodes are replaced and relabelled",
    apart=("daemonset-controller", "pod-garbage-collector-controller"),
    objects=(
        (DAEMON_SETS, daemon_set("agent", maxUnavailable=2)),
        (DAEMON_SETS, daemon_set("proxy", maxSurge=1, maxUnavailable=0)),
        (DAEMON_SETS, with_selector()),
    ),
    actions=(
        (3, relabel_node()),
        (2, replace_node()),
        (3, set_image(DAEMON_SETS, "agent")),
        (2, set_image(DAEMON_SETS, "proxy")),
        (2, delete_pod("agent")),
        (1, delete_pod("proxy", by_force=True)),
    ),
    nodes=5,
)
