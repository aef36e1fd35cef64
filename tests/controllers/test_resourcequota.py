from __future__ import annotations

import asyncio

from sampan.api.resources import CONFIG_MAPS, NAMESPACES, PODS, RESOURCE_QUOTAS, SERVICES
from sampan.apimachinery.object import Object
from sampan.controllers.resourcequota import counted_by_number, plan
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run


def quota(make, hard: dict[str, str], **spec) -> Object:
    return {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": make.meta("team"), "spec": {"hard": hard, **spec}
    }


def pod(make, name: str, cpu: str, **more) -> Object:
    found = make.pod(name, **more)
    found["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    return found


def test_used_is_counted_and_finished_pods_ask_for_nothing(make) -> None:
    owner = quota(make, {"pods": "5", "requests.cpu": "2", "services": "1", "count/pods": "9"})
    objects = {PODS: [pod(make, "a", "100m"), pod(make, "b", "1"), pod(make, "c", "1", phase="Succeeded")],
               SERVICES: []}
    [update] = plan(owner, objects).steps
    assert update.obj["status"]["used"] == {"pods": "2", "requests.cpu": "1100m", "services": "0", "count/pods": "3"}
    owner["status"] = update.obj["status"]
    assert not plan(owner, objects).steps


def test_a_scope_leaves_the_others_out(make) -> None:
    owner = quota(make, {"pods": "5"}, scopes=["BestEffort"])
    [update] = plan(owner, {PODS: [pod(make, "a", "100m"), make.pod("b")]}).steps
    assert update.obj["status"]["used"] == {"pods": "1"}


def test_only_what_is_counted_by_number_is_followed_besides() -> None:
    hard = ["pods", "requests.cpu", "configmaps", "count/deployments.apps", "count/pods",
            "gold.storageclass.storage.k8s.io/requests.storage"]
    assert counted_by_number(hard) == ["configmaps", "deployments.apps"]


def test_what_is_deleted_becomes_free_again_on_a_cluster() -> None:
    async def scenario() -> None:
        async with SimCluster(3, 1) as cluster:
            await cluster.client.create(
                NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
            )
            await cluster.client.create(RESOURCE_QUOTAS, {
                "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "team"},
                "spec": {"hard": {"configmaps": "10", "count/leases.coordination.k8s.io": "1"}},
            })

            def used(number: str):
                async def check() -> bool:
                    found = await cluster.client.get(RESOURCE_QUOTAS, "q", "team")
                    return found.get("status", {}).get("used", {}).get("configmaps") == number
                return check

            await cluster.until(used("0"))
            config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "team"}}
            await cluster.client.create(CONFIG_MAPS, config)
            await cluster.until(used("1"))
            await cluster.client.delete(CONFIG_MAPS, "one", "team")
            await cluster.until(used("0"))
            await asyncio.sleep(1)

    run(scenario())
