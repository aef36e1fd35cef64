"""Upstream's integration tests of StatefulSets (test/integration/statefulset), on a simulated cluster."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.controllers.lab import NAMESPACE, Lab, on_a_cluster, template, workload

from sampan import effects
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, STATEFUL_SETS
from sampan.apimachinery.object import Object, labels_of, meta, name_of, uid_of

HELD = "example.com/held"
DATA = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


async def a_set(lab: Lab, replicas: int, **spec: Any) -> Object:
    defaults = {"replicas": replicas, "serviceName": "web", "podManagementPolicy": "Parallel"}
    return await lab.create(STATEFUL_SETS, "web", spec=workload(**{**defaults, **spec}))


async def have(lab: Lab, *ordinals: int) -> None:
    async def check() -> bool:
        return {name_of(one) for one in await lab.list(PODS)} == {f"web-{ordinal}" for ordinal in ordinals}

    await lab.until(check, what=f"pods {ordinals}")


async def say_ready(lab: Lab, name: str, *, ready: bool = True, for_s: float = 0) -> None:
    since = (effects.now() - timedelta(seconds=for_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": since}]
    await lab.set_phase("Running", name, conditions=conditions)


def test_pods_that_ended_are_replaced_and_one_that_is_held_is_waited_for() -> None:
    async def scenario(lab: Lab) -> None:
        await a_set(lab, 3)
        await have(lab, 0, 1, 2)
        first = {name: uid_of(pod) for name, pod in (await lab.pods()).items()}
        await lab.patch(PODS, "web-0", metadata={"finalizers": [HELD]})
        await lab.client.delete(PODS, "web-0", NAMESPACE)
        await lab.set_phase("Failed", "web-1")
        await lab.set_phase("Succeeded", "web-2")

        async def replaced() -> bool:
            found = {name_of(one): one for one in await lab.list(PODS)}
            assert uid_of(found["web-0"]) == first["web-0"]
            return len(found) == 3 and all(
                uid_of(found[name]) != first[name] and found[name]["status"]["phase"] == "Pending"
                for name in ("web-1", "web-2")
            )

        await lab.until(replaced)
        await lab.patch(PODS, "web-0", metadata={"finalizers": None})

        async def let_go() -> bool:
            found = await lab.pods()
            return len(found) == 3 and uid_of(found["web-0"]) != first["web-0"]

        await lab.until(let_go)

    on_a_cluster(scenario, nodes=0)


def test_pods_are_available_when_they_were_ready_for_long_enough() -> None:
    async def scenario(lab: Lab) -> None:
        await a_set(lab, 4, minReadySeconds=3600)
        await have(lab, 0, 1, 2, 3)
        await say_ready(lab, "web-0", ready=False)
        await say_ready(lab, "web-1")
        for name in ("web-2", "web-3"):
            await say_ready(lab, name, for_s=7200)
        await lab.status(STATEFUL_SETS, "web", replicas=4, readyReplicas=3, availableReplicas=2)

    on_a_cluster(scenario, nodes=0)


def test_the_status_tells_of_the_pods_that_there_are_though_others_are_refused() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(RESOURCE_QUOTAS, "few", spec={"hard": {"pods": "2"}})
        await a_set(lab, 4)
        await lab.status(STATEFUL_SETS, "web", replicas=2)
        assert "FailedCreate" in await lab.reasons("web")

    on_a_cluster(scenario, nodes=0)


@pytest.mark.parametrize("when_scaled", ["Retain", "Delete"])
@pytest.mark.parametrize("when_deleted", ["Retain", "Delete"])
def test_claims_have_the_owners_and_the_end_that_the_policy_says(when_scaled: str, when_deleted: str) -> None:
    async def scenario(lab: Lab) -> None:
        policy = {"whenScaled": when_scaled, "whenDeleted": when_deleted}
        await a_set(lab, 3, volumeClaimTemplates=[DATA], persistentVolumeClaimRetentionPolicy=policy)
        await have(lab, 0, 1, 2)

        async def left(*ordinals: int) -> None:
            async def check() -> bool:
                found = await lab.list(PERSISTENT_VOLUME_CLAIMS)
                return {name_of(one) for one in found} == {f"data-web-{ordinal}" for ordinal in ordinals}

            await lab.until(check, what=f"claims {ordinals}")

        await left(0, 1, 2)
        owners = ["StatefulSet"] if when_deleted == "Delete" else []
        for claim in await lab.list(PERSISTENT_VOLUME_CLAIMS):
            assert [one["kind"] for one in meta(claim).get("ownerReferences", ())] == owners
        await lab.patch(STATEFUL_SETS, "web", spec={"replicas": 1})
        await have(lab, 0)
        rest = (0,) if when_scaled == "Delete" else (0, 1, 2)
        await left(*rest)
        await lab.client.delete(STATEFUL_SETS, "web", NAMESPACE, propagation="Background")
        await have(lab)
        await left(*(() if when_deleted == "Delete" else rest))

    on_a_cluster(scenario, nodes=0)


def test_a_pod_below_the_partition_that_fails_comes_back_as_it_was() -> None:
    async def scenario(lab: Lab) -> None:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
        await a_set(lab, 2, updateStrategy=rolling)
        await have(lab, 0, 1)
        await lab.make_ready("web-0", "web-1")
        await lab.set_phase("Running", "web-0", "web-1")
        await lab.status(STATEFUL_SETS, "web", readyReplicas=2)
        before = uid_of(await lab.get(PODS, "web-0"))
        await lab.patch(PODS, "web-0", metadata={"finalizers": [HELD]})
        await lab.patch(STATEFUL_SETS, "web", spec={"template": template("web:2")})

        async def updated() -> bool:
            pods = await lab.pods()
            return "web-1" in pods and pods["web-1"]["spec"]["containers"][0]["image"] == "web:2"

        await lab.until(updated)
        await say_ready(lab, "web-1")
        await lab.status(STATEFUL_SETS, "web", updatedReplicas=1, replicas=2, readyReplicas=2)
        await lab.set_phase("Failed", "web-0")
        await lab.client.delete(PODS, "web-0", NAMESPACE)
        await lab.status(STATEFUL_SETS, "web", readyReplicas=1)
        await lab.patch(PODS, "web-0", metadata={"finalizers": None})

        async def back() -> bool:
            pods = await lab.pods()
            return "web-0" in pods and uid_of(pods["web-0"]) != before

        await lab.until(back)
        await say_ready(lab, "web-0")
        await lab.status(STATEFUL_SETS, "web", replicas=2, readyReplicas=2, currentReplicas=1, updatedReplicas=1)
        assert await lab.images() == ["web:1", "web:2"]

    on_a_cluster(scenario, nodes=0)


@pytest.mark.parametrize(("ordinals", "expected"), [
    (None, (0, 1, 2)), ({}, (0, 1, 2)), ({"start": 4}, (4, 5, 6, 7)), ({"start": 2}, (2, 3, 4, 5, 6, 7, 8)),
])
def test_ordinals_begin_where_they_are_told_to(ordinals: Object | None, expected: tuple[int, ...]) -> None:
    async def scenario(lab: Lab) -> None:
        await a_set(lab, len(expected), podManagementPolicy="OrderedReady", ordinals=ordinals)
        await lab.running(len(expected))
        await have(lab, *expected)
        indexes = {labels_of(one)["apps.kubernetes.io/pod-index"] for one in await lab.list(PODS)}
        assert indexes == {str(one) for one in expected}
        await lab.patch(STATEFUL_SETS, "web", "scale", spec={"replicas": 1})
        await have(lab, expected[0])

    on_a_cluster(scenario)


def test_sizes_and_templates_that_change_are_observed() -> None:
    async def scenario(lab: Lab) -> None:
        await a_set(lab, 2)
        for replicas in (2, 3, 0, 2):
            await lab.patch(STATEFUL_SETS, "web", "scale", spec={"replicas": replicas})
            await lab.status(STATEFUL_SETS, "web", replicas=replicas)
        before = meta(await lab.get(STATEFUL_SETS, "web"))["generation"]
        await lab.patch(STATEFUL_SETS, "web", spec={"template": template(test="annotation")})
        await lab.status(STATEFUL_SETS, "web", observedGeneration=before + 1)

    on_a_cluster(scenario)


def test_what_was_created_is_no_change_when_it_is_sent_again() -> None:
    """Also the templates of claims, whose defaults the sender does not know."""

    async def scenario(lab: Lab) -> None:
        sent = workload(replicas=3, serviceName="web", volumeClaimTemplates=[DATA])
        made = await lab.create(STATEFUL_SETS, "web", spec=sent)
        again = await lab.client.update(STATEFUL_SETS, {**made, "spec": sent})
        assert meta(again)["generation"] == 1

    on_a_cluster(scenario, nodes=0)
