"""Pods are deleted, nodes fall silent, sizes and templates change; when that ends, all is as it was asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sampan import effects
from sampan.api.resources import (
    JOBS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    STATEFUL_SETS,
)
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig, name_of, uid_of
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run
from sampan.sim.stages import RUN_SECONDS

LABELS = {"app": "db"}
MODES = ["ReadWriteOnce"]


def document(kind: str, version: str, name: str, **fields: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, **fields}


def stateful_set(management: str) -> Object:
    claim = {"accessModes": MODES, "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    tolerations = [
        {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
        for what in ("not-ready", "unreachable")
    ]
    return document("StatefulSet", "apps/v1", "db", spec={
        "replicas": 3, "serviceName": "db", "podManagementPolicy": management, "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": {
            "containers": [{"name": "main", "image": "db:0"}], "tolerations": tolerations}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    })


def job() -> Object:
    spec = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "work:1"}]}
    return document("Job", "batch/v1", "work", spec={
        "completions": 12, "parallelism": 3, "completionMode": "Indexed", "backoffLimit": 1000,
        "podReplacementPolicy": "Failed",
        "template": {"metadata": {"annotations": {RUN_SECONDS: "8"}}, "spec": spec},
    })


async def furnish(cluster: SimCluster, management: str) -> None:
    for number in range(6):
        volume = {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"v{number}"},
            "spec": {"accessModes": MODES, "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}},
        }
        await cluster.client.create(PERSISTENT_VOLUMES, volume)
    await cluster.client.create(STATEFUL_SETS, stateful_set(management))
    await cluster.client.create(POD_DISRUPTION_BUDGETS, document("PodDisruptionBudget", "policy/v1", "db", spec={
        "maxUnavailable": 1, "selector": {"matchLabels": LABELS}}))
    await cluster.client.create(JOBS, job())


async def disturb(cluster: SimCluster, owners: dict[str, str]) -> None:
    """Something at random; notes which volume each claim has, which must never change."""
    rng, client = effects.rng(), cluster.client
    pods = sorted((await client.list(PODS, "default"))["items"], key=name_of)
    action = rng.choice(("delete", "delete", "stop", "start", "start", "scale", "image", "force"))
    nodes = sorted(cluster.fleet.nodes)
    if action in ("delete", "force") and pods:
        victim = rng.choice(pods)
        try:
            await client.delete(PODS, name_of(victim), "default", grace_period_s=0 if action == "force" else None)
        except errors.NotFound:
            return
    elif action == "stop" and sum(node.on for node in cluster.fleet.nodes.values()) > 2:
        cluster.fleet.stop_node(rng.choice(nodes))
    elif action == "start":
        cluster.fleet.start_node(rng.choice(nodes))
    elif action == "scale":
        await client.patch(STATEFUL_SETS, "db", {"spec": {"replicas": rng.randint(1, 5)}}, "default")
    elif action == "image":
        containers = [{"name": "main", "image": f"db:{rng.randint(1, 3)}"}]
        await client.patch(
            STATEFUL_SETS, "db", {"spec": {"template": {"spec": {"containers": containers}}}}, "default",
            type="strategic",
        )
    for claim in (await client.list(PERSISTENT_VOLUME_CLAIMS, "default"))["items"]:
        bound = dig(claim, "spec", "volumeName", default="")
        if bound:
            assert owners.setdefault(uid_of(claim), bound) == bound


async def turmoil(seed: int, management: str) -> None:
    """One history."""
    async with SimCluster(seed, 4) as cluster:
        client = cluster.client
        await furnish(cluster, management)
        owners: dict[str, str] = {}
        for _ in range(40):
            await disturb(cluster, owners)
            await asyncio.sleep(effects.rng().uniform(0.1, 20.0))
        for name in cluster.fleet.nodes:
            cluster.fleet.start_node(name)
        await client.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 4}}, "default")

        async def settled() -> bool:
            found = await client.get(STATEFUL_SETS, "db", "default")
            status = found["status"]
            pods = (await client.list(PODS, "default", label_selector="app=db"))["items"]
            image = found["spec"]["template"]["spec"]["containers"][0]["image"]
            return (
                [status.get(f"{what}eplicas", 0) for what in ("r", "readyR", "updatedR", "currentR")] == [4] * 4
                and status["currentRevision"] == status["updateRevision"]
                and sorted(map(name_of, pods)) == [f"db-{number}" for number in range(4)]
                and {pod["spec"]["containers"][0]["image"] for pod in pods} == {image}
            )

        async def done() -> bool:
            status = (await client.get(JOBS, "work", "default")).get("status") or {}
            return status.get("succeeded") == 12 and any(
                one["type"] == "Complete" for one in status.get("conditions") or ())

        async def counted() -> bool:
            status = (await client.get(POD_DISRUPTION_BUDGETS, "db", "default"))["status"]
            return (status["currentHealthy"], status["expectedPods"], status["disruptionsAllowed"]) == (4, 4, 1)

        await cluster.until(settled, within_s=900, what="the set")
        await cluster.until(counted, within_s=60, what="the budget")
        await cluster.until(done, within_s=3600, what="the job")
        status = (await client.get(JOBS, "work", "default"))["status"]
        assert status["completedIndexes"] == "0-11" and status["uncountedTerminatedPods"] == {}


@pytest.mark.parametrize(("seed", "management"), [(1, "OrderedReady"), (2, "Parallel"), (3, "OrderedReady")])
def test_everything_converges_when_the_turmoil_ends(seed: int, management: str, caplog: Any) -> None:
    run(turmoil(seed, management))
    assert not [record for record in caplog.records if "reconciling failed" in record.getMessage()]
