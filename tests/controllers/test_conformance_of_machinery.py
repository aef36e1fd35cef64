"""What upstream's tests of sig-api-machinery ask of quotas, namespaces and the garbage collector, as on a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from tests.controllers.lab import LABELS, NAMESPACE, Lab, on_a_cluster, template, workload

from sampan.api.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    PRIORITY_CLASSES,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICES,
)
from sampan.api.resources import CUSTOM_RESOURCE_DEFINITIONS as CRDS
from sampan.apimachinery.errors import APIError, NotFound
from sampan.apimachinery.object import Object, dig, is_being_deleted, name_of, uid_of
from sampan.apimachinery.resource import Resource

HARD = {
    "services": "10", "services.nodeports": "1", "services.loadbalancers": "1", "pods": "5", "cpu": "1",
    "memory": "500Mi", "resourcequotas": "1", "replicationcontrollers": "10", "configmaps": "10", "secrets": "10",
    "persistentvolumeclaims": "10", "requests.storage": "10Gi", "ephemeral-storage": "50Gi",
    "count/replicasets.apps": "5", "requests.example.com/dongle": "3",
}


async def quota(lab: Lab, name: str = "test-quota", hard: dict[str, str] | None = None, **spec: Any) -> None:
    await lab.create(RESOURCE_QUOTAS, name, spec={"hard": hard or HARD, **spec})
    await used(lab, name)


async def used(lab: Lab, name: str = "test-quota", **wanted: str) -> None:
    """Until the status says so; `_` stands for dots, `__` for slashes in names of resources."""
    asked = {key.replace("__", "/").replace("_", "."): value for key, value in wanted.items()}

    async def holds() -> bool:
        status = (await lab.get(RESOURCE_QUOTAS, name)).get("status") or {}
        found = status.get("used") or {}
        return bool(status.get("hard")) and all(found.get(key) == value for key, value in asked.items())

    await lab.until(holds, what=f"{name}: {asked}, is {(await lab.get(RESOURCE_QUOTAS, name)).get('status')}")


async def refused(attempt: Awaitable[Any]) -> str:
    with pytest.raises(APIError) as error:
        await attempt
    return str(error.value.message)


def pod_spec(requests: Object | None = None, limits: Object | None = None, **spec: Any) -> Object:
    resources = {"requests": requests or {}, "limits": limits or {}}
    return {"containers": [{"name": "main", "image": "pause:1", "resources": resources}], **spec}


def test_a_quota_follows_services_by_their_type() -> None:
    async def scenario(lab: Lab) -> None:
        await quota(lab)
        await used(lab, resourcequotas="1", services="1")  # the service `kubernetes`
        port = {"ports": [{"port": 80}]}
        await lab.create(SERVICES, "plain", spec=port)
        await lab.create(SERVICES, "np", spec={**port, "type": "NodePort"})
        assert "exceeded quota" in await refused(lab.create(SERVICES, "lb", spec={**port, "type": "LoadBalancer"}))
        await lab.create(SERVICES, "lb", spec={
            **port, "type": "LoadBalancer", "allocateLoadBalancerNodePorts": False,
        })
        await used(lab, services="4", services_nodeports="1", services_loadbalancers="1")
        for name in ("plain", "np", "lb"):
            await lab.client.delete(SERVICES, name, NAMESPACE)
        await used(lab, services="1", services_nodeports="0", services_loadbalancers="0")

    on_a_cluster(scenario)


def test_a_quota_follows_the_life_of_a_pod() -> None:
    async def scenario(lab: Lab) -> None:
        await quota(lab)
        dongles = {"example.com/dongle": "2"}
        requests = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", **dongles}
        made = await lab.create(PODS, "fits", spec=pod_spec(requests, dongles))
        wanted = {"pods": "1", "cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi"}

        async def counted() -> bool:
            found = (await lab.get(RESOURCE_QUOTAS, "test-quota"))["status"]["used"]
            return all(found[key] == value for key, value in wanted.items()) and (
                found["requests.example.com/dongle"] == "2"
            )

        await lab.until(counted)
        too_much = pod_spec({"cpu": "600m", "memory": "100Mi", "ephemeral-storage": "1Gi"})
        assert "exceeded quota: test-quota" in await refused(lab.create(PODS, "fail-pod", spec=too_much))
        more = pod_spec({"cpu": "500m", "memory": "100Mi", "ephemeral-storage": "10Gi", **dongles}, dongles)
        assert "requests.example.com/dongle" in await refused(lab.create(PODS, "fail-dongle", spec=more))
        made["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "100m", "memory": "100Mi"}
        assert await refused(lab.client.update(PODS, made))
        assert await counted()
        await lab.client.delete(PODS, "fits", NAMESPACE)
        await used(lab, pods="0", cpu="0", memory="0", requests_example_com__dongle="0")

    on_a_cluster(scenario)


def test_a_quota_counts_objects_of_every_kind() -> None:
    async def scenario(lab: Lab) -> None:
        await quota(lab, hard={**HARD, "persistentvolumeclaims": "1", "count/deployments.apps": "2"})
        before = (await lab.get(RESOURCE_QUOTAS, "test-quota"))["status"]["used"]
        await lab.create(SECRETS, "s", stringData={"a": "b"})
        await lab.create(CONFIG_MAPS, "c", data={"a": "b"})
        controller = {"replicas": 0, "selector": LABELS, "template": template()}
        await lab.create(REPLICATION_CONTROLLERS, "rc", spec=controller)
        await lab.create(REPLICA_SETS, "rs", spec=workload(replicas=0))
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        await lab.create(PERSISTENT_VOLUME_CLAIMS, "p", spec=claim)
        assert "exceeded quota" in await refused(lab.create(PERSISTENT_VOLUME_CLAIMS, "q", spec=claim))
        await used(lab, secrets=str(int(before["secrets"]) + 1), configmaps=str(int(before["configmaps"]) + 1),
                   replicationcontrollers="1", count__replicasets_apps="1", persistentvolumeclaims="1",
                   requests_storage="1Gi")
        for resource, name in ((SECRETS, "s"), (CONFIG_MAPS, "c"), (REPLICATION_CONTROLLERS, "rc"),
                               (REPLICA_SETS, "rs"), (PERSISTENT_VOLUME_CLAIMS, "p")):
            await lab.client.delete(resource, name, NAMESPACE)
        await used(lab, secrets=before["secrets"], configmaps=before["configmaps"], replicationcontrollers="0",
                   count__replicasets_apps="0", persistentvolumeclaims="0", requests_storage="0")

    on_a_cluster(scenario)


CUSTOM = Resource("quota.example.com", "v1", "widgets", "Widget")


async def define(lab: Lab) -> None:
    await lab.client.create(CRDS, {"metadata": {"name": "widgets.quota.example.com"}, "spec": {
        "group": "quota.example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": True,
        }}}],
    }})

    async def served() -> bool:
        conditions = (await lab.client.get(CRDS, "widgets.quota.example.com"))["status"].get("conditions") or []
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

    await lab.until(served)


def test_a_quota_counts_custom_resources() -> None:
    async def scenario(lab: Lab) -> None:
        await define(lab)
        await quota(lab, hard={"count/widgets.quota.example.com": "1"})
        await used(lab, count__widgets_quota_example_com="0")
        await lab.create(CUSTOM, "one")
        await used(lab, count__widgets_quota_example_com="1")
        assert "exceeded quota" in await refused(lab.create(CUSTOM, "two"))
        await lab.client.delete(CUSTOM, "one", NAMESPACE)
        await used(lab, count__widgets_quota_example_com="0")
        await lab.create(CUSTOM, "two")

    on_a_cluster(scenario)


def test_quotas_of_opposite_scopes_share_the_pods_between_them() -> None:
    async def scenario(lab: Lab) -> None:
        cpu = {"cpu": "500m", "memory": "200Mi"}
        pairs: list[tuple[str, str, Object, Object]] = [
            ("BestEffort", "NotBestEffort", pod_spec(), pod_spec(cpu)),
            ("Terminating", "NotTerminating", pod_spec(cpu, activeDeadlineSeconds=3600), pod_spec(cpu)),
        ]
        for first, second, spec, other in pairs:
            for scope in (first, second):
                await quota(lab, scope.lower(), {"pods": "5"}, scopes=[scope])
                await used(lab, scope.lower(), pods="0")
            for scope, opposite, made in ((first, second, spec), (second, first, other)):
                await lab.create(PODS, "p", spec=made)
                await used(lab, scope.lower(), pods="1")
                await used(lab, opposite.lower(), pods="0")
                await lab.client.delete(PODS, "p", NAMESPACE)
                await used(lab, scope.lower(), pods="0")
            for scope in (first, second):
                await lab.client.delete(RESOURCE_QUOTAS, scope.lower(), NAMESPACE)

    on_a_cluster(scenario)


@pytest.mark.parametrize(("operator", "values", "counted"), [
    ("In", ["pclass1"], True), ("NotIn", ["pclass1"], False), ("Exists", [], True), ("DoesNotExist", [], False),
    ("In", ["other"], False),
])
def test_a_quota_of_priority_classes_takes_the_pods_it_selects(operator: str, values: list[str], counted: bool) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.client.create(PRIORITY_CLASSES, {"metadata": {"name": "pclass1"}, "value": 1000})
        expression = {"scopeName": "PriorityClass", "operator": operator, **({"values": values} if values else {})}
        await quota(lab, hard={"pods": "1"}, scopeSelector={"matchExpressions": [expression]})
        await lab.create(PODS, "p", spec=pod_spec(priorityClassName="pclass1"))
        if counted:
            await used(lab, pods="1")
            second = lab.create(PODS, "q", spec=pod_spec(priorityClassName="pclass1"))
            assert "exceeded quota" in await refused(second)
        else:
            await lab.create(PODS, "q", spec=pod_spec(priorityClassName="pclass1"))
            await used(lab, pods="0")

    on_a_cluster(scenario)


def test_the_status_of_a_quota_is_written_and_becomes_what_the_spec_says() -> None:
    async def scenario(lab: Lab) -> None:
        await quota(lab, hard={"cpu": "500m", "memory": "500Mi"})
        found = await lab.get(RESOURCE_QUOTAS, "test-quota")
        found["status"]["hard"] = {"cpu": "1", "memory": "1Gi"}
        updated = await lab.client.update(RESOURCE_QUOTAS, found, subresource="status")
        assert updated["status"]["hard"] == {"cpu": "1", "memory": "1Gi"}
        assert updated["spec"]["hard"] == {"cpu": "500m", "memory": "500Mi"}

        async def back() -> bool:
            return bool((await lab.get(RESOURCE_QUOTAS, "test-quota"))["status"]["hard"] == found["spec"]["hard"])

        await lab.until(back)
        patched = await lab.client.patch(
            RESOURCE_QUOTAS, "test-quota", {"status": {"hard": {"cpu": "2"}}}, NAMESPACE, type="merge",
            subresource="status",
        )
        assert patched["status"]["hard"]["cpu"] == "2" and patched["spec"] == found["spec"]
        await lab.until(back)

    on_a_cluster(scenario)


def test_a_quota_that_changes_is_what_counts_from_then_on() -> None:
    async def scenario(lab: Lab) -> None:
        await quota(lab, hard={"pods": "1"})
        await lab.patch(RESOURCE_QUOTAS, "test-quota", spec={"hard": {"pods": "2"}})

        async def grown() -> bool:
            return bool((await lab.get(RESOURCE_QUOTAS, "test-quota"))["status"]["hard"] == {"pods": "2"})

        await lab.until(grown)
        for name in ("a", "b"):
            await lab.create(PODS, name, spec=pod_spec())
        assert "exceeded quota" in await refused(lab.create(PODS, "c", spec=pod_spec()))
        await lab.client.delete(RESOURCE_QUOTAS, "test-quota", NAMESPACE)
        with pytest.raises(NotFound):
            await lab.get(RESOURCE_QUOTAS, "test-quota")
        await lab.create(PODS, "c", spec=pod_spec())

    on_a_cluster(scenario)


async def namespace(lab: Lab, name: str = "fleeting") -> Object:
    made = await lab.client.create(NAMESPACES, {"metadata": {"name": name}})

    async def ready() -> bool:
        try:
            await lab.client.get(Resource("", "v1", "serviceaccounts", "ServiceAccount"), "default", name)
        except NotFound:
            return False
        return True

    await lab.until(ready)
    return made


async def gone(lab: Lab, resource: Resource, name: str, where: str | None = NAMESPACE) -> None:
    async def check() -> bool:
        try:
            await lab.client.get(resource, name, where)
        except NotFound:
            return True
        return False

    await lab.until(check, what=f"{name} is gone")


def test_a_namespace_takes_its_pods_and_services_along() -> None:
    async def scenario(lab: Lab) -> None:
        for resource, fields in (
            (PODS, {"spec": pod_spec()}), (SERVICES, {"spec": {"ports": [{"port": 80}]}}),
        ):
            await namespace(lab)
            await lab.client.create(resource, {"metadata": {"name": "x"}, **fields}, "fleeting")
            await lab.client.delete(NAMESPACES, "fleeting")
            await gone(lab, NAMESPACES, "fleeting", None)
            await namespace(lab)
            assert (await lab.client.list(resource, "fleeting"))["items"] == []
            await lab.client.delete(NAMESPACES, "fleeting")
            await gone(lab, NAMESPACES, "fleeting", None)

    on_a_cluster(scenario)


def test_pods_of_a_namespace_go_before_all_else() -> None:
    """OrderedNamespaceDeletion: a ConfigMap stays while a pod with a finalizer does."""

    async def scenario(lab: Lab) -> None:
        await namespace(lab)
        held = {"name": "held", "finalizers": ["e2e.example.com/finalizer"]}
        await lab.client.create(PODS, {"metadata": held, "spec": pod_spec()}, "fleeting")
        await lab.client.create(CONFIG_MAPS, {"metadata": {"name": "c"}}, "fleeting")
        await lab.client.delete(NAMESPACES, "fleeting")

        async def waits() -> bool:
            status = (await lab.client.get(NAMESPACES, "fleeting"))["status"]
            conditions = {one["type"]: one for one in status.get("conditions", ())}
            remaining = conditions.get("NamespaceContentRemaining", {})
            finalizers = conditions.get("NamespaceFinalizersRemaining", {})
            return bool(
                status["phase"] == "Terminating" and remaining.get("status") == "True"
                and "pods. has 1 resource instances" in remaining["message"]
                and "e2e.example.com/finalizer in 1 resource instances" in finalizers.get("message", "")
            )

        await lab.until(waits)
        assert not is_being_deleted(await lab.client.get(CONFIG_MAPS, "c", "fleeting"))
        await lab.client.patch(PODS, "held", {"metadata": {"finalizers": None}}, "fleeting", type="merge")
        await gone(lab, NAMESPACES, "fleeting", None)

    on_a_cluster(scenario)


def test_a_namespace_is_patched_updated_and_finalized() -> None:
    async def scenario(lab: Lab) -> None:
        await namespace(lab)
        await lab.client.patch(NAMESPACES, "fleeting", {"metadata": {"labels": {"testLabel": "testValue"}}})
        found = await lab.client.get(NAMESPACES, "fleeting")
        assert found["metadata"]["labels"]["testLabel"] == "testValue" and found["status"]["phase"] == "Active"
        condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "Patched by an e2e test"}
        body = {"metadata": {"annotations": {"e2e-patched": "yes"}}, "status": {"conditions": [condition]}}
        patched = await lab.client.patch(NAMESPACES, "fleeting", body, type="merge", subresource="status")
        assert patched["status"]["conditions"][-1]["reason"] == "E2E"
        patched["status"]["conditions"].append({**condition, "type": "StatusUpdate"})
        updated = await lab.client.update(NAMESPACES, patched, subresource="status")
        assert [one["type"] for one in updated["status"]["conditions"]] == ["StatusPatch", "StatusUpdate"]
        fake = "e2e.example.com/fakeFinalizer"
        updated["spec"]["finalizers"] = [*updated["spec"]["finalizers"], fake]
        held = await lab.client.update(NAMESPACES, updated, subresource="finalize")
        assert held["spec"]["finalizers"] == ["kubernetes", fake]
        held["spec"]["finalizers"].remove(fake)
        await lab.client.update(NAMESPACES, held, subresource="finalize")
        assert (await lab.client.get(NAMESPACES, "fleeting"))["spec"]["finalizers"] == ["kubernetes"]

    on_a_cluster(scenario)


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
@pytest.mark.parametrize("sort", ["rc", "deployment"])
def test_what_becomes_of_the_pods_when_their_owner_is_deleted(policy: str, sort: str) -> None:
    async def scenario(lab: Lab) -> None:
        owner = REPLICATION_CONTROLLERS if sort == "rc" else DEPLOYMENTS
        spec = {"replicas": 10, "selector": LABELS, "template": template()} if sort == "rc" else workload(replicas=3)
        await lab.create(owner, "owner", spec=spec)
        await lab.running(spec["replicas"])
        path = owner.path(NAMESPACE, "owner")
        await lab.client.raw("DELETE", path, body={"propagationPolicy": policy})
        if policy == "Foreground":
            assert "foregroundDeletion" in (await lab.get(owner, "owner"))["metadata"]["finalizers"]

            async def still_owned() -> bool:
                pods = await lab.list(PODS)
                try:
                    await lab.get(owner, "owner")
                except NotFound:
                    assert pods == []
                    return True
                return False

            await lab.until(still_owned)
            return
        await gone(lab, owner, "owner")
        if policy == "Background":
            await lab.running(0)
            return

        async def orphaned() -> bool:
            children = await lab.list(PODS if sort == "rc" else REPLICA_SETS)
            return bool(children) and not any(dig(one, "metadata", "ownerReferences", default=()) for one in children)

        await lab.until(orphaned)
        await asyncio.sleep(30)
        await lab.running(spec["replicas"])

    on_a_cluster(scenario)


def reference(obj: Object, resource: Resource, **more: Any) -> Object:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "name": name_of(obj), "uid": uid_of(obj), **more}


@pytest.mark.parametrize("orphan", [False, True])
def test_custom_resources_are_owners_and_dependents_too(orphan: bool) -> None:
    async def scenario(lab: Lab) -> None:
        await define(lab)
        owner = await lab.create(CUSTOM, "owner")
        await lab.create(CUSTOM, "dependent", metadata={"ownerReferences": [reference(owner, CUSTOM)]})
        await lab.create(CONFIG_MAPS, "mixed", metadata={"ownerReferences": [reference(owner, CUSTOM)]})
        policy = "Orphan" if orphan else "Foreground"
        await lab.client.raw("DELETE", CUSTOM.path(NAMESPACE, "owner"), body={"propagationPolicy": policy})
        await gone(lab, CUSTOM, "owner")
        if orphan:
            await asyncio.sleep(60)
            assert not (await lab.get(CUSTOM, "dependent"))["metadata"].get("ownerReferences")
            assert not (await lab.get(CONFIG_MAPS, "mixed"))["metadata"].get("ownerReferences")
        else:
            await gone(lab, CUSTOM, "dependent")
            await gone(lab, CONFIG_MAPS, "mixed")

    on_a_cluster(scenario)


def test_jobs_and_their_pods_go_with_the_cronjob() -> None:
    async def scenario(lab: Lab) -> None:
        job = {"template": {"metadata": {}, "spec": {"restartPolicy": "OnFailure", **pod_spec()}}}
        await lab.create(CRON_JOBS, "simple", spec={"schedule": "*/1 * * * ?", "jobTemplate": {"spec": job}})

        async def started() -> bool:
            return bool(await lab.list(JOBS)) and bool(await lab.list(PODS))

        await lab.until(started)
        await lab.client.delete(CRON_JOBS, "simple", NAMESPACE)

        async def none_left() -> bool:
            return not await lab.list(JOBS) and not await lab.list(PODS)

        await lab.until(none_left)

    on_a_cluster(scenario)
