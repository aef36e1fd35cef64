"""Simulated nodes: what they do with pods, and what becomes of the cluster when they fall silent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sampan.api.resources import LEASES, NODES, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run
from sampan.sim.stages import EXIT_CODE, READY_AFTER, RUN_SECONDS, next_stage


def pod(name: str, annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations or {}},
        "spec": {"containers": [{"name": "main", "image": "app:1"}], **spec},
    }


async def phase(cluster: SimCluster, name: str) -> str:
    return str((await cluster.client.get(PODS, name, "default"))["status"].get("phase"))


async def is_ready(cluster: SimCluster, name: str) -> bool:
    conditions = (await cluster.client.get(PODS, name, "default"))["status"].get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def is_gone(cluster: SimCluster, name: str) -> bool:
    try:
        await cluster.client.get(PODS, name, "default")
    except errors.NotFound:
        return True
    return False


def test_a_pod_runs_becomes_ready_and_leaves_gracefully() -> None:
    async def main() -> None:
        async with SimCluster(1, nodes=2) as cluster:
            await cluster.client.create(PODS, pod("p"))
            await cluster.until(lambda: is_ready(cluster, "p"))
            found = await cluster.client.get(PODS, "p", "default")
            assert found["status"]["podIP"].startswith("10.100.")
            assert found["status"]["containerStatuses"][0]["ready"] is True
            await cluster.client.delete(PODS, "p", "default")
            assert not await is_gone(cluster, "p"), "the node has to let go of it first"
            assert await cluster.until(lambda: is_gone(cluster, "p")) < 5

    run(main())


def test_annotations_say_how_long_a_pod_runs_and_how_it_ends() -> None:
    async def main() -> None:
        async with SimCluster(1, nodes=1) as cluster:
            await cluster.client.create(PODS, pod("good", {RUN_SECONDS: "3600"}, restartPolicy="Never"))
            bad = pod("bad", {RUN_SECONDS: "10", EXIT_CODE: "3"}, restartPolicy="Never")
            await cluster.client.create(PODS, bad)
            await cluster.client.create(PODS, pod("slow", {READY_AFTER: "120"}))

            async def ended(name: str) -> bool:
                return await phase(cluster, name) in ("Succeeded", "Failed")

            assert await cluster.until(lambda: ended("bad"), within_s=30) >= 9
            assert await cluster.until(lambda: is_ready(cluster, "slow")) > 100
            assert await cluster.until(lambda: ended("good"), within_s=4000) > 3000
            assert (await phase(cluster, "bad"), await phase(cluster, "good")) == ("Failed", "Succeeded")
            status = (await cluster.client.get(PODS, "bad", "default"))["status"]
            assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3

    run(main())


def test_of_one_pod_a_node_writes_one_thing_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a kubelet does: else what is told to stop while its end is being written fails after it has succeeded."""
    original, writing, ended = Client.patch, 0, []

    async def slow(client: Client, resource: Any, name: str, patch: Object, *args: Any, **options: Any) -> Object:
        nonlocal writing
        phase = patch.get("status", {}).get("phase")
        if phase not in ("Succeeded", "Failed"):
            return await original(client, resource, name, patch, *args, **options)
        ended.append(phase)
        writing += 1
        assert writing == 1
        await asyncio.sleep(5)
        writing -= 1
        return await original(client, resource, name, patch, *args, **options)

    async def main() -> None:
        async with SimCluster(1, nodes=1) as cluster:
            held = pod("p", {RUN_SECONDS: "1"}, restartPolicy="Never")
            held["metadata"]["finalizers"] = ["example.com/held"]
            await cluster.client.create(PODS, held)
            while not ended:
                await asyncio.sleep(0.1)
            await cluster.client.delete(PODS, "p", "default")
            await asyncio.sleep(60)
            assert ended == ["Succeeded"] and await phase(cluster, "p") == "Succeeded"

    monkeypatch.setattr(Client, "patch", slow)
    run(main())


def test_a_stopped_node_stops_renewing_and_goes_on_where_it_was() -> None:
    async def main() -> None:
        async with SimCluster(1, nodes=1) as cluster:
            [name] = cluster.fleet.nodes

            async def renewed() -> str:
                return str((await cluster.client.get(LEASES, name, "kube-node-lease"))["spec"]["renewTime"])

            async def node_is_there() -> bool:
                return bool((await cluster.client.list(NODES))["items"])

            await cluster.until(node_is_there)
            await asyncio.sleep(15)
            cluster.fleet.stop_node(name)
            await asyncio.sleep(15)
            last = await renewed()
            await asyncio.sleep(25)
            assert await renewed() == last
            cluster.fleet.start_node(name)
            await asyncio.sleep(15)
            assert await renewed() > last

    run(main())


@pytest.mark.parametrize(
    ("metadata", "status", "stage"),
    [
        ({}, {}, "run"),
        ({}, {"phase": "Running"}, "become ready"),
        ({}, {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, None),
        ({"annotations": {RUN_SECONDS: "1"}}, {"phase": "Running"}, "complete"),
        ({"ownerReferences": [{"kind": "Job"}]}, {"phase": "Running"}, "complete"),
        ({}, {"phase": "Succeeded"}, None),
        ({"deletionTimestamp": "now"}, {"phase": "Succeeded"}, "remove"),
        ({"deletionTimestamp": "now"}, {}, "remove"),
    ],
)
def test_the_first_stage_that_applies_is_next(metadata: Object, status: Object, stage: str | None) -> None:
    found = next_stage({"metadata": metadata, "status": status, "spec": {}})
    assert (found.name if found else None) == stage
