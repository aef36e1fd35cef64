"""The provisioner with the real binder, scheduler and API server, on simulated nodes and a real disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sampan.addons.storage import objects
from sampan.addons.storage.provisioner import StorageConfig
from sampan.addons.storage.provisioner import run as provision
from sampan.api.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    STORAGE_CLASSES,
)
from sampan.apimachinery.object import Object, dig, name_of
from sampan.apiserver.config import APIServerConfig
from sampan.client.client import Client
from sampan.controllers.config import ControllerManagerConfig
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.loop import run
from sampan.sim.node import node_specs

CLAIM: Object = {
    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "default"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
POD: Object = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db", "namespace": "default"},
    "spec": {
        "containers": [{"name": "main", "image": "x"}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    },
}


async def provisioned(cluster: SimCluster, root: Path) -> list[asyncio.Task[None]]:
    """Install the add-on and run it for every node, as the account that it has rights for."""
    for resource, obj in (
        (CLUSTER_ROLES, objects.ROLE), (CLUSTER_ROLE_BINDINGS, objects.BINDING),
        (STORAGE_CLASSES, objects.STORAGE_CLASS),
    ):
        await cluster.client.create(resource, obj)
    client = account_of(cluster, objects.ACCOUNT)
    return [
        asyncio.ensure_future(provision(client, StorageConfig(node.name, root / node.name)))
        for node in cluster.config.nodes
    ]


def account_of(cluster: SimCluster, account: str) -> Client:
    return cluster.client_of(
        f"system:serviceaccount:kube-system:{account}", "system:serviceaccounts", "system:serviceaccounts:kube-system"
    )


def test_a_claim_gets_a_directory_on_its_pods_node_and_loses_it_with_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        controllers = ControllerManagerConfig(client_for=lambda account: account_of(cluster, account))
        server = APIServerConfig(authorization=True)
        cluster = SimCluster(seed=3, config=SimConfig(node_specs(2), server=server, controllers=controllers))
        async with cluster:
            tasks = await provisioned(cluster, tmp_path)
            try:
                await _lives_and_dies(cluster, tmp_path)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    run(scenario())


async def _lives_and_dies(cluster: SimCluster, root: Path) -> None:
    client = cluster.client
    await client.create(PERSISTENT_VOLUME_CLAIMS, CLAIM)
    await asyncio.sleep(20)
    assert (await claim(cluster))["spec"]["storageClassName"] == "standard"
    assert dig(await claim(cluster), "status", "phase") == "Pending"  # it waits for its first pod
    await client.create(PODS, POD)

    async def running() -> bool:
        return bool(dig(await client.get(PODS, "db", "default"), "status", "phase") == "Running")

    await cluster.until(running, what="the pod runs")
    pod = await client.get(PODS, "db", "default")
    [volume] = (await client.list(PERSISTENT_VOLUMES))["items"]
    directory = Path(volume["spec"]["local"]["path"])
    assert directory.parent == root / pod["spec"]["nodeName"]
    assert directory.stat().st_mode & 0o777 == 0o777
    (directory / "file").write_text("data")
    (directory / "link").symlink_to(root)
    await client.delete(PODS, "db", "default")
    await client.delete(PERSISTENT_VOLUME_CLAIMS, "data", "default")

    async def gone() -> bool:
        return not (await client.list(PERSISTENT_VOLUMES))["items"]

    await cluster.until(gone, what="the volume is gone")
    assert not directory.exists() and root.exists()


async def claim(cluster: SimCluster) -> Object:
    found = await cluster.client.get(PERSISTENT_VOLUME_CLAIMS, "data", "default")
    assert name_of(found) == "data"
    return found
