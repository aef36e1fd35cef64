"""Containers that start again, and those that must not: crashes, probes, a kubelet or an API that went away."""

from __future__ import annotations

from pathlib import Path

from tests.kubelet.fake_runtime import FakeRuntime, Script
from tests.kubelet.world import World, pod, simulate

from sampan.cri.runtime import ExecResult


def test_a_crashing_container_waits_longer_each_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, FakeRuntime(scripts={"main": Script(1.0, 3)})) as world:
            world.add(pod())
            await world.until(lambda: world.container().get("restartCount") == 1, 5)
            await world.until(lambda: world.waiting() == "CrashLoopBackOff", 5)
            assert world.container()["state"]["waiting"]["message"] == (
                "back-off 10s restarting failed container=main pod=web_default(uid-web)"
            )
            assert world.container()["lastState"]["terminated"]["exitCode"] == 3
            assert world.status()["phase"] == "Running" and not world.is_ready()
            waits = [
                round(await world.until(lambda n=count: world.container().get("restartCount") == n))
                for count in range(2, 9)
            ]
            assert waits[:6] == [10, 21, 41, 81, 161, 301]
            assert waits[6] == 301
            assert "Back-off restarting failed container main in pod web_default(uid-web)" in \
                world.api.events("BackOff")

    simulate(story)


def test_a_failed_init_container_fails_a_pod_that_never_restarts(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, FakeRuntime(scripts={"init": Script(1.0, 2)})) as world:
            world.add(pod(restartPolicy="Never", initContainers=[{"name": "init", "image": "app:1"}]))
            await world.until(lambda: world.status().get("phase") == "Failed", 5)
            assert "start main#0" not in world.runtime.calls

    simulate(story)


def test_a_kubelet_that_was_killed_takes_over_without_restarting_anything(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            probe = {"exec": {"command": ["ok"]}, "periodSeconds": 5, "initialDelaySeconds": 3}
            world.add(pod(containers=[{"name": "main", "readinessProbe": probe}]))
            await world.until(world.is_ready, 20)
            before, calls = world.container(), list(world.runtime.calls)
            world.api.writes.clear()
            await world.restart()
            await world.until(lambda: world.kubelet.statuses.get("uid-web"), 5)
            await world.until(lambda: world.runtime.calls[-1] == "exec ok", 20)
            assert world.container() == before and world.is_ready()
            assert [call for call in world.runtime.calls[len(calls):] if call != "exec ok"] == []
            assert not [body for plural, _, body in world.api.writes if plural == "pods"]

    simulate(story)


def test_containers_live_on_while_the_api_is_away(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod())
            await world.until(world.is_ready, 5)
            world.api.away = True
            world.runtime.finish("main", 1)
            await world.until(lambda: "start main#1" in world.runtime.calls, 30)
            world.api.away = False
            await world.until(lambda: world.container().get("restartCount") == 1, 60)

    simulate(story)


def test_after_a_reboot_the_pod_comes_back_in_a_new_sandbox(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod(initContainers=[{"name": "init", "image": "app:1"}]))
            world.runtime.scripts["init"] = Script(1.0)
            await world.until(world.is_ready, 10)
            world.runtime.lose_sandbox("web")
            await world.until(lambda: not world.is_ready(), 10)
            await world.until(world.is_ready, 60)
            assert world.container()["restartCount"] == 1
            assert world.status()["podIP"] != "10.0.0.1"
            assert "start init#1" in world.runtime.calls
            assert world.api.events("SandboxChanged") == ["Pod sandbox changed, it will be killed and re-created."]

    simulate(story)


def test_an_image_changed_in_place_restarts_only_that_container(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.runtime.images["app:2"] = world.runtime.images["app:1"]
            document = world.add(pod(containers=[{"name": "main"}, {"name": "other"}]))
            await world.until(world.is_ready, 5)
            changed = {**document, "spec": {**document["spec"], "containers": [
                {"name": "main", "image": "app:2"}, {"name": "other", "image": "app:1"},
            ]}}
            world.api.put("pods", {**changed, "status": world.status()})
            await world.until(lambda: "start main#1" in world.runtime.calls, 10)
            assert "Container main definition changed, will be restarted" in world.api.events("Killing")
            assert "start other#1" not in world.runtime.calls

    simulate(story)


def test_a_sandbox_that_cannot_be_made_is_tried_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, FakeRuntime(sandbox_error="no network")) as world:
            world.add(pod())
            await world.until(lambda: world.api.events("FailedCreatePodSandBox"), 5)
            assert world.api.events("FailedCreatePodSandBox")[0] == (
                "Failed to create pod sandbox: rpc error: code = Unknown desc = no network"
            )
            world.runtime.sandbox_error = ""
            await world.until(world.is_ready, 30)

    simulate(story)


def test_a_liveness_failure_restarts_and_a_readiness_failure_does_not(tmp_path: Path) -> None:
    async def story() -> None:
        runtime = FakeRuntime()
        async with World(tmp_path, runtime) as world:
            world.add(pod(containers=[{
                "name": "main",
                "livenessProbe": {"exec": {"command": ["alive"]}, "periodSeconds": 2, "failureThreshold": 2},
                "readinessProbe": {"exec": {"command": ["ready"]}, "periodSeconds": 1, "failureThreshold": 2},
            }]))
            await world.until(world.is_ready, 5)
            runtime.exec_results["ready"] = ExecResult(b"busy\n", b"", 1)
            await world.until(lambda: not world.is_ready(), 5)
            assert world.condition("Ready")["message"] == "containers with unready status: [main]"
            assert "Readiness probe failed: busy\n" in world.api.events("Unhealthy")
            assert world.container()["restartCount"] == 0
            runtime.exec_results = {"alive": ExecResult(b"", b"dead", 1)}
            await world.until(lambda: "start main#1" in runtime.calls, 40)
            assert "Container main failed liveness probe, will be restarted" in world.api.events("Killing")
            runtime.exec_results = {}
            await world.until(world.is_ready, 60)

    simulate(story)


def test_a_startup_probe_holds_the_others_back(tmp_path: Path) -> None:
    async def story() -> None:
        runtime = FakeRuntime(exec_results={"up": ExecResult(b"", b"", 1), "alive": ExecResult(b"", b"", 1)})
        async with World(tmp_path, runtime) as world:
            world.add(pod(containers=[{
                "name": "main",
                "startupProbe": {"exec": {"command": ["up"]}, "periodSeconds": 1, "failureThreshold": 60},
                "livenessProbe": {"exec": {"command": ["alive"]}, "periodSeconds": 1, "failureThreshold": 1},
            }]))
            await world.until(lambda: runtime.calls.count("exec up") >= 10, 20)
            assert "exec alive" not in runtime.calls and world.container()["started"] is False
            runtime.exec_results = {}
            await world.until(world.is_ready, 5)
            assert world.container()["restartCount"] == 0 and world.container()["started"] is True

    simulate(story)


def test_a_failed_post_start_hook_kills_the_container(tmp_path: Path) -> None:
    async def story() -> None:
        runtime = FakeRuntime(exec_results={"hook": ExecResult(b"", b"no", 1)})
        async with World(tmp_path, runtime) as world:
            hook = {"postStart": {"exec": {"command": ["hook"]}}}
            world.add(pod(containers=[{"name": "main", "lifecycle": hook}]))
            await world.until(lambda: world.api.events("FailedPostStartHook"), 10)
            await world.until(lambda: runtime.run_of("main").item.state == "EXITED", 10)

    simulate(story)
