"""Pods on a node, from their first container on: what starts, what does not, and what changes in place."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from tests.kubelet.fake_runtime import FakeRuntime, Script
from tests.kubelet.world import World, pod, simulate


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


def test_pods_run_without_runtime_events_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, FakeRuntime(with_events=False)) as world:
            world.add(pod())
            await world.until(world.is_ready, 5)
            world.runtime.finish("main", 1)
            assert await world.until(lambda: "start main#1" in world.runtime.calls, 10) < 2

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
