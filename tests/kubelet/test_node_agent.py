"""The Node, its Lease and its events."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from tests.kubelet.fake_runtime import FakeRuntime
from tests.kubelet.world import World, pod, simulate


def conditions(world: World) -> dict[str, dict[str, str]]:
    node = world.api.get("nodes", "n1", "") or {}
    return {item["type"]: item for item in (node.get("status") or {}).get("conditions") or []}


def test_a_node_registers_with_what_upstream_says(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, node_labels={"zone": "a"}) as world:
            await world.until(lambda: conditions(world).get("Ready", {}).get("status") == "True", 5)
            node = world.api.get("nodes", "n1", "")
            assert node is not None
            assert node["metadata"]["labels"] == {
                "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": "n1", "kubernetes.io/os": "linux", "zone": "a",
            }
            status = node["status"]
            assert status["capacity"]["cpu"] == "4" and status["capacity"]["memory"] == "8388608Ki"
            assert status["addresses"] == [
                {"type": "InternalIP", "address": "192.168.0.1"}, {"type": "Hostname", "address": "n1"}
            ]
            assert status["nodeInfo"]["kubeletVersion"] == "v1.37.0+sampan"
            assert status["nodeInfo"]["containerRuntimeVersion"] == "containerd://1.0"
            assert status["images"] == [{"names": ["app:1"], "sizeBytes": 1000}]
            assert conditions(world)["Ready"]["reason"] == "KubeletReady"
            assert conditions(world)["MemoryPressure"]["message"] == "kubelet has sufficient memory available"
            await world.until(lambda: world.api.events("NodeReady"), 5)
            assert world.api.events("Starting") == ["Starting kubelet."]
            assert world.api.events("NodeReady") == ["Node n1 status is now: NodeReady"]

    simulate(story)


def test_a_node_without_a_network_is_not_ready_and_says_why(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, FakeRuntime(network_ready=False)) as world:
            await world.until(lambda: conditions(world).get("Ready", {}).get("status") == "False", 5)
            assert conditions(world)["Ready"]["reason"] == "KubeletNotReady"
            assert conditions(world)["Ready"]["message"] == (
                "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
                "message:cni plugin not initialized"
            )
            world.runtime.network_ready = True
            assert await world.until(lambda: conditions(world)["Ready"]["status"] == "True", 5) < 1

    simulate(story)


def test_the_lease_is_renewed_every_ten_seconds_and_the_status_only_when_it_changes(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            def renewed() -> str:
                lease = world.api.get("leases", "n1", "kube-node-lease") or {}
                return str((lease.get("spec") or {}).get("renewTime", ""))

            await world.until(renewed, 5)
            await world.until(lambda: conditions(world).get("Ready"), 5)
            world.api.writes.clear()
            for _ in range(6):
                before = renewed()
                assert 9 <= await world.until(lambda old=before: renewed() != old, 30) <= 11
            assert not [name for plural, name, _ in world.api.writes if plural == "nodes"]

    simulate(story)


def test_a_node_that_was_missed_is_ready_again_at_its_next_report(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            await world.until(lambda: conditions(world).get("Ready", {}).get("status") == "True", 5)
            node = world.api.get("nodes", "n1", "")
            assert node is not None
            for item in node["status"]["conditions"]:
                item.update(status="Unknown", reason="NodeStatusUnknown")
            world.api.put("nodes", node)
            assert await world.until(lambda: conditions(world)["Ready"]["status"] == "True", 15) <= 11
            assert conditions(world)["MemoryPressure"]["reason"] == "KubeletHasSufficientMemory"

    simulate(story)


def test_a_deleted_node_registers_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            await world.until(lambda: conditions(world).get("Ready"), 5)
            world.api.remove("nodes", "n1", "")
            await world.until(lambda: conditions(world).get("Ready"), 400)

    simulate(story)


def test_a_pod_that_is_there_before_the_node_is_measured_by_what_the_node_can_take(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        world.api.put("nodes", {"metadata": {"name": "n1", "labels": {"rack": "7"}}, "status": {}})
        world.add(pod(containers=[{"name": "main", "resources": {"requests": {"cpu": "3"}}}],
                      nodeSelector={"rack": "7"}))
        async with world:
            await world.until(world.is_ready, 10)

    simulate(story)


def test_a_runtime_that_dies_makes_the_node_unready_until_it_is_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            await world.until(lambda: conditions(world).get("Ready", {}).get("status") == "True", 5)
            world.runtime.down = True
            await world.until(lambda: conditions(world)["Ready"]["status"] == "False", 30)
            assert "container runtime is down" in conditions(world)["Ready"]["message"]
            world.runtime.down = False
            await world.until(lambda: conditions(world)["Ready"]["status"] == "True", 10)

    simulate(story)


def test_what_somebody_advertises_becomes_allocatable_at_once_and_goes_with_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            await world.until(lambda: conditions(world).get("Ready", {}).get("status") == "True", 5)

            def status() -> dict[str, Any]:
                return dict((world.api.get("nodes", "n1", "") or {})["status"])

            def advertise(capacity: dict[str, str]) -> None:
                node = copy.deepcopy(world.api.get("nodes", "n1", "") or {})
                node["status"]["capacity"] = capacity
                world.api.put("nodes", node)

            before = status()["capacity"]
            advertise({**before, "example.com/dongle": "4"})
            await world.until(lambda: status()["allocatable"].get("example.com/dongle") == "4", 2)
            assert status()["capacity"]["example.com/dongle"] == "4"
            advertise(before)
            await world.until(lambda: "example.com/dongle" not in status()["allocatable"], 2)

    simulate(story)
