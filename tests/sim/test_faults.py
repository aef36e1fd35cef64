"""Faults as data: they are drawn from a seed, print as what makes them, shrink, and replay byte for byte."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.api.resources import CONFIG_MAPS
from sampan.apimachinery import errors
from sampan.apimachinery.http import UserInfo
from sampan.client.client import Client
from sampan.sim import shrink
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.documents import document
from sampan.sim.faults import kinds
from sampan.sim.faults.kinds import BrokenWatch, Crash, Lossy, Partition, RepeatedWatch, ServerCrash, Slow, StoreDown
from sampan.sim.faults.plan import FaultPlan, Field, draw
from sampan.sim.loop import run
from sampan.sim.node import node_specs
from sampan.sim.observer import Violation
from sampan.sim.play import Outcome, Trial, play
from sampan.sim.regression import save
from sampan.sim.report import timeline
from sampan.sim.scenarios.table import SCENARIOS

FIELD = Field(("controllers", "scheduler", "nodes"), ("node-0000", "node-0001"))
REPLAY = """
from sampan.sim.play import Trial, play
from sampan.sim.scenarios.table import SCENARIOS
outcome = play(Trial(SCENARIOS["statefulsets"], 8, "heavy", minutes=1.5))
print(outcome.fingerprint, outcome.faults, outcome.writes)
"""


def test_a_plan_is_drawn_from_its_seed_and_prints_as_the_python_that_makes_it() -> None:
    plan = draw(3, "heavy", 600.0, FIELD)
    assert plan == draw(3, "heavy", 600.0, FIELD) != draw(4, "heavy", 600.0, FIELD)
    assert len(plan.faults) > 20
    again = eval(str(plan), {**vars(kinds), "FaultPlan": FaultPlan})
    assert again == plan


def test_without_faults_there_is_no_network() -> None:
    assert draw(3, "none", 600.0, FIELD) == FaultPlan(network=False)


def test_a_heavy_trial_replays_byte_for_byte_in_any_process() -> None:
    seen = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", REPLAY], capture_output=True, text=True, timeout=280,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        seen.add(done.stdout)
    [line] = seen
    assert int(line.split()[1]) > 3, "faults struck"


def with_network(scenario):  # type: ignore[no-untyped-def]
    async def main() -> None:
        config = SimConfig(node_specs(1), quiet=False)
        async with SimCluster(1, config=config) as cluster:
            await scenario(cluster)

    run(main())


def config_map(name: str):  # type: ignore[no-untyped-def]
    return document("ConfigMap", "v1", name)


def test_a_lost_answer_loses_no_write_and_a_lost_request_makes_none() -> None:
    async def scenario(cluster: SimCluster) -> None:
        for fault, there in ((Lossy(0, 1, "user", 0.0, 1.0), True), (Lossy(0, 1, "user", 1.0, 0.0), False)):
            fault.begin(cluster)
            name = f"there-{there}".lower()
            with pytest.raises(errors.ServiceUnavailable):
                await cluster.client.create(CONFIG_MAPS, config_map(name))
            fault.end(cluster)
            found = [one["metadata"]["name"] for one in (await cluster.client.list(CONFIG_MAPS, "default"))["items"]]
            assert (name in found) is there

    with_network(scenario)


def test_nothing_passes_a_partition_and_the_caller_learns_it_in_time() -> None:
    async def scenario(cluster: SimCluster) -> None:
        fault = Partition(0, 1, "user")
        fault.begin(cluster)
        began = asyncio.get_running_loop().time()
        with pytest.raises(errors.ServiceUnavailable, match="timed out"):
            await cluster.client.list(CONFIG_MAPS, "default")
        assert 9 < asyncio.get_running_loop().time() - began < 12
        fault.end(cluster)
        await cluster.client.list(CONFIG_MAPS, "default")

    with_network(scenario)


def test_independent_requests_overtake_each_other() -> None:
    async def scenario(cluster: SimCluster) -> None:
        Slow(0, 1, "user", 5.0).begin(cluster)
        names = [f"c{number}" for number in range(20)]
        await asyncio.gather(*(cluster.client.create(CONFIG_MAPS, config_map(name)) for name in names))
        items = (await cluster.client.list(CONFIG_MAPS, "default"))["items"]
        made = sorted((one for one in items if one["metadata"]["name"] in names), key=lambda one: int(
            one["metadata"]["resourceVersion"]))
        assert [one["metadata"]["name"] for one in made] != names

    with_network(scenario)


def test_the_store_survives_the_api_server() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(CONFIG_MAPS, config_map("kept"))
        fault = ServerCrash(0, 1)
        fault.begin(cluster)
        with pytest.raises(errors.ServiceUnavailable):
            await cluster.client.get(CONFIG_MAPS, "kept", "default")
        fault.end(cluster)
        await asyncio.sleep(1)
        await cluster.client.get(CONFIG_MAPS, "kept", "default")

    with_network(scenario)


def test_a_store_that_is_down_takes_nothing() -> None:
    async def scenario(cluster: SimCluster) -> None:
        fault = StoreDown(0, 1)
        fault.begin(cluster)
        with pytest.raises(errors.APIError):
            await cluster.client.create(CONFIG_MAPS, config_map("never"))
        fault.end(cluster)
        with pytest.raises(errors.NotFound):
            await cluster.client.get(CONFIG_MAPS, "never", "default")

    with_network(scenario)


@pytest.mark.parametrize("phase", ["before", "inside", "after"])
def test_a_component_is_killed_at_its_write_and_lives_again(phase: str) -> None:
    async def scenario(cluster: SimCluster) -> None:
        await asyncio.sleep(30)
        component = cluster.components["nodes"]
        Crash(0, 5.0, "nodes", phase).begin(cluster)
        await cluster.until(lambda: component.life.over, within_s=30)
        await cluster.until(lambda: component.life.number == 2 and not component.life.over, within_s=30)

    with_network(scenario)


def test_a_broken_watch_comes_back_without_a_gap() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await asyncio.sleep(5)
        BrokenWatch(0, 1, "scheduler", "/pods", expired=True).begin(cluster)
        assert cluster.network.link("scheduler").expires
        await cluster.until(lambda: not cluster.network.link("scheduler").expires, within_s=30)

    with_network(scenario)


def test_events_come_twice_while_a_link_repeats_them() -> None:
    async def scenario(cluster: SimCluster) -> None:
        link = cluster.network.link("watcher")
        life = cluster.components["scheduler"].life
        client = Client(cluster.network.connect(life, UserInfo("u", groups=("system:masters",)), "watcher"))
        seen: list[str] = []

        async def watch() -> None:
            version = (await client.list(CONFIG_MAPS, "default"))["metadata"]["resourceVersion"]
            async for event in client.watch(CONFIG_MAPS, "default", resource_version=version):
                seen.append(f"{event.type} {event.object['metadata']['name']}")  # noqa: PERF401 - it is looked at meanwhile

        watching = asyncio.ensure_future(watch())
        await asyncio.sleep(2)
        fault = RepeatedWatch(0, 1, "watcher", share=1.0)
        fault.begin(cluster)
        assert link.troubles == [fault]
        await cluster.client.create(CONFIG_MAPS, config_map("a"))
        await asyncio.sleep(2)
        fault.end(cluster)
        await cluster.client.create(CONFIG_MAPS, config_map("b"))
        await asyncio.sleep(2)
        watching.cancel()
        assert seen == ["ADDED a", "ADDED a", "ADDED b"]

    with_network(scenario)


@pytest.mark.parametrize("name", ["jobs", "deployments", "statefulsets"])
def test_controllers_do_the_same_on_events_that_come_twice(name: str) -> None:
    plan = FaultPlan((RepeatedWatch(0.0, 120.0, "*", share=0.7),))
    outcome = play(Trial(SCENARIOS[name], 5, plan=plan, minutes=1.0))
    assert outcome.violation is None, timeline(outcome)
    assert outcome.faults == 1


def test_later_seeds_have_repeated_events_and_earlier_ones_stay_as_they_were() -> None:
    def repeated(seed: int) -> bool:
        return any(isinstance(fault, RepeatedWatch) for fault in draw(seed, "heavy", 600.0, FIELD).faults)

    assert not any(repeated(seed) for seed in range(1, 17)) and all(repeated(seed) for seed in range(17, 30))


def test_a_plan_shrinks_to_the_faults_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = draw(3, "heavy", 600.0, FIELD)
    needed = {plan.faults[4], plan.faults[17]}

    def broken(trial: Trial) -> Outcome:
        outcome = Outcome(trial, trial.plan or plan)
        if needed <= set(outcome.plan.faults):
            outcome.violation = Violation("made up", "both are there", 1.0)
        return outcome

    monkeypatch.setattr(shrink, "play", broken)
    smallest = shrink.shrink(broken(Trial(SCENARIOS["jobs"], 1, plan=plan)))
    assert set(smallest.plan.faults) == needed


def test_a_violation_is_told_and_becomes_a_test_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sampan.sim.invariants.replicas import ReplicaCount

    monkeypatch.setattr(ReplicaCount, "check", lambda self, world, change: iter(("there are pods",)))
    outcome = play(Trial(SCENARIOS["deployments"], 2, "light", minutes=0.5))
    assert outcome.violation is not None
    assert "VIOLATED replica count: there are pods" in timeline(outcome)
    (tmp_path / "test_deployments_2.py").write_text("another test of the same seed")
    path = save(outcome, tmp_path)
    assert path == save(outcome, tmp_path) == tmp_path / "test_deployments_2_2.py"
    names: dict[str, object] = {}
    exec(compile(path.read_text(), path, "exec"), names)
    [test] = [value for name, value in names.items() if name.startswith("test_")]
    with pytest.raises(AssertionError, match="there are pods"):
        test()  # type: ignore[operator]
    monkeypatch.undo()
    test()  # type: ignore[operator]
