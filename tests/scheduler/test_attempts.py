"""What the last failed attempt saw is kept small, told whole, and forgotten in time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.scheduler.conftest import World

from sampan.scheduler import attempts
from sampan.scheduler.attempts import Attempts
from sampan.scheduler.framework.status import unschedulable
from sampan.scheduler.framework.verdicts import Verdicts
from sampan.scheduler.pod_info import parse
from sampan.scheduler.queue import QueuedPod


def failed(world: World, kept: Attempts, name: str = "p", **pod: Any) -> None:
    decision = world.decide(name=name, **pod)
    assert not decision.node_name
    queued = QueuedPod(parse(world.pod(name=name)), 0.0, attempts=3)
    kept.note(queued, decision.diagnosis.message, decision.diagnosis)


def told(kept: Attempts, key: str = "default/p") -> dict[str, Any]:
    found = kept.of(key)
    assert found is not None
    return found


def test_each_node_has_its_verdict(world: World) -> None:
    world.node("a", cpu="1")
    world.node("b", cpu="1")
    world.node("c", taints=[{"key": "dedicated", "value": "db", "effect": "NoSchedule"}])
    kept = Attempts()
    failed(world, kept, cpu="2")
    found = told(kept)
    assert (found["attempt"], found["uid"]) == (3, "uid-p")
    assert sorted((one["plugin"], one["reasons"][0], one["nodes"]) for one in found["verdicts"]) == [
        ("NodeResourcesFit", "Insufficient cpu", ["a", "b"]),
        ("TaintToleration", "node(s) had untolerated taint(s)", ["c"]),
    ]


def test_what_the_attempt_saw_stays_when_the_cluster_changes(world: World) -> None:
    world.node("a", cpu="1")
    kept = Attempts()
    failed(world, kept, cpu="2")
    world.node("a", cpu="4")
    world.snapshot.remove_node("a")
    world.node("b")
    assert told(kept)["verdicts"][0]["nodes"] == ["a"]


def test_a_verdict_on_the_pod_itself_is_that_of_all_nodes(world: World) -> None:
    world.node("a")
    kept = Attempts()
    failed(world, kept, volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}])
    [one] = told(kept)["verdicts"]
    assert one["nodes"] == ["a"] and one["plugin"]


def test_several_reasons_of_a_node_are_told_together(world: World) -> None:
    for number in range(40):
        world.node(f"n{number}", cpu="1" if number % 2 else "4", memory="1Gi")
    kept = Attempts()
    failed(world, kept, cpu="2", memory="2Gi")
    reasons = {one["nodes"][0]: one["reasons"] for one in told(kept)["verdicts"]}
    assert sorted(reasons.values()) == [["Insufficient cpu", "Insufficient memory"], ["Insufficient memory"]]


def test_however_many_reasons_there_are_each_row_keeps_its_own() -> None:
    codes = np.array([row % 50 for row in range(200)])
    found = Verdicts(
        tuple(f"n{row}" for row in range(200)), np.where(codes > 0, 1, 0), codes,
        lambda by, code: unschedulable(f"reason {code}"),
    )
    statuses, index = found.indexed()
    assert len(statuses) == 49
    assert [statuses[place - 1].message if place else "" for place in index.tolist()] == [
        f"reason {code}" if code else "" for code in codes.tolist()
    ]


def test_thousands_of_nodes_take_little(world: World) -> None:
    for number in range(5000):
        world.node(f"n{number}", cpu="1")
    kept = Attempts()
    failed(world, kept, cpu="2")
    assert len(kept._attempts["default/p"].packed) < 200


def test_the_longest_ago_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "LIMIT", 2)
    world.node("a", cpu="1")
    kept = Attempts()
    for name in ("p", "q", "p", "r"):
        failed(world, kept, name, cpu="2")
    assert kept.of("default/q") is None and kept.of("default/p") is not None and len(kept) == 2


def test_sets_of_nodes_that_are_long_gone_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "GENERATIONS", 2)
    kept = Attempts()
    for number in range(3):
        world.node(f"n{number}", cpu="1")
        failed(world, kept, f"p{number}", cpu="2")
    assert kept.of("default/p0") is None and len(kept) == 2 == len(kept._generations)
