from __future__ import annotations

import asyncio

from sampan.api.resources import CONFIG_MAPS, NAMESPACES, PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, SERVICES
from sampan.apimachinery.object import Object
from sampan.controllers.objects.resourcequota import counted_besides, plan
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
    [update] = plan(owner, objects, make.now).steps
    assert update.obj["status"]["used"] == {"pods": "2", "requests.cpu": "1100m", "services": "0", "count/pods": "3"}
    owner["status"] = update.obj["status"]
    assert not plan(owner, objects, make.now).steps


def test_a_scope_leaves_the_others_out(make) -> None:
    owner = quota(make, {"pods": "5"}, scopes=["BestEffort"])
    [update] = plan(owner, {PODS: [pod(make, "a", "100m"), make.pod("b")]}, make.now).steps
    assert update.obj["status"]["used"] == {"pods": "1"}


def used_by(make, pods: list[Object], hard: dict[str, str], **spec) -> dict[str, str]:
    [update] = plan(quota(make, hard, **spec), {PODS: pods}, make.now).steps
    return update.obj["status"]["used"]


def test_a_pod_whose_node_was_lost_is_not_charged_for_ever(make) -> None:
    going = {"deletionTimestamp": "2026-01-02T03:03:35Z"}
    pods = [make.pod("fresh", **going, deletionGracePeriodSeconds=60),
            make.pod("stuck", **going, deletionGracePeriodSeconds=29)]
    assert used_by(make, pods, {"pods": "5", "count/pods": "5"}) == {"pods": "1", "count/pods": "2"}


def test_sidecars_add_up_and_init_containers_count_where_they_ask_for_more(make) -> None:
    one = pod(make, "a", "1")

    def init(cpu: str, **more: str) -> Object:
        return {"name": f"i{cpu}", "resources": {"requests": {"cpu": cpu}}, **more}

    one["spec"]["initContainers"] = [init("200m", restartPolicy="Always"), init("500m")]
    assert used_by(make, [one], {"requests.cpu": "9"}) == {"requests.cpu": "1200m"}
    one["spec"]["initContainers"].append(init("2"))
    assert used_by(make, [one], {"requests.cpu": "9"}) == {"requests.cpu": "2200m"}
    one["spec"] |= {"resources": {"requests": {"cpu": "3"}}, "overhead": {"cpu": "100m"}}
    assert used_by(make, [one], {"requests.cpu": "9"}) == {"requests.cpu": "3100m"}


def test_every_scope_tells_pods_apart(make) -> None:
    plain, other = make.pod("plain"), pod(make, "other", "1")
    term = {"topologyKey": "zone", "labelSelector": {}, "namespaces": ["elsewhere"]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    other["spec"] |= {
        "activeDeadlineSeconds": 5, "priorityClassName": "high", "affinity": {"podAntiAffinity": required},
    }
    high = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
    counted = {
        scope: used_by(make, [plain, other, other], {"pods": "9"}, scopes=[scope])["pods"]
        for scope in ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity")
    }
    assert counted == {
        "Terminating": "2", "NotTerminating": "1", "BestEffort": "1", "NotBestEffort": "2",
        "CrossNamespacePodAffinity": "2",
    }
    selected = {"scopeSelector": {"matchExpressions": [high]}}
    assert used_by(make, [plain, other], {"pods": "9"}, **selected) == {"pods": "1"}


def test_a_scope_of_attributes_classes_is_about_claims(make) -> None:
    def claim(name: str, **spec) -> Object:
        return {"metadata": make.meta(name), "spec": {"resources": {"requests": {"storage": "1Gi"}}, **spec}}

    claims = [claim("a", volumeAttributesClassName="gold"), claim("b")]
    claims[0]["status"] = {"allocatedResources": {"storage": "3Gi"}}
    gold = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}
    owner = quota(make, {"persistentvolumeclaims": "9", "requests.storage": "9Gi"},
                  scopeSelector={"matchExpressions": [gold]})
    [update] = plan(owner, {PERSISTENT_VOLUME_CLAIMS: claims, PODS: [make.pod("p")]}, make.now).steps
    assert update.obj["status"]["used"] == {"persistentvolumeclaims": "1", "requests.storage": "3Gi"}


def test_only_what_a_quota_counts_is_followed() -> None:
    hard = ["pods", "requests.cpu", "configmaps", "count/deployments.apps", "count/pods",
            "gold.storageclass.storage.k8s.io/requests.storage", "requests.example.com/gpu", "hugepages-2Mi",
            "services.nodeports", "limits.memory"]
    assert counted_besides(hard) == ["configmaps", "deployments.apps"]
    claims = ["gpu.deviceclass.resource.k8s.io/devices", "count/resourceclaims.resource.k8s.io"]
    assert counted_besides(claims) == ["resourceclaims.resource.k8s.io"]


def test_nothing_is_said_of_what_cannot_be_counted(make) -> None:
    """Objects of a kind that is not served, or not any more."""
    owner = quota(make, {"pods": "5", "count/widgets.example.com": "1", "count/old.example.com": "2"})
    owner["status"] = {"hard": {}, "used": {"count/old.example.com": "1", "services": "7"}}
    [update] = plan(owner, {PODS: []}, make.now).steps
    assert update.obj["status"] == {"hard": owner["spec"]["hard"], "used": {"pods": "0", "count/old.example.com": "1"}}
    assert not plan(update.obj, {PODS: []}, make.now).steps


def test_a_status_that_is_there_but_for_other_limits_is_written_anew(make) -> None:
    owner = quota(make, {"pods": "5"})
    [update] = plan(owner, {PODS: []}, make.now).steps
    changed = {**update.obj, "spec": {"hard": {"pods": "6"}}}
    [again] = plan(changed, {PODS: []}, make.now).steps
    assert again.obj["status"] == {"hard": {"pods": "6"}, "used": {"pods": "0"}}


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
