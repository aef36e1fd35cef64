"""Pods on a node, from their first container to their last trace, on virtual time."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest
from tests.kubelet.fake_runtime import FakeRuntime, Script
from tests.kubelet.world import World, pod, simulate

from sampan.cri.runtime import ExecResult


def test_a_pod_becomes_ready_and_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod())
            await world.until(world.is_ready, 2)
            status = world.status()
            assert status["phase"] == "Running"
            assert status["podIP"] == "10.0.0.1" and status["podIPs"] == [{"ip": "10.0.0.1"}]
            assert status["hostIP"] == "192.168.0.1" and status["qosClass"] == "BestEffort"
            assert status["observedGeneration"] == 1
            container = world.container()
            assert container["ready"] and container["started"] and container["restartCount"] == 0
            assert container["containerID"].startswith("containerd://")
            assert [item["type"] for item in status["conditions"]] == [
                "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
            ]
            assert world.runtime.calls == ["run_sandbox web", "create main#0", "start main#0"]
            await world.until(lambda: len(world.api.events()) >= 8)
            assert world.api.events("Pulled") == [
                'Container image "app:1" already present on machine and can be accessed by the pod'
            ]
            assert world.api.events("Created") == ["Container created"]
            assert world.api.events("Started") == ["Container started"]
            event = next(item for item in world.api.objects["events"].values() if item["reason"] == "Started")
            assert event["involvedObject"]["fieldPath"] == "spec.containers{main}"

    simulate(story)


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


def test_init_containers_run_one_after_the_other_and_a_sidecar_stays(tmp_path: Path) -> None:
    async def story() -> None:
        runtime = FakeRuntime(scripts={"first": Script(1.0), "last": Script(1.0)})
        async with World(tmp_path, runtime) as world:
            world.add(pod(initContainers=[
                {"name": "first", "image": "app:1"},
                {"name": "side", "image": "app:1", "restartPolicy": "Always"},
                {"name": "last", "image": "app:1"},
            ]))
            await world.until(lambda: world.condition("Initialized").get("status") == "False", 2)
            assert world.condition("Initialized")["message"] == "containers with incomplete status: [first side last]"
            assert world.container()["state"]["waiting"]["reason"] == "PodInitializing"
            await world.until(world.is_ready, 10)
            starts = [call for call in runtime.calls if call.startswith("start ")]
            assert starts == ["start first#0", "start side#0", "start last#0", "start main#0"]
            inits = {item["name"]: item for item in world.status()["initContainerStatuses"]}
            assert inits["first"]["state"]["terminated"]["reason"] == "Completed" and inits["first"]["ready"]
            assert inits["side"]["state"]["running"] and inits["side"]["ready"]
            runtime.finish("side", 1)
            await world.until(lambda: "start side#1" in runtime.calls, 5)
            world.api.remove("pods", "web")
            await world.until(lambda: not world.api.objects["pods"], 20)
            stops = [call.split("#")[0] for call in runtime.calls if call.startswith("stop ")]
            assert stops == ["stop main", "stop side"]

    simulate(story)


def test_a_failed_init_container_fails_a_pod_that_never_restarts(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, FakeRuntime(scripts={"init": Script(1.0, 2)})) as world:
            world.add(pod(restartPolicy="Never", initContainers=[{"name": "init", "image": "app:1"}]))
            await world.until(lambda: world.status().get("phase") == "Failed", 5)
            assert "start main#0" not in world.runtime.calls

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


def test_a_missing_image_is_pulled_or_the_status_says_why_not(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod(containers=[{"name": "main", "image": "lost:1"}]))
            await world.until(lambda: world.waiting() == "ErrImagePull", 5)
            await world.until(lambda: world.waiting() == "ImagePullBackOff", 10)
            message = world.container()["state"]["waiting"]["message"]
            assert message.startswith('Back-off pulling image "lost:1": ErrImagePull: failed to resolve reference')
            world.runtime.pullable.add("lost:1")
            await world.until(world.is_ready, 60)
            assert any(text.startswith('Successfully pulled image "lost:1" in') for text in world.api.events("Pulled"))

    simulate(story)


@pytest.mark.parametrize(
    ("container", "reason", "message"),
    [
        ({"image": "lost:1", "imagePullPolicy": "Never"}, "ErrImageNeverPull",
         'Container image "lost:1" is not present with pull policy of Never'),
        ({"image": "Not A Name"}, "InvalidImageName",
         'Failed to apply default image tag "Not A Name": couldn\'t parse image name "Not A Name": '
         "invalid reference format"),
        ({"envFrom": [{"configMapRef": {"name": "nope"}}]}, "CreateContainerConfigError",
         'configmap "nope" not found'),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
         "CreateContainerConfigError", 'secret "s" not found'),
        ({"securityContext": {"runAsNonRoot": True}}, "CreateContainerConfigError",
         'container has runAsNonRoot and image will run as root (pod: "web_default(uid-web)", container: main)'),
    ],
)
def test_what_keeps_a_container_from_starting_is_in_its_status(
    tmp_path: Path, container: dict[str, object], reason: str, message: str
) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod(containers=[{"name": "main", **container}]))
            await world.until(lambda: world.waiting() == reason, 5)
            assert world.container()["state"]["waiting"]["message"] == message
            assert world.status()["phase"] == "Pending"

    simulate(story)


def test_a_missing_config_map_volume_holds_the_pod_until_it_is_there(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod(
                containers=[{"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                volumes=[{"name": "v", "configMap": {"name": "later"}}],
            ))
            await world.until(lambda: world.api.events("FailedMount"), 5)
            assert world.api.events("FailedMount")[0] == (
                'MountVolume.SetUp failed for volume "v" : configmap "later" not found'
            )
            world.api.put("configmaps", {"metadata": {"name": "later"}, "data": {"key": "one"}})
            await world.until(world.is_ready, 60)
            file = tmp_path / "pods/uid-web/volumes/kubernetes.io~configmap/v/key"
            assert file.read_text() == "one"
            world.api.put("configmaps", {**world.api.get("configmaps", "later"), "data": {"key": "two"}})
            await world.until(lambda: file.read_text() == "two", 90)

    simulate(story)


def test_a_pod_over_its_deadline_fails(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod(activeDeadlineSeconds=30))
            took = await world.until(lambda: world.status().get("reason") == "DeadlineExceeded", 60)
            assert 29 <= took <= 32 and world.status()["phase"] == "Failed"
            await world.until(lambda: not world.kubelet.pleg.state("uid-web").is_live, 40)

    simulate(story)


def test_a_pod_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            await world.until(lambda: (world.api.get("nodes", "n1", "") or {}).get("status"), 5)
            world.add(pod("big", [{"name": "main", "resources": {"requests": {"cpu": "3"}}}]))
            await world.until(lambda: world.is_ready("big"), 5)
            world.add(pod("more", [{"name": "main", "resources": {"requests": {"cpu": "1500m"}}}]))
            await world.until(lambda: world.status("more").get("phase") == "Failed", 5)
            assert world.status("more")["reason"] == "OutOfcpu"
            assert world.status("more")["message"] == (
                "Pod was rejected: Node didn't have enough resource: cpu, requested: 1500, used: 3000, capacity: 4000"
            )

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


def test_resources_changed_in_place_reach_the_running_container(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            document = world.add(pod(containers=[
                {"name": "main", "resources": {"limits": {"memory": "1Mi"}}},
                {"name": "other", "resources": {"limits": {"cpu": "1"}},
                 "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]},
            ]))
            await world.until(world.is_ready, 5)
            items = [dict(item) for item in document["spec"]["containers"]]
            items[0]["resources"] = {"limits": {"memory": "2Mi"}}
            items[1]["resources"] = {"limits": {"cpu": "2"}}
            world.api.put("pods", {**document, "spec": {**document["spec"], "containers": items},
                                   "status": world.status()})
            await world.until(lambda: f"update main {2 * 2**20}" in world.runtime.calls, 5)
            await world.until(lambda: "start other#1" in world.runtime.calls, 5)
            await world.until(world.is_ready, 5)
            assert world.runtime.calls.count(f"update main {2 * 2**20}") == 1
            assert "start main#1" not in world.runtime.calls
            assert world.container()["resources"] == {"limits": {"memory": "2Mi"}}

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


def test_pods_run_without_runtime_events_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, FakeRuntime(with_events=False)) as world:
            world.add(pod())
            await world.until(world.is_ready, 5)
            world.runtime.finish("main", 1)
            assert await world.until(lambda: "start main#1" in world.runtime.calls, 10) < 2

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


def test_a_runtime_class_names_its_handler_and_a_missing_one_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod(runtimeClassName="gvisor"))
            await world.until(lambda: world.api.events("FailedCreatePodSandBox"), 5)
            assert world.api.events("FailedCreatePodSandBox") == [
                'Failed to create pod sandbox: failed to get RuntimeClass "gvisor": not found'
            ]
            world.api.put("runtimeclasses", {"metadata": {"name": "gvisor"}, "handler": "runsc"})
            await world.until(world.is_ready, 30)
            assert world.runtime.handlers == ["runsc"]

    simulate(story)


def test_a_user_namespace_is_refused_rather_than_left_out(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod(hostUsers=False))
            await world.until(lambda: world.api.events("FailedCreatePodSandBox"), 5)
            assert "does not support user namespaces" in world.api.events("FailedCreatePodSandBox")[0]
            assert world.runtime.handlers == []

    simulate(story)


def test_a_changed_config_map_shows_at_once_and_an_optional_one_comes_and_goes(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.api.put("configmaps", {"metadata": {"name": "settings"}, "data": {"color": "blue"}})
            mounts = [{"name": "v", "mountPath": "/v"}, {"name": "o", "mountPath": "/o"}]
            world.add(pod(
                containers=[{"name": "main", "volumeMounts": mounts}],
                volumes=[{"name": "v", "configMap": {"name": "settings"}},
                         {"name": "o", "secret": {"secretName": "maybe", "optional": True}}],
            ))
            await world.until(world.is_ready, 10)
            volumes = tmp_path / "pods" / "uid-web" / "volumes"
            color = volumes / "kubernetes.io~configmap" / "v" / "color"
            maybe = volumes / "kubernetes.io~secret" / "o" / "key"
            assert color.read_text() == "blue" and not maybe.exists()
            world.api.put("configmaps", {"metadata": {"name": "settings"}, "data": {"color": "red"}})
            world.api.put("secrets", {"metadata": {"name": "maybe"}, "data": {"key": "YQ=="}})
            await world.until(lambda: color.read_text() == "red" and maybe.exists(), 1)
            world.api.remove("secrets", "maybe")
            await world.until(lambda: not maybe.exists(), 1)
            world.api.remove("pods", "web", grace_s=0)
            await world.until(lambda: not (tmp_path / "pods" / "uid-web").exists(), 60)

    simulate(story)


def test_a_pod_held_up_by_its_configuration_goes_on_when_that_is_mended(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            variable = {"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['where']"}}}
            mount = {"name": "v", "mountPath": "/v", "subPathExpr": "$(WHERE)"}
            document = pod(containers=[{"name": "main", "env": [variable], "volumeMounts": [mount]}],
                           volumes=[{"name": "v", "emptyDir": {}}])
            document["metadata"]["annotations"] = {"where": "../escape"}
            world.add(document)
            await world.until(lambda: world.waiting() == "CreateContainerConfigError", 10)
            mended = copy.deepcopy(world.api.get("pods", "web") or {})
            mended["metadata"]["annotations"] = {"where": "inside"}
            world.add(mended)
            await world.until(world.is_ready, 2)
            world.api.remove("pods", "web", grace_s=0)
            await world.until(lambda: not (tmp_path / "pods" / "uid-web").exists(), 60)

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


def test_a_resize_waits_until_there_is_room_and_is_refused_when_there_never_will_be(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            def asking(name: str, cpu: str) -> dict[str, Any]:
                return pod(name, [{"name": "main", "resources": {"requests": {"cpu": cpu}}}])

            def resize(cpu: str) -> None:
                known = copy.deepcopy(world.api.get("pods", "web") or {})
                known["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
                world.add(known)

            world.add(asking("web", "1"))
            world.add(asking("other", "2"))
            await world.until(lambda: world.is_ready() and world.is_ready("other"), 10)
            resize("3")
            await world.until(lambda: world.condition("PodResizePending"), 5)
            assert world.condition("PodResizePending")["reason"] == "Deferred"
            assert world.condition("PodResizePending")["message"] == (
                "Node didn't have enough resource: cpu, requested: 3000, used: 2000, capacity: 4000")
            assert world.container()["allocatedResources"] == {"cpu": "1"}
            world.api.remove("pods", "other", grace_s=0)
            await world.until(lambda: world.container()["allocatedResources"] == {"cpu": "3"}, 10)
            await world.until(lambda: not world.condition("PodResizePending"), 5)
            assert world.container()["resources"] == {"requests": {"cpu": "3"}}
            assert not world.condition("PodResizeInProgress")
            resize("900")
            await world.until(lambda: world.condition("PodResizePending"), 5)
            assert world.condition("PodResizePending")["reason"] == "Infeasible"
            assert world.condition("PodResizePending")["message"] == (
                "Node didn't have enough capacity: cpu, requested: 900000, capacity: 4000")
            await world.restart()
            assert world.container()["resources"] == {"requests": {"cpu": "3"}}
            await world.until(lambda: world.condition("PodResizePending").get("reason") == "Infeasible", 5)

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


def test_an_image_is_a_volume_and_its_absence_has_an_images_reasons(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            mount = [{"name": "v", "mountPath": "/v"}]
            world.add(pod(containers=[{"name": "main", "volumeMounts": mount}], volumes=[
                {"name": "v", "image": {"reference": "data:1", "pullPolicy": "IfNotPresent"}}]))
            await world.until(lambda: world.waiting() == "ErrImagePull", 10)
            world.runtime.pullable.add("data:1")
            await world.until(world.is_ready, 60)
            assert world.runtime.calls.count("mount data:1") == 1
            world.api.remove("pods", "web", grace_s=0)
            await world.until(lambda: not (tmp_path / "pods" / "uid-web").exists(), 60)
            assert "unmount image" in world.runtime.calls

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
