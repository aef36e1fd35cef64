"""Gangs of several priorities on a full cluster: they come whole, push out, and are pushed out one by one or whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from sampan.api.resources import DEPLOYMENTS, POD_GROUPS, PRIORITY_CLASSES
from sampan.api.resources import PODS as POD_RESOURCE
from sampan.apimachinery.object import Object, dig, key_of, labels_of, name_of
from sampan.sim.actions import scale
from sampan.sim.documents import document
from sampan.sim.invariants.pods import NODES
from sampan.sim.invariants.room import (
    GROUPS,
    allocatable,
    asked,
    copies,
    group_key,
    least_of,
    may_preempt,
    priority_of,
    total,
)
from sampan.sim.node import NodeSpec
from sampan.sim.scenario import Action, Scenario, Stage
from sampan.sim.scenarios.preemption import justly_waiting, priority_class, ranked, rush, tidy_up
from sampan.sim.world import PODS, World, is_active, is_finished, node_of, title

ZONE: Final = "topology.kubernetes.io/zone"
MOST: Final = 14


def gang(name: str, least: int, priority: str, *, together: bool = False, zone: bool = False) -> Object:
    spec: Object = {
        "schedulingPolicy": {"gang": {"minCount": least}}, "priorityClassName": priority,
        "disruptionMode": {"all": {}} if together else {"single": {}},
    }
    if zone:
        spec["schedulingConstraints"] = {"topology": [{"key": ZONE}]}
    return document("PodGroup", "scheduling.k8s.io/v1beta1", name, spec=spec)


def members(name: str, count: int, priority: str, cpu: str) -> Object:
    """A Deployment whose pods are the gang; what is preempted of it comes again."""
    made = ranked(name, count, priority, cpu, stops_s=4)
    made["spec"]["template"]["spec"]["schedulingGroup"] = {"podGroupName": name}
    return made


def launch() -> Action:
    """The group first, or its pods."""

    async def act(stage: Stage) -> None:
        number, rng = stage.count("gang"), stage.rng
        if number >= MOST:
            return
        name, count, priority = f"gang-{number}", rng.randint(2, 6), rng.choice(("low", "mid", "mid", "high"))
        least = count - (rng.random() < 0.3)
        group = gang(name, least, priority, together=rng.random() < 0.5, zone=rng.random() < 0.3)
        order = [(POD_GROUPS, group), (DEPLOYMENTS, members(name, count, priority, rng.choice(("300m", "400m"))))]
        for resource, obj in order if rng.random() < 0.7 else reversed(order):
            await stage.create(resource, obj)

    return act


def retire() -> Action:
    """A gang has done its work."""

    async def act(stage: Stage) -> None:
        there = sorted(map(name_of, stage.world.all(*GROUPS)))
        if there:
            name = stage.rng.choice(there)
            await stage.delete(DEPLOYMENTS, name, "default")
            await stage.delete(POD_GROUPS, name, "default")

    return act


def hurt() -> Action:
    """One of a gang that has its places is lost."""

    async def act(stage: Stage) -> None:
        there = sorted(name_of(pod) for pod in stage.world.all(*PODS) if group_key(pod) and node_of(pod))
        if there:
            name = stage.rng.choice(there)
            await stage.delete(POD_RESOURCE, name, "default")

    return act


def gangs_justly_waiting(world: World) -> Iterator[str]:
    """A gang that waits has too few pods, or not enough room if everybody less important went."""
    for group in world.all(*GROUPS):
        pods = [pod for pod in world.all(*PODS) if group_key(pod) == key_of(group) and not is_finished(pod)]
        waiting = [pod for pod in pods if is_active(pod) and not node_of(pod)]
        least = least_of(group) or 1
        if not waiting or len(pods) < least:
            continue
        placed = [pod for pod in pods if node_of(pod)]
        needed = min(max(1, least - len(placed)), len(waiting))
        places = _places(world, group, waiting[0], placed)
        if places >= needed:
            yield f"{title(group)} waits for {needed} places, and has {places} or could have"


def _places(world: World, group: Object, pod: Object, placed: Sequence[Object]) -> int:
    """In the best of its domains; in that where it is already, if it has one."""
    key = dig(group, "spec", "schedulingConstraints", "topology", 0, "key", default="")
    limit = priority_of(world, pod) if may_preempt(world, pod) else None
    places: defaultdict[str, int] = defaultdict(int)
    for name, node in world.objects[NODES].items():
        if dig(node, "spec", "taints"):
            continue
        there = [one for one in world.pods_on[name].values() if not is_finished(one)]
        kept = [one for one in there if limit is None or priority_of(world, one) >= limit]
        places[labels_of(node).get(key, "")] += copies(asked(pod), allocatable(node), total(kept))
    taken = {labels_of(world.get(NODES, node_of(one)) or {}).get(key, "") for one in placed}
    return max((number for domain, number in places.items() if not taken or domain in taken), default=0)


def settled(world: World) -> Sequence[str]:
    return [*justly_waiting(world), *gangs_justly_waiting(world)]


SMALL: Final = tuple(
    NodeSpec(f"small-{n}", f"172.31.0.{n + 1}", {"cpu": "1", "memory": "2Gi", "pods": "8"}, {ZONE: f"zone-{n % 2}"})
    for n in range(6)
)

SCENARIO = Scenario(
    name="gangs",
    about="gangs are placed whole and preempt as a whole, under two schedulers of which one leads",
    objects=(
        (PRIORITY_CLASSES, priority_class("low", 10)),
        (PRIORITY_CLASSES, priority_class("mid", 100)),
        (PRIORITY_CLASSES, priority_class("high", 1000)),
        (PRIORITY_CLASSES, priority_class("patient", 900, "Never")),
        (DEPLOYMENTS, ranked("filler", 8, "low", "200m")),
    ),
    actions=(
        (6, launch()),
        (3, retire()),
        (2, scale(DEPLOYMENTS, "filler", 4, 14)),
        (1, rush("high", "mid", "patient")),
        (2, hurt()),
        (1, tidy_up()),
    ),
    settled=settled,
    nodes=SMALL,
    schedulers=2,
    struck=("scheduler-0", "scheduler-1", "nodes"),
    unsettled=("pods", "deployments", "replicasets"),
    every_s=7,
    minutes=3,
    rest_within_s=900,
)
