"""Making room for more important pods."""

from __future__ import annotations

from typing import Any

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.interface import PostFilterResult
from sampan.scheduler.plugins.preemption_candidates import Candidates
from sampan.scheduler.pod_info import parse


def preempt(world: Any, **pod: Any) -> PostFilterResult:
    decision = world.decide(**pod)
    assert not decision.node_name
    result: PostFilterResult = world.framework.post_filter(decision.state, decision.pod, decision.diagnosis.statuses)
    return result


def victims(world: Any, **pod: Any) -> dict[str, set[str]]:
    """By node, the pods that would have to go."""
    decision = world.decide(**pod)
    candidates = Candidates(world.handle, 10, 100)
    found = {}
    for node in world.snapshot.nodes():
        tried = candidates.on(decision.state, decision.pod, node)
        if world.handle.trial.only_resources_can_refuse(decision.state):
            assert candidates._by_arithmetic(decision.pod, node) == tried
        if tried is not None:
            found[tried.node_name] = {victim.name for victim in tried.victims}
    return found


def test_equals_are_never_victims(world: Any) -> None:
    world.node("a", cpu="1")
    world.node("b", taints=[{"key": "k", "effect": "NoSchedule"}])
    world.run("a", cpu="1", priority=5)
    assert preempt(world, cpu="1", priority=5).message == (
        "no new claims to deallocate, "
        "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
        "1 Preemption is not helpful for scheduling."
    )


def test_as_few_as_possible_have_to_go(world: Any) -> None:
    world.node("a", cpu="4")
    for name, cpu, priority in (("small", "1", 1), ("big", "2", 2), ("also-small", "1", 3)):
        world.run("a", name=name, cpu=cpu, priority=priority)
    assert victims(world, cpu="1", priority=10) == {"a": {"small"}}
    assert victims(world, cpu="2", priority=10) == {"a": {"big"}}
    assert victims(world, cpu="4", priority=10) == {"a": {"small", "big", "also-small"}}
    assert victims(world, cpu="4", priority=3) == {}


def test_the_node_with_the_least_important_victim_is_chosen(world: Any) -> None:
    for name, priority in (("a", 3), ("b", 1), ("c", 2)):
        world.node(name, cpu="1")
        world.run(name, cpu="1", priority=priority)
    assert preempt(world, cpu="1", priority=10) == PostFilterResult("b")


def test_disruption_budgets_are_respected_if_there_is_a_choice(world: Any) -> None:
    for name, app in (("a", "protected"), ("b", "free")):
        world.node(name, cpu="1")
        world.run(name, cpu="1", priority=1 if name == "a" else 5, labels={"app": app})
    world.budgets = [{
        "spec": {"selector": {"matchLabels": {"app": "protected"}}}, "status": {"disruptionsAllowed": 0},
    }]
    assert preempt(world, cpu="1", priority=10).nominated_node == "b"
    assert preempt(world, cpu="1", priority=10, nodeSelector={"kubernetes.io/hostname": "a"}).nominated_node == "a"


def test_a_policy_of_never_is_respected(world: Any) -> None:
    world.node("a", cpu="1")
    world.run("a", cpu="1", priority=1)
    result = preempt(world, cpu="1", priority=10, preemptionPolicy="Never")
    assert result == PostFilterResult(
        "", "no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never."
    )


def test_while_victims_end_no_more_are_taken(world: Any) -> None:
    world.node("a", cpu="2")
    world.run("a", cpu="1", priority=1, meta={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    world.run("a", cpu="1", priority=1)
    result = preempt(world, cpu="1", priority=10, status={"nominatedNodeName": "a"})
    assert result.message == (
        "no new claims to deallocate, preemption: not eligible due to a terminating pod on the nominated node."
    )


def test_room_that_is_made_for_one_is_not_given_to_a_lesser(world: Any) -> None:
    world.node("a", cpu="1")
    world.snapshot.nominate(parse(world.pod("vip", cpu="1", priority=10)), "a")
    assert world.why(cpu="1", priority=5) == "0/1 nodes are available: 1 Insufficient cpu."
    assert world.where(cpu="1", priority=11) == "a"
    assert world.where(name="vip", cpu="1", priority=10) == "a"


def test_pods_that_keep_others_away_can_be_victims(world: Any) -> None:
    world.node("a")
    term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    world.run("a", name="hermit", priority=1, affinity=affinity)
    world.run("a", name="bystander", priority=1)
    assert victims(world, labels={"app": "web"}, priority=10) == {"a": {"hermit"}}


def helps(world: Any, node: str, freed: dict[str, Any], **waiting: Any) -> bool:
    """Whether NodeResourcesFit thinks that the end of a pod on a node helps one that waits."""
    plugin = world.framework.plugins["NodeResourcesFit"]
    old = parse(world.pod(nodeName=node, **freed))
    result: bool = plugin.hint(parse(world.pod(**waiting)), ClusterEvent.POD_FREED, old, None)
    return result


def test_freed_room_helps_only_whom_it_is_enough_for(world: Any) -> None:
    world.node("a", cpu="2")
    world.run("a", cpu="1", priority=5)
    assert helps(world, "a", {}, cpu="1")
    assert not helps(world, "a", {}, cpu="1500m")
    assert helps(world, "a", {}, cpu="1500m", priority=6)
    assert not helps(world, "a", {}, cpu="1500m", priority=6, preemptionPolicy="Never")
    assert not helps(world, "a", {}, cpu="3", priority=6)
    assert not helps(world, "gone", {}, cpu="1")


def test_freed_room_that_is_meant_for_another_helps_only_him(world: Any) -> None:
    world.node("a", cpu="1")
    world.snapshot.nominate(parse(world.pod("vip", cpu="1", priority=10)), "a")
    assert helps(world, "a", {}, name="vip", cpu="1", priority=10)
    assert not helps(world, "a", {}, cpu="1", priority=10)
    assert helps(world, "a", {}, cpu="1", priority=11)
