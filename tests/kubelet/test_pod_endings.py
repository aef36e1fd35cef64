"""How pods end: their work done, deleted, or out of time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.kubelet.fake_runtime import FakeRuntime, Script
from tests.kubelet.world import World, pod, simulate

from sampan.cri.runtime import ExecResult


@pytest.mark.parametrize(
    ("policy", "exit_code", "phase"),
    [("Never", 0, "Succeeded"), ("Never", 1, "Failed"), ("OnFailure", 0, "Succeeded")],
)
def test_a_pod_that_has_done_its_work_is_over(tmp_path: Path, policy: str, exit_code: int, phase: str) -> None:
    async def story() -> None:
        async with World(tmp_path, FakeRuntime(scripts={"main": Script(2.0, exit_code)})) as world:
            world.add(pod(restartPolicy=policy))
            await world.until(lambda: world.status().get("phase") == phase, 10)
            terminated = world.container()["state"]["terminated"]
            assert terminated["exitCode"] == exit_code
            assert terminated["reason"] == ("Completed" if exit_code == 0 else "Error")
            await world.until(lambda: not world.kubelet.pleg.state("uid-web").is_live, 5)
            reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
            assert world.condition("Ready")["reason"] == reason
            world.api.remove("pods", "web")
            await world.until(lambda: not world.api.objects["pods"] and not world.runtime.runs, 20)

    simulate(story)


def test_a_deleted_pod_gets_its_grace_and_its_hook_and_is_gone(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, FakeRuntime(scripts={"main": Script(dies_after_s=100)})) as world:
            hook = {"preStop": {"exec": {"command": ["bye"]}}}
            world.add(pod(containers=[{"name": "main", "lifecycle": hook}], terminationGracePeriodSeconds=20))
            await world.until(world.is_ready, 2)
            world.api.remove("pods", "web")
            took = await world.until(lambda: not world.api.objects["pods"])
            assert 20 <= took < 22
            assert world.runtime.calls[3:5] == ["exec bye", "stop main#0 20s"]
            await world.until(lambda: not world.runtime.runs and not world.runtime.boxes, 5)
            assert not list((tmp_path / "pods").iterdir())
            assert "Stopping container main" in world.api.events("Killing")
            last = [body for plural, _, body in world.api.writes if plural == "pods"][-1]
            assert last["status"]["phase"] == "Failed"

    simulate(story)


def test_a_shorter_grace_period_overtakes_a_longer_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, FakeRuntime(scripts={"main": Script(dies_after_s=1000)})) as world:
            world.add(pod(terminationGracePeriodSeconds=600))
            await world.until(world.is_ready, 2)
            world.api.remove("pods", "web")
            await world.until(lambda: any(call.startswith("stop ") for call in world.runtime.calls), 5)
            world.api.remove("pods", "web", grace_s=0)
            assert await world.until(lambda: not world.runtime.runs) < 5

    simulate(story)


def test_a_pod_deleted_while_the_kubelet_was_away_is_ended(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            hook = {"preStop": {"exec": {"command": ["bye"]}}}
            world.add(pod(containers=[{"name": "main", "lifecycle": hook}], terminationGracePeriodSeconds=7))
            await world.until(world.is_ready, 5)
            await world.__aexit__()
            world.api.remove("pods", "web", grace_s=0)
            world.kubelet = world._new()
            await world.__aenter__()
            await world.until(lambda: not world.runtime.runs and not world.runtime.boxes, 30)
            assert "exec bye" in world.runtime.calls and "stop main#0 7s" in world.runtime.calls

    simulate(story)


def test_a_pod_over_its_deadline_fails(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod(activeDeadlineSeconds=30))
            took = await world.until(lambda: world.status().get("reason") == "DeadlineExceeded", 60)
            assert 29 <= took <= 32 and world.status()["phase"] == "Failed"
            await world.until(lambda: not world.kubelet.pleg.state("uid-web").is_live, 40)

    simulate(story)


def test_a_pod_that_is_ending_stays_probed_for_readiness_only(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1}
            hook = {"preStop": {"sleep": {"seconds": 20}}}
            world.add(pod(containers=[{"name": "main", "readinessProbe": probe, "livenessProbe": probe,
                                       "lifecycle": hook}]))
            await world.until(world.is_ready, 10)
            world.api.remove("pods", "web")
            await asyncio.sleep(3)
            assert world.is_ready()
            world.runtime.exec_results["check"] = ExecResult(b"", b"", 1)
            await world.until(lambda: not world.is_ready(), 3)
            assert not any("failed liveness" in text for text in world.api.events("Killing"))
            await world.until(lambda: world.api.get("pods", "web") is None, 60)

    simulate(story)


def test_a_pod_over_its_deadline_is_failed_only_when_nothing_of_it_runs(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod(activeDeadlineSeconds=5, containers=[
                {"name": "main", "lifecycle": {"preStop": {"sleep": {"seconds": 10}}}}]))
            await world.until(world.is_ready, 5)
            await world.until(lambda: not world.is_ready(), 10)
            assert world.status()["phase"] == "Running" and world.container()["state"].get("running")
            await world.until(lambda: world.status()["phase"] == "Failed", 30)
            assert world.status()["reason"] == "DeadlineExceeded"
            assert world.container()["state"].get("terminated")

    simulate(story)


def test_a_pod_has_succeeded_only_when_its_sidecars_have_ended(tmp_path: Path) -> None:
    async def story() -> None:
        runtime = FakeRuntime(scripts={"main": Script(seconds=3), "side": Script(dies_after_s=10)})
        async with World(tmp_path, runtime) as world:
            side = {"name": "side", "image": "app:1", "restartPolicy": "Always"}
            world.add(pod(restartPolicy="Never", initContainers=[side]))
            await world.until(lambda: (world.container().get("state") or {}).get("terminated"), 10)
            await asyncio.sleep(1)
            assert world.status()["phase"] == "Running"
            await world.until(lambda: world.status()["phase"] == "Succeeded", 30)
            (shown,) = world.status()["initContainerStatuses"]
            assert shown["state"].get("terminated")

    simulate(story)
