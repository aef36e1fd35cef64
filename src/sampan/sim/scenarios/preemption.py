"""More is asked for than there is: the important push the others out, politely or not, and some may not push at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sampan.api.resources import DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS, PRIORITY_CLASSES
from sampan.apimachinery.object import Object, dig, name_of
from sampan.sim.actions import delete_pod, scale
from sampan.sim.documents import budget, deployment, document, pod_template
from sampan.sim.invariants.pods import NODES
from sampan.sim.invariants.room import add, allocatable, asked, fits, group_key, may_preempt, priority_of, total
from sampan.sim.scenario import Action, Scenario, Stage
from sampan.sim.scenarios.scheduling import small_nodes
from sampan.sim.stages import RUN_SECONDS, STOP_SECONDS
from sampan.sim.world import PODS as POD_KEYS
from sampan.sim.world import World, is_active, is_finished, node_of, title


def priority_class(name: str, value: int, policy: str = "PreemptLowerPriority") -> Object:
    return document(
        "PriorityClass", "scheduling.k8s.io/v1", name, "", value=value, preemptionPolicy=policy,
    )


def ranked(name: str, replicas: int, priority: str, cpu: str, stops_s: int = 2) -> Object:
    """A Deployment whose pods have a priority and take their time when they are told to go."""
    return deployment(
        name, replicas, cpu=cpu, priorityClassName=priority, annotations={STOP_SECONDS: str(stops_s)},
        terminationGracePeriodSeconds=30,
    )


def rush(*classes: str) -> Action:
    """One important pod alone, of some size, that ends by itself."""

    async def act(stage: Stage) -> None:
        priority, cpu = stage.rng.choice(classes), stage.rng.choice(("300m", "500m", "900m"))
        template = pod_template(
            "rush", cpu=cpu, priorityClassName=priority, restartPolicy="Never", annotations={RUN_SECONDS: "25"},
        )
        template["metadata"] |= {"name": f"rush-{stage.count('rush')}", "namespace": "default"}
        await stage.create(PODS, {"apiVersion": "v1", "kind": "Pod", **template})

    return act


def tidy_up() -> Action:
    """Pods that have ended go."""

    async def act(stage: Stage) -> None:
        for name in sorted(name_of(pod) for pod in stage.world.objects[POD_KEYS].values() if is_finished(pod)):
            await stage.delete(PODS, name, "default")

    return act


def justly_waiting(world: World) -> Iterator[str]:
    """Whoever still waits fits nowhere, nor would if all went that are less important and may be made to."""
    for pod in world.all(*POD_KEYS):
        if node_of(pod) or not is_active(pod) or group_key(pod):
            continue
        limit = priority_of(world, pod) if may_preempt(world, pod) else None
        for name, node in sorted(world.objects[NODES].items()):
            there = [one for one in world.pods_on[name].values() if not is_finished(one)]
            kept = [one for one in there if limit is None or priority_of(world, one) >= limit]
            if fits(add(total(kept), asked(pod)), allocatable(node)) and not dig(node, "spec", "taints"):
                yield f"{title(pod)} waits though {name} has room, or could have"


def settled(world: World) -> Sequence[str]:
    return list(justly_waiting(world))


SCENARIO = Scenario(
    name="preemption",
    about="the important push out the others, and never for nothing",
    objects=(
        (PRIORITY_CLASSES, priority_class("low", 10)),
        (PRIORITY_CLASSES, priority_class("mid", 100)),
        (PRIORITY_CLASSES, priority_class("high", 1000)),
        (PRIORITY_CLASSES, priority_class("patient", 900, "Never")),
        (DEPLOYMENTS, ranked("low", 6, "low", "200m", 6)),
        (DEPLOYMENTS, ranked("kept", 4, "low", "200m", 6)),
        (POD_DISRUPTION_BUDGETS, budget("kept", "kept", minAvailable="100%")),
        (DEPLOYMENTS, ranked("mid", 3, "mid", "300m", 12)),
        (DEPLOYMENTS, ranked("high", 1, "high", "500m")),
        (DEPLOYMENTS, ranked("patient", 1, "patient", "400m")),
    ),
    actions=(
        (3, scale(DEPLOYMENTS, "low", 4, 10)),
        (3, scale(DEPLOYMENTS, "mid", 1, 6)),
        (2, scale(DEPLOYMENTS, "high", 0, 3)),
        (2, scale(DEPLOYMENTS, "patient", 0, 3)),
        (3, rush("high", "mid", "high", "patient")),
        (1, delete_pod("mid")),
        (1, delete_pod("low")),
        (2, tidy_up()),
    ),
    settled=settled,
    nodes=small_nodes(5),
    struck=("scheduler", "scheduler", "nodes"),
    unsettled=("pods", "deployments", "replicasets", "poddisruptionbudgets"),
    every_s=8,
    minutes=4,
)
