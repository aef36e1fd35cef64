"""Scenarios that more than one test plays, also as a program: scenarios.py SEED prints the history's fingerprint."""

from __future__ import annotations

import sys

from sampan.api.resources import DEPLOYMENTS, PODS
from sampan.apimachinery.object import Object
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run

IMAGES = ("web:1", "web:2")


def deployment(name: str, replicas: int, image: str = IMAGES[0]) -> Object:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container(image)]}},
        },
    }


def container(image: str) -> Object:
    return {"name": "main", "image": image, "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}


async def is_complete(cluster: SimCluster, name: str, replicas: int) -> bool:
    """Whether a rollout is over: everything updated, ready, and nothing else left."""
    found = await cluster.client.get(DEPLOYMENTS, name, "default")
    status = found.get("status") or {}
    counts = [status.get(field) or 0 for field in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
    return status.get("observedGeneration") == found["metadata"]["generation"] and counts == [replicas] * 4


async def scale_and_roll(seed: int, nodes: int = 10, replicas: int = 100) -> tuple[str, list[Object]]:
    """A Deployment of 1 is scaled and then given a new image; the history's fingerprint and the pods at the end."""
    async with SimCluster(seed, nodes) as cluster:
        await cluster.client.create(DEPLOYMENTS, deployment("web", 1))
        await cluster.until(lambda: is_complete(cluster, "web", 1))
        await cluster.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": replicas}}, "default")
        await cluster.until(lambda: is_complete(cluster, "web", replicas))
        change: Object = {"spec": {"template": {"spec": {"containers": [container(IMAGES[1])]}}}}
        await cluster.client.patch(DEPLOYMENTS, "web", change, "default", type="strategic")
        await cluster.until(lambda: is_complete(cluster, "web", replicas))

        async def old_pods_are_gone() -> bool:
            return len((await cluster.client.list(PODS, "default"))["items"]) == replicas

        await cluster.until(old_pods_are_gone)
        pods: list[Object] = (await cluster.client.list(PODS, "default"))["items"]
        return await cluster.digest(), pods


if __name__ == "__main__":
    print(run(scale_and_roll(int(sys.argv[1]), replicas=20))[0])
