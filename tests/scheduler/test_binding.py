"""Binding goes on beside the next decisions, and who waits holds up nobody."""

from __future__ import annotations

from tests.scheduler.test_scheduler import node_of, placed, play, pod

from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS, STORAGE_CLASSES
from sampan.apimachinery.object import Object
from sampan.scheduler.config import SchedulerConfig
from sampan.sim.cluster import SimCluster


def test_pods_that_wait_for_their_volumes_hold_up_no_others() -> None:
    waiting = SchedulerConfig().parallel_bindings + 4
    storage_class: Object = {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "slow"},
        "provisioner": "example.com/disk", "volumeBindingMode": "WaitForFirstConsumer",
    }
    wanted: Object = {
        "storageClassName": "slow", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
    }

    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(STORAGE_CLASSES, storage_class)
        for number in range(waiting):
            claim: Object = {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": f"c{number}"}, "spec": wanted,
            }
            await cluster.client.create(PERSISTENT_VOLUME_CLAIMS, claim, "default")
            volume = {"name": "v", "persistentVolumeClaim": {"claimName": f"c{number}"}}
            await cluster.client.create(PODS, pod(f"waits{number}", cpu="10m", volumes=[volume]))

        async def all_chose() -> bool:
            claims = (await cluster.client.list(PERSISTENT_VOLUME_CLAIMS, "default"))["items"]
            return all("volume.kubernetes.io/selected-node" in c["metadata"].get("annotations", {}) for c in claims)

        await cluster.until(all_chose, within_s=30)
        await cluster.client.create(PODS, pod("quick", cpu="10m"))
        await placed(cluster, "quick", within_s=5)
        assert not await node_of(cluster, "waits0")
        waiting_pod = await cluster.client.get(PODS, "waits0", "default")
        claim = await cluster.client.get(PERSISTENT_VOLUME_CLAIMS, "c0", "default")
        chosen = claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"]
        assert waiting_pod["status"]["nominatedNodeName"] == chosen, "where it is about to go is told"
        assert "nominatedNodeName" not in (await cluster.client.get(PODS, "quick", "default"))["status"]

    play(scenario)
