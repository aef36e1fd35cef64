"""What upstream's tests of sig-apps ask of the API of workloads while controllers run: scale, status, collections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.controllers.lab import LABELS, NAMESPACE, Lab, on_a_cluster, template, workload

from sampan.api.resources import (
    CONTROLLER_REVISIONS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from sampan.apimachinery.errors import Conflict
from sampan.apimachinery.object import Object, dig, name_of
from sampan.apimachinery.resource import Resource

SPECS: dict[Resource, Object] = {
    DEPLOYMENTS: workload(replicas=1), REPLICA_SETS: workload(replicas=1),
    STATEFUL_SETS: workload(replicas=1, serviceName="s"), DAEMON_SETS: workload(),
    REPLICATION_CONTROLLERS: {"replicas": 1, "selector": LABELS, "template": template()},
}
SCALED = [DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, REPLICATION_CONTROLLERS]
MERGE: Any = {"type": "merge"}


def plural(resource: Resource) -> str:
    return resource.plural


async def watched(lab: Lab, resource: Resource, name: str) -> Any:
    """Each state of the object from now on."""
    version = (await lab.client.list(resource, NAMESPACE))["metadata"]["resourceVersion"]
    chosen = f"metadata.name={name}"
    async for event in lab.client.watch(resource, NAMESPACE, resource_version=version, field_selector=chosen):
        yield event.object


async def seen(states: Any, kind: str) -> Object:
    """The first state with a condition of this kind."""
    async for state in states:
        for one in dig(state, "status", "conditions", default=()):
            if one["type"] == kind:
                return dict(one)
    raise AssertionError("the watch ended")


@pytest.mark.parametrize("resource", list(SPECS), ids=plural)
def test_a_status_is_read_updated_and_patched_while_the_controller_runs(resource: Resource) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(resource, "x", spec=SPECS[resource])
        path = resource.path(NAMESPACE, "x", "status")

        async def ready() -> bool:
            return bool((await lab.get(resource, "x"))["status"].get("readyReplicas") or (
                await lab.get(resource, "x"))["status"].get("numberReady"))

        await lab.until(ready)
        raw = await lab.client.raw("GET", path)
        assert raw.status == 200
        states = watched(lab, resource, "x")
        first = asyncio.ensure_future(seen(states, "StatusUpdate"))
        await asyncio.sleep(0.1)
        condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
        for _ in range(10):
            found = await lab.get(resource, "x")
            found["status"].setdefault("conditions", []).append(condition)
            try:
                await lab.client.update(resource, found, subresource="status")
                break
            except Conflict:
                continue
        assert (await first)["reason"] == "E2E"
        second = asyncio.ensure_future(seen(watched(lab, resource, "x"), "StatusPatched"))
        await asyncio.sleep(0.1)
        patched = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
        answer = await lab.client.patch(resource, "x", patched, NAMESPACE, subresource="status", **MERGE)
        assert [one["type"] for one in answer["status"]["conditions"]] == ["StatusPatched"]
        assert (await second)["status"] == "True"

    on_a_cluster(scenario)


@pytest.mark.parametrize("resource", SCALED, ids=plural)
def test_a_scale_is_read_updated_and_patched(resource: Resource) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(resource, "x", spec=SPECS[resource])
        await lab.running(1)
        scale = await lab.client.get(resource, "x", NAMESPACE, subresource="scale")
        assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["replicas"]) == ("Scale", 1, 1)
        assert scale["status"]["selector"] == "app=web"
        scale["spec"]["replicas"] = 2
        await lab.client.update(resource, scale, subresource="scale")
        await lab.running(2)
        assert (await lab.get(resource, "x"))["spec"]["replicas"] == 2
        patch = {"spec": {"replicas": 4}}
        patched = await lab.client.patch(resource, "x", patch, NAMESPACE, subresource="scale", **MERGE)
        assert patched["spec"]["replicas"] == 4
        await lab.running(4)

    on_a_cluster(scenario)


@pytest.mark.parametrize("resource", [*SPECS, JOBS, CRON_JOBS], ids=plural)
def test_collections_are_listed_and_deleted_by_label(resource: Resource) -> None:
    job = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
    specs: dict[Resource, Object] = {
        **SPECS, JOBS: {**job, "suspend": True},
        CRON_JOBS: {"schedule": "*/1 * * * *", "suspend": True, "jobTemplate": {"spec": job}},
    }

    async def scenario(lab: Lab) -> None:
        for name in ("a", "b", "c"):
            labels = {"labels": {"e2e": "other" if name == "c" else "yes"}}
            spec = specs[resource]
            if "selector" in spec:
                mine = {"app": name}
                matched = mine if resource is REPLICATION_CONTROLLERS else {"matchLabels": mine}
                pods = {**template(), "metadata": {"labels": mine}}
                spec = {**spec, "selector": matched, "template": pods}
            await lab.create(resource, name, spec=spec, metadata=labels)
        path = resource.path(None)
        everywhere = (await lab.client.list(resource, label_selector="e2e=yes"))["items"]
        assert sorted(map(name_of, everywhere)) == ["a", "b"] and path
        await lab.client.raw("DELETE", resource.path(NAMESPACE), {"labelSelector": ["e2e=yes"]},
                             {"propagationPolicy": "Background"})

        async def only_the_other() -> bool:
            return [name_of(one) for one in await lab.list(resource)] == ["c"]

        await lab.until(only_the_other)

    on_a_cluster(scenario)


def test_the_status_of_a_running_job_is_patched_and_updated() -> None:
    async def scenario(lab: Lab) -> None:
        pods = {**template(), "spec": {**template()["spec"], "restartPolicy": "Never"}}
        await lab.create(JOBS, "j", spec={"parallelism": 2, "completions": 4, "template": pods})

        async def started() -> bool:
            return bool((await lab.get(JOBS, "j"))["status"].get("active") == 2)

        await lab.until(started)
        condition = {"type": "CustomConditionType", "status": "True", "reason": "E2E", "message": "Set from e2e test",
                     "lastTransitionTime": "2026-01-01T00:00:00Z", "lastProbeTime": "2026-01-01T00:00:00Z"}
        body = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"conditions": [condition]}}
        patched = await lab.client.patch(JOBS, "j", body, NAMESPACE, subresource="status", **MERGE)
        assert patched["status"]["conditions"][0]["type"] == "CustomConditionType"
        assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
        found = await lab.get(JOBS, "j")
        found["status"]["conditions"].append({**condition, "type": "Updated"})
        updated = await lab.client.update(JOBS, found, subresource="status")
        assert [one["type"] for one in updated["status"]["conditions"]] == ["CustomConditionType", "Updated"]

    on_a_cluster(scenario)


def test_controller_revisions_are_objects_of_their_own() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(DAEMON_SETS, "d", spec=workload())

        async def revisions() -> list[Object]:
            return [dict(one) for one in await lab.list(CONTROLLER_REVISIONS)]

        async def count(number: int) -> None:
            async def holds() -> bool:
                return len(await revisions()) == number

            await lab.until(holds, what=f"{number} revisions")

        await count(1)
        [first] = await revisions()
        await lab.patch(CONTROLLER_REVISIONS, name_of(first), metadata={"labels": {"patched": "yes"}})
        assert (await lab.get(CONTROLLER_REVISIONS, name_of(first)))["metadata"]["labels"]["patched"] == "yes"
        copy = {key: first["metadata"][key] for key in ("labels", "ownerReferences")}
        made = await lab.create(CONTROLLER_REVISIONS, "copy", metadata=copy, data=first["data"], revision=2)
        await count(2)
        await lab.client.delete(CONTROLLER_REVISIONS, name_of(first), NAMESPACE)
        await count(1)
        await lab.patch(DAEMON_SETS, "d", spec={"template": {"spec": {"terminationGracePeriodSeconds": 1}}})
        await count(2)
        newest = max(await revisions(), key=lambda one: int(one["revision"]))
        assert newest["revision"] == 3 and name_of(newest) != name_of(made)
        path = CONTROLLER_REVISIONS.path(NAMESPACE)
        await lab.patch(CONTROLLER_REVISIONS, "copy", metadata={"labels": {"old": "yes"}})
        await lab.client.raw("DELETE", path, {"labelSelector": ["old=yes"]})
        await count(1)

    on_a_cluster(scenario)


def test_a_budget_is_patched_updated_and_its_status_written() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(REPLICA_SETS, "rs", spec=workload(replicas=3))
        await lab.running(3)
        await lab.create(POD_DISRUPTION_BUDGETS, "b", spec={"minAvailable": 1, "selector": {"matchLabels": LABELS}})
        await lab.status(POD_DISRUPTION_BUDGETS, "b", disruptionsAllowed=2, currentHealthy=3, desiredHealthy=1)
        found = await lab.get(POD_DISRUPTION_BUDGETS, "b")
        found["spec"]["minAvailable"] = 2
        await lab.client.update(POD_DISRUPTION_BUDGETS, found)
        await lab.status(POD_DISRUPTION_BUDGETS, "b", disruptionsAllowed=1)
        await lab.patch(POD_DISRUPTION_BUDGETS, "b", spec={"minAvailable": "100%"})
        await lab.status(POD_DISRUPTION_BUDGETS, "b", disruptionsAllowed=0)
        disrupted = {"status": {"disruptedPods": {"p": "2026-01-01T00:00:00Z"}}}
        patched = await lab.client.patch(
            POD_DISRUPTION_BUDGETS, "b", disrupted, NAMESPACE, subresource="status", **MERGE
        )
        assert "p" in patched["status"]["disruptedPods"]
        assert len(await lab.list(PODS)) == 3

    on_a_cluster(scenario)
