"""Room for gangs, and gangs that go as a whole (KEP-5710)."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.scheduler.conftest import World
from tests.scheduler.test_extenders import Service, config
from tests.scheduler.test_extenders import cluster as extended_cluster
from tests.scheduler.test_gangs import group, group_condition
from tests.scheduler.test_scheduler import condition, events_of, placed, play, pod

from sampan.api.resources import POD_GROUPS, PODS, PRIORITY_CLASSES
from sampan.apimachinery.errors import NotFound
from sampan.apimachinery.object import Object
from sampan.scheduler.gang_cycle import GangCycle
from sampan.scheduler.gang_preemption import GangRoom, find_room
from sampan.scheduler.plugins.preemption_candidates import Candidates
from sampan.scheduler.pod_groups import Gang
from sampan.scheduler.pod_info import parse
from sampan.sim.cluster import SimCluster


def room(world: World, count: int, least: int, key: str = "", **spec: Any) -> GangRoom:
    pods = [parse(world.pod(f"member-{n}", priority=10, **spec)) for n in range(count)]
    obj: Object = {"spec": {"priority": 10}}
    before = {key: placed.pod.node_name for key, placed in world.snapshot.placed().items()}
    requested = [node.requested.get("cpu", 0) for node in world.snapshot.nodes()]
    cycle = GangCycle(world.framework, world.snapshot, Gang("default/g", obj, least, key), pods)
    found = find_room(cycle, world.handle)
    assert {key: placed.pod.node_name for key, placed in world.snapshot.placed().items()} == before
    assert [node.requested.get("cpu", 0) for node in world.snapshot.nodes()] == requested
    return found


def names(found: GangRoom) -> set[str]:
    return {victim.name for victim in found.victims}


def grouped(world: World, name: str, mode: str, *members: tuple[str, str], priority: int = 1, cpu: str = "1") -> None:
    """A PodGroup whose members run on these nodes."""
    known = world.handle.groups.find
    obj: Object = {"spec": {"priority": priority, "disruptionMode": {mode: {}}}}
    world.handle.groups.find = lambda key: obj if key == f"default/{name}" else known(key)
    for member, node in members:
        running = world.run(node, name=member, cpu=cpu, priority=priority, schedulingGroup={"podGroupName": name})
        world.handle.groups.put(parse(running))


def test_room_is_made_for_all_of_a_gang_and_no_more(world: World) -> None:
    for node in ("a", "b", "c"):
        world.node(node, cpu="2")
        for n in range(2):
            world.run(node, name=f"{node}{n}", cpu="1", priority=n)
    found = room(world, 2, 2, cpu="1")
    assert len(found.victims) == 2 and len(found.nodes) == 2
    assert all(victim.priority == 0 for victim in found.victims), "the less important ones go"
    assert found.message == "found a placement for podgroup, preempting 2 victims"


def test_nobody_goes_if_the_gang_would_not_fit_all_the_same(world: World) -> None:
    world.node("a", cpu="1")
    world.run("a", name="low", cpu="1", priority=1)
    found = room(world, 2, 2, cpu="1")
    assert not found.victims and not found.nodes
    assert found.message == "Preemption is not helpful for scheduling"


def test_equals_do_not_go(world: World) -> None:
    world.node("a", cpu="1")
    world.run("a", name="equal", cpu="1", priority=10)
    assert room(world, 1, 1, cpu="1").message == "No preemption victims found for incoming preemptor"


def test_who_a_budget_protects_stays_if_possible(world: World) -> None:
    world.node("a", cpu="1")
    world.node("b", cpu="1")
    world.run("a", name="protected", cpu="1", priority=1, labels={"app": "db"})
    world.run("b", name="free", cpu="1", priority=5)
    world.budgets = [{
        "spec": {"selector": {"matchLabels": {"app": "db"}}}, "status": {"disruptionsAllowed": 0},
    }]
    assert names(room(world, 1, 1, cpu="1", nodeSelector={"kubernetes.io/hostname": "b"})) == {"free"}
    found = room(world, 2, 2, cpu="1")
    assert names(found) == {"protected", "free"}


def test_a_group_that_is_disrupted_together_goes_together(world: World) -> None:
    for node in ("a", "b"):
        world.node(node, cpu="1")
    grouped(world, "job", "all", ("j0", "a"), ("j1", "b"))
    assert names(room(world, 1, 1, cpu="1")) == {"j0", "j1"}


def test_a_group_that_is_disrupted_by_one_keeps_the_others(world: World) -> None:
    for node in ("a", "b"):
        world.node(node, cpu="1")
    grouped(world, "job", "single", ("j0", "a"), ("j1", "b"))
    assert len(room(world, 1, 1, cpu="1").victims) == 1


def test_a_single_pod_is_spared_after_a_group_of_its_priority(world: World) -> None:
    world.node("a", cpu="2")
    grouped(world, "job", "all", ("j0", "a"))
    world.run("a", name="single", cpu="1", priority=1)
    assert names(room(world, 1, 1, cpu="1")) == {"single"}


def test_a_pod_that_keeps_the_gang_away_by_affinity_goes(world: World) -> None:
    zone = "topology.kubernetes.io/zone"
    for node in ("a", "b"):
        world.node(node, labels={zone: "z"})
    term = {"topologyKey": zone, "labelSelector": {"matchLabels": {"app": "gang"}}}
    rule = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    world.run("a", name="loner", priority=1, affinity=rule)
    world.run("b", name="bystander", priority=1)
    assert names(room(world, 2, 2, labels={"app": "gang"})) == {"loner"}


def test_a_gang_that_needs_one_domain_gets_one(world: World) -> None:
    for rack in ("r0", "r1"):
        for n in range(2):
            world.node(f"{rack}-{n}", cpu="1", labels={"rack": rack})
    world.run("r0-0", name="high", cpu="1", priority=20)
    world.run("r1-0", name="low", cpu="1", priority=1)
    found = room(world, 2, 2, "rack", cpu="1")
    assert names(found) == {"low"} and set(found.nodes.values()) == {"r1-0", "r1-1"}


def test_a_single_pod_makes_a_whole_group_go_wherever_its_pods_are(world: World) -> None:
    for node in ("a", "b"):
        world.node(node, cpu="1", labels={"disk": node})
    grouped(world, "job", "all", ("j0", "a"), ("j1", "b"))
    decision = world.decide(cpu="1", priority=10, nodeSelector={"disk": "a"})
    best = Candidates(world.handle, 10, 100).best(decision.state, decision.pod, decision.diagnosis.statuses)
    assert best is not None and {victim.name for victim in best.victims} == {"j0", "j1"}


def test_the_groups_priority_counts_for_its_pods(world: World) -> None:
    world.node("a", cpu="1")
    grouped(world, "job", "single", ("j0", "a"), priority=1)
    known = world.handle.groups.find
    world.handle.groups.find = lambda key: {"spec": {"priority": 50}} if key == "default/job" else known(key)
    decision = world.decide(cpu="1", priority=10)
    best = Candidates(world.handle, 10, 100).best(decision.state, decision.pod, decision.diagnosis.statuses)
    assert best is None


async def classes(cluster: SimCluster) -> None:
    for name, value in (("low", 1), ("high", 100)):
        await cluster.client.create(PRIORITY_CLASSES, {"metadata": {"name": name}, "value": value})


def gang(name: str, least: int, priority: str) -> Object:
    made = group(name, least)
    made["spec"]["priorityClassName"] = priority
    return made


def test_a_gang_takes_the_room_of_what_is_less_important() -> None:
    async def scenario(cluster: SimCluster) -> None:
        """Three nodes of two CPUs."""
        await classes(cluster)
        for n in range(3):
            await cluster.client.create(PODS, pod(f"cheap{n}", "2", priorityClassName="low"))
        for n in range(3):
            await placed(cluster, f"cheap{n}")
        await cluster.client.create(POD_GROUPS, gang("g", 2, "high"))
        for n in range(2):
            await cluster.client.create(
                PODS, pod(f"m{n}", "2", schedulingGroup={"podGroupName": "g"}, priorityClassName="high")
            )
        nodes = {await placed(cluster, f"m{n}", within_s=60) for n in range(2)}
        assert len(nodes) == 2
        left = [n for n in range(3) if await _is_there(cluster, f"cheap{n}")]
        assert len(left) == 1, "no more than the gang needed went"
        assert (await group_condition(cluster, "g"))["reason"] == "Scheduled"

        async def is_told() -> bool:
            told = [event for n in range(3) for event in await events_of(cluster, f"cheap{n}", "Preempted")]
            return len(told) == 2 and all("Preempted by pod group " in str(event) for event in told)

        await cluster.until(is_told)

    play(scenario)


async def _is_there(cluster: SimCluster, name: str) -> bool:
    """Whether nobody has asked the pod to go."""
    try:
        return "deletionTimestamp" not in (await cluster.client.get(PODS, name, "default"))["metadata"]
    except NotFound:
        return False


def test_pods_of_another_priority_than_their_groups_are_an_error() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await classes(cluster)
        await cluster.client.create(POD_GROUPS, gang("g", 1, "high"))
        await cluster.client.create(PODS, pod("m", schedulingGroup={"podGroupName": "g"}, priorityClassName="low"))

        async def is_told() -> bool:
            return (await condition(cluster, "m")).get("reason") == "SchedulerError"

        await cluster.until(is_told)
        assert (await condition(cluster, "m"))["message"] == (
            "all pods in a single pod group should have the same priority as the pod group's priority, got 1 and 100"
        )

    play(scenario)


async def test_extenders_are_asked_about_each_pod_of_a_gang() -> None:
    service = Service(filter=lambda asked: {"NodeNames": [n for n in asked["NodeNames"] if n != "n0"]})
    async with service.running() as url:
        settings = config({"urlPrefix": url, "filterVerb": "filter", "nodeCacheCapable": True})
        async with extended_cluster(settings, nodes=3, cpu="1") as api:
            await api.create(POD_GROUPS, group("g", 2))
            for n in range(2):
                made = pod(f"m{n}", "1", schedulingGroup={"podGroupName": "g"})
                await api.create(PODS, made)
            nodes: set[str] = set()
            async with asyncio.timeout(60):
                while len(nodes) < 2:
                    listed = (await api.list(PODS, "default"))["items"]
                    nodes = {one["spec"]["nodeName"] for one in listed if one["spec"].get("nodeName")}
                    await asyncio.sleep(0.05)
            assert nodes == {"n1", "n2"}
            assert {body["Pod"]["metadata"]["name"] for _, body in service.asked} == {"m0", "m1"}
