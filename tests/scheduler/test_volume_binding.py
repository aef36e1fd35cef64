"""Pods go where their volumes are; volumes that wait for a pod go where it goes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.scheduler.conftest import World

from sampan.api.core.volume_matching import BIND_COMPLETED, SELECTED_NODE
from sampan.api.resources import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    STATEFUL_SETS,
    STORAGE_CLASSES,
)
from sampan.apimachinery.object import Object
from sampan.scheduler.framework.handle import Storage
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run

MODES = ["ReadWriteOnce"]


def disk(name: str, node: str, **spec: Any) -> Object:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "accessModes": MODES, "capacity": {"storage": "1Gi"}, "local": {"path": "/x"}, "nodeAffinity": affinity,
            "storageClassName": "local", **spec,
        },
        "status": {"phase": "Available"},
    }


def claim(name: str = "data", *, volume: str = "", storage_class: str = "local", **annotations: str) -> Object:
    spec: Object = {
        "accessModes": MODES, "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": storage_class
    }
    if volume:
        spec["volumeName"], annotations[BIND_COMPLETED] = volume, "yes"
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "annotations": annotations}
    return {"metadata": metadata, "spec": spec}


def storage_class(name: str, mode: str, provisioner: str = "kubernetes.io/no-provisioner") -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": provisioner, "volumeBindingMode": mode,
    }


def holding(world: World, *objects: Object) -> World:
    claims = {one["metadata"]["name"]: one for one in objects if "namespace" in one["metadata"]}
    volumes = {one["metadata"]["name"]: one for one in objects if one.get("kind") == "PersistentVolume"}
    classes = {one["metadata"]["name"]: one for one in objects if one.get("kind") == "StorageClass"}
    world.handle.storage = Storage(
        lambda namespace, name: claims.get(name), volumes.get, lambda: list(volumes.values()), classes.get
    )
    for name in ("a", "b"):
        world.node(name)
    return world


USES = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
LATE = storage_class("local", "WaitForFirstConsumer")


def refusal(world: World) -> str:
    return world.decide(volumes=USES).diagnosis.message


def test_a_bound_volume_decides_the_node() -> None:
    world = holding(World(), disk("d", "b"), claim(volume="d"))
    assert world.where(volumes=USES) == "b"
    assert "volume node affinity conflict" in refusal(holding(World(), disk("d", "elsewhere"), claim(volume="d")))


def test_a_claim_that_waits_goes_where_a_volume_is_or_can_be_made() -> None:
    assert holding(World(), LATE, disk("d", "b"), claim()).where(volumes=USES) == "b"
    assert "didn't find available persistent volumes to bind" in refusal(holding(World(), LATE, claim()))
    made = storage_class("local", "WaitForFirstConsumer", "example.com/disk")
    assert holding(World(), made, claim()).where(volumes=USES) in ("a", "b")
    chosen = claim(**{SELECTED_NODE: "a"})
    assert holding(World(), made, chosen).where(volumes=USES) == "a"


@pytest.mark.parametrize(("objects", "message"), [
    ((), 'persistentvolumeclaim "data" not found'),
    ((claim(storage_class=""),), "pod has unbound immediate PersistentVolumeClaims"),
    ((claim(volume="gone"),), 'persistentvolume "gone" not found'),
])
def test_what_cannot_be_served_is_told(objects, message) -> None:
    assert message in refusal(holding(World(), *objects))


def test_pods_with_local_disks_spread_to_them_and_come_back_to_their_own() -> None:
    async def scenario() -> None:
        async with SimCluster(4, 3) as cluster:
            client = cluster.client
            await client.create(STORAGE_CLASSES, LATE)
            for node in ("node-0000", "node-0001", "node-0002"):
                await client.create(PERSISTENT_VOLUMES, disk(f"disk-{node}", node))
            labels = {"app": "db"}
            mounted = claim()["spec"]
            await client.create(STATEFUL_SETS, {
                "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "default"},
                "spec": {
                    "replicas": 3, "serviceName": "db", "selector": {"matchLabels": labels},
                    "podManagementPolicy": "Parallel",
                    "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "x"}]}},
                    "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": mounted}],
                },
            })

            async def places() -> dict[str, str]:
                pods = (await client.list(PODS, "default"))["items"]
                return {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in pods}

            async def uids() -> set[str]:
                return {pod["metadata"]["uid"] for pod in (await client.list(PODS, "default"))["items"]}

            async def disks() -> dict[str, str]:
                claims = (await client.list(PERSISTENT_VOLUME_CLAIMS, "default"))["items"]
                return {one["metadata"]["name"]: one["spec"].get("volumeName", "") for one in claims}

            async def placed() -> bool:
                return sorted((await places()).values()) == ["node-0000", "node-0001", "node-0002"]

            await cluster.until(placed, within_s=60)
            before, first = await places(), await uids()
            assert await disks() == {f"data-{pod}": f"disk-{node}" for pod, node in before.items()}
            for pod in before:
                await client.delete(PODS, pod, "default")

            async def replaced() -> bool:
                return not (await uids() & first) and await placed()

            await cluster.until(replaced, within_s=60)
            assert await places() == before

    run(scenario())
