"""Gangs: all of them or none, in one place if they say so."""

from __future__ import annotations

from typing import Any

from tests.scheduler.conftest import World
from tests.scheduler.test_scheduler import condition, node_of, placed, play, pod

from sampan.api.resources import NODES, POD_GROUPS, PODS
from sampan.apimachinery.object import Object
from sampan.scheduler.gang_cycle import GangCycle, Outcome
from sampan.scheduler.pod_groups import Gang
from sampan.scheduler.pod_info import PodInfo, parse
from sampan.sim.cluster import SimCluster


def cycle(
    world: World, pods: list[PodInfo], min_count: int, key: str = "", running: tuple[PodInfo, ...] = ()
) -> Outcome:
    return GangCycle(world.framework, world.snapshot, Gang("default/g", {}, min_count, key), pods, running).run()


def gang(world: World, count: int, **spec: Any) -> list[PodInfo]:
    return [parse(world.pod(f"member-{n}", **spec)) for n in range(count)]


def racks(world: World, *sizes: int) -> None:
    for rack, size in enumerate(sizes):
        for n in range(size):
            world.node(f"r{rack}-n{n}", cpu="1", labels={"rack": f"rack-{rack}"})


def nodes_of(outcome: Outcome) -> set[str]:
    return {decision.node_name for decision in outcome.placed}


def test_a_gang_for_which_there_is_room_is_assumed_as_a_whole(world: World) -> None:
    racks(world, 3)
    outcome = cycle(world, gang(world, 3, cpu="1"), 3)
    assert outcome.enough
    assert nodes_of(outcome) == {"r0-n0", "r0-n1", "r0-n2"}
    assert all(world.snapshot.is_assumed(f"default/member-{n}") for n in range(3))


def test_a_gang_that_does_not_fit_leaves_no_trace(world: World) -> None:
    racks(world, 2)
    outcome = cycle(world, gang(world, 3, cpu="1"), 3)
    assert not outcome.enough
    assert not world.snapshot.placed()
    assert world.where(cpu="1")


def test_more_pods_than_the_minimum_are_placed_as_far_as_there_is_room(world: World) -> None:
    racks(world, 2)
    outcome = cycle(world, gang(world, 3, cpu="1"), 2)
    assert outcome.enough
    assert len(outcome.placed) == 2
    assert len(outcome.refused) == 1


def test_members_that_run_count(world: World) -> None:
    racks(world, 3)
    running = parse(world.run("r0-n0", name="first", cpu="1"))
    assert cycle(world, gang(world, 2, cpu="1"), 3, running=(running,)).enough


def test_a_gang_in_one_domain_goes_where_all_of_it_fits(world: World) -> None:
    racks(world, 2, 4, 3)
    outcome = cycle(world, gang(world, 4, cpu="1"), 3, "rack")
    assert {name[:2] for name in nodes_of(outcome)} == {"r1"}
    assert len(outcome.placed) == 4


def test_a_gang_in_one_domain_is_content_with_room_for_its_minimum(world: World) -> None:
    racks(world, 2, 3)
    outcome = cycle(world, gang(world, 4, cpu="1"), 3, "rack")
    assert {name[:2] for name in nodes_of(outcome)} == {"r1"}
    assert len(outcome.placed) == 3


def test_a_gang_in_one_domain_stays_where_it_runs(world: World) -> None:
    racks(world, 2, 4)
    running = parse(world.run("r0-n0", name="first", cpu="1"))
    assert nodes_of(cycle(world, gang(world, 1, cpu="1"), 2, "rack", (running,))) == {"r0-n1"}
    assert not cycle(world, gang(world, 2, cpu="1"), 3, "rack", (running,)).enough


def group(name: str, min_count: int) -> Object:
    return {
        "apiVersion": "scheduling.k8s.io/v1beta1", "kind": "PodGroup",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"schedulingPolicy": {"gang": {"minCount": min_count}}},
    }


async def group_condition(cluster: SimCluster, name: str) -> Object:
    found = await cluster.client.get(POD_GROUPS, name, "default")
    return next(iter((found.get("status") or {}).get("conditions") or []), {})


def test_a_gang_waits_for_its_object_and_for_all_its_pods() -> None:
    async def scenario(cluster: SimCluster) -> None:
        async def says(name: str, text: str) -> bool:
            return text in ((await condition(cluster, name)).get("message") or "")

        for name in ("a", "b"):
            await cluster.client.create(PODS, pod(name, schedulingGroup={"podGroupName": "g"}))
        await cluster.client.create(PODS, pod("other"))
        await placed(cluster, "other")
        assert await node_of(cluster, "a") == ""
        await cluster.client.create(POD_GROUPS, group("g", 3))
        await cluster.client.create(PODS, pod("another"))
        await placed(cluster, "another")
        assert await node_of(cluster, "a") == ""
        await cluster.client.create(PODS, pod("c", schedulingGroup={"podGroupName": "g"}))
        for name in ("a", "b", "c"):
            await placed(cluster, name)
        assert (await group_condition(cluster, "g"))["reason"] == "Scheduled"

    play(scenario)


def test_two_gangs_that_fit_one_at_a_time_do_not_block_each_other() -> None:
    async def scenario(cluster: SimCluster) -> None:
        """Three nodes of two CPUs; each gang takes four of the six."""
        for name in ("x", "y"):
            await cluster.client.create(POD_GROUPS, group(name, 4))
        for n in range(4):
            for name in ("x", "y"):
                await cluster.client.create(PODS, pod(f"{name}{n}", "1", schedulingGroup={"podGroupName": name}))

        async def sizes() -> dict[str, int]:
            found = [await node_of(cluster, f"{name}{n}") for name in "xy" for n in range(4)]
            return {"x": sum(map(bool, found[:4])), "y": sum(map(bool, found[4:]))}

        async def one_is_placed() -> bool:
            return 4 in (await sizes()).values()

        await cluster.until(one_is_placed)
        assert sorted((await sizes()).values()) == [0, 4]
        counts = await sizes()
        winner = max(counts, key=lambda name: counts[name])
        loser = min(counts, key=lambda name: counts[name])

        async def says_why() -> bool:
            return (await group_condition(cluster, loser)).get("reason") == "Unschedulable"

        await cluster.until(says_why)
        assert "minCount (4) cannot be satisfied: 2 of" in (await group_condition(cluster, loser))["message"]
        for n in range(4):
            await cluster.client.delete(PODS, f"{winner}{n}", "default", grace_period_s=0)
        for n in range(4):
            await placed(cluster, f"{loser}{n}")

    play(scenario)


def test_a_lower_minimum_lets_a_gang_go() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(POD_GROUPS, group("g", 2))
        await cluster.client.create(PODS, pod("a", schedulingGroup={"podGroupName": "g"}))
        await cluster.client.create(PODS, pod("other"))
        await placed(cluster, "other")
        assert await node_of(cluster, "a") == ""
        patch: Object = {"spec": {"schedulingPolicy": {"gang": {"minCount": 1}}}}
        await cluster.client.patch(POD_GROUPS, "g", patch, "default")
        await placed(cluster, "a")

    play(scenario)


def test_a_node_more_is_reason_to_try_the_whole_gang_again() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(POD_GROUPS, group("g", 4))
        for n in range(4):
            await cluster.client.create(PODS, pod(f"m{n}", "2", schedulingGroup={"podGroupName": "g"}))

        async def is_refused() -> bool:
            return (await condition(cluster, "m0")).get("reason") == "Unschedulable"

        await cluster.until(is_refused)
        node = await cluster.client.get(NODES, "n0")
        more: Object = {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n9", "labels": node["metadata"]["labels"]},
            "status": node["status"],
        }
        await cluster.client.create(NODES, more)
        for n in range(4):
            await placed(cluster, f"m{n}")

    play(scenario)
