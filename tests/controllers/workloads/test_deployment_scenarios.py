"""Upstream's integration tests of Deployments (test/integration/deployment), on a simulated cluster."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.controllers.lab import LABELS, NAMESPACE, Lab, on_a_cluster, template, workload

from sampan import effects
from sampan.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, annotations_of, labels_of, meta, name_of
from sampan.sim.stages import READY_AFTER

REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
ROLLBACK = "deprecated.deployment.rollback.to"
HASH = "pod-template-hash"
HELD = {READY_AFTER: "1000000"}


def rolling(surge: int | str, unavailable: int | str) -> Object:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


async def sets(lab: Lab) -> dict[str, Object]:
    """By image."""
    return {one["spec"]["template"]["spec"]["containers"][0]["image"]: one for one in await lab.list(REPLICA_SETS)}


async def revision(lab: Lab, number: int) -> None:
    async def check() -> bool:
        return annotations_of(await lab.get(DEPLOYMENTS, "web")).get(REVISION) == str(number)

    await lab.until(check, what=f"revision {number}")


async def observed(lab: Lab) -> None:
    await lab.status(
        DEPLOYMENTS, "web", observedGeneration=meta(await lab.get(DEPLOYMENTS, "web"))["generation"]
    )


async def roll(lab: Lab, image: str, annotations: Object | None = None, **spec: Any) -> None:
    changed = template(image)
    changed["metadata"]["annotations"] = annotations
    await lab.patch(DEPLOYMENTS, "web", spec={"template": changed, **spec})


async def reason(lab: Lab, type: str, wanted: str) -> None:
    async def check() -> bool:
        found = await lab.condition(DEPLOYMENTS, "web", type)
        return found is not None and found["reason"] == wanted

    await lab.until(check, what=f"{type}: {wanted}")


async def say_ready(lab: Lab, for_s: float = 0) -> None:
    since = (effects.now() - timedelta(seconds=for_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": since}
    await lab.set_phase("Running", *await lab.pods(), conditions=[condition])


def test_a_new_deployment_hands_on_its_annotations_and_marks_all_with_one_hash() -> None:
    async def scenario(lab: Lab) -> None:
        last = "kubectl.kubernetes.io/last-applied-configuration"
        metadata = {"annotations": {"test": "copied", last: "not"}}
        await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=20, minReadySeconds=4), metadata=metadata)
        await lab.status(DEPLOYMENTS, "web", availableReplicas=20, updatedReplicas=20)
        await revision(lab, 1)
        [made] = await lab.list(REPLICA_SETS)
        assert annotations_of(made)["test"] == "copied" and last not in annotations_of(made)
        of_pods = {labels_of(one)[HASH] for one in (await lab.pods()).values()}
        marks = of_pods | {
            labels_of(made)[HASH], made["spec"]["selector"]["matchLabels"][HASH], name_of(made).rpartition("-")[2],
            labels_of(made["spec"]["template"])[HASH],
        }
        assert len(marks) == 1 and len(await lab.pods()) == 20

    on_a_cluster(scenario, nodes=3)


def test_a_rolling_update_keeps_its_bounds_and_may_be_overtaken() -> None:
    async def scenario(lab: Lab) -> None:
        spec = workload(replicas=20, minReadySeconds=4, strategy=rolling("25%", "25%"))
        await lab.create(DEPLOYMENTS, "web", spec=spec)
        await lab.status(DEPLOYMENTS, "web", availableReplicas=20)

        async def complete(image: str) -> None:
            async def check() -> bool:
                status = (await lab.get(DEPLOYMENTS, "web"))["status"]
                assert status["availableReplicas"] >= 15 and status["replicas"] <= 25
                sizes = {one: found["spec"]["replicas"] for one, found in (await sets(lab)).items()}
                return bool(sizes[image] == 20 == sum(sizes.values()) and status["availableReplicas"] == 20)

            await lab.until(check, what=image)

        await roll(lab, "web:2")
        await revision(lab, 2)
        await complete("web:2")
        await roll(lab, "stuck:1", HELD)
        await revision(lab, 3)
        await roll(lab, "web:3")
        await revision(lab, 4)
        await complete("web:3")

    on_a_cluster(scenario, nodes=3)


def test_a_selector_is_for_good() -> None:
    async def scenario(lab: Lab) -> None:
        made = await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=1))
        changed = template()
        changed["metadata"]["labels"] = {"app": "other"}
        spec = {**made["spec"], "selector": {"matchLabels": {"app": "other"}}, "template": changed}
        with pytest.raises(errors.Invalid, match=r"Invalid value.*field is immutable"):
            await lab.client.update(DEPLOYMENTS, {**await lab.get(DEPLOYMENTS, "web"), "spec": spec})

    on_a_cluster(scenario, nodes=0)


def test_a_paused_deployment_makes_no_set_and_starts_no_rollout() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=1, paused=True))
        await observed(lab)
        assert await lab.list(REPLICA_SETS) == []
        await lab.patch(DEPLOYMENTS, "web", spec={"paused": None})
        await revision(lab, 1)
        await lab.status(DEPLOYMENTS, "web", availableReplicas=1)
        await lab.patch(DEPLOYMENTS, "web", spec={"paused": True})
        await observed(lab)
        await roll(lab, "web:2")
        await observed(lab)
        await asyncio.sleep(10)
        assert list(await sets(lab)) == ["web:1"]
        await lab.patch(DEPLOYMENTS, "web", spec={"replicas": 10})
        await lab.status(DEPLOYMENTS, "web", availableReplicas=10)
        assert (await sets(lab))["web:1"]["spec"]["replicas"] == 10

    on_a_cluster(scenario)


def test_a_deadline_that_passed_is_told_until_the_rollout_ends_after_all() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=1, progressDeadlineSeconds=3))
        await lab.status(DEPLOYMENTS, "web", updatedReplicas=1)
        await reason(lab, "Progressing", "ProgressDeadlineExceeded")
        await say_ready(lab)
        await reason(lab, "Progressing", "NewReplicaSetAvailable")

    on_a_cluster(scenario, nodes=0)


def test_a_new_size_and_a_new_template_at_once_do_not_stop_the_rollout() -> None:
    """Also where another rollout is under way; every set then knows the size that is wanted."""

    async def scenario(lab: Lab) -> None:
        await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=10, strategy=rolling(3, 2)))
        await lab.status(DEPLOYMENTS, "web", availableReplicas=10)
        for stuck, good, replicas in (("stuck:1", "web:2", 20), ("stuck:2", "web:3", 5)):
            before = await sets(lab)
            [running] = [image for image, one in before.items() if one["spec"]["replicas"]]
            await roll(lab, stuck, HELD)

            async def waits(stuck: str = stuck, running: str = running, size: int = 0) -> bool:
                found = await sets(lab)
                size = found[running]["spec"]["replicas"]
                return stuck in found and [found[one]["status"]["replicas"] for one in (running, stuck)] == [
                    size, found[stuck]["spec"]["replicas"]
                ] and size < int(annotations_of(found[running])[DESIRED])

            await lab.until(waits, what=stuck)
            await roll(lab, good, replicas=replicas)
            await lab.status(
                DEPLOYMENTS, "web", availableReplicas=replicas, updatedReplicas=replicas, replicas=replicas
            )
            found = await sets(lab)
            assert {annotations_of(found[one])[DESIRED] for one in (running, stuck, good)} == {str(replicas)}

    on_a_cluster(scenario, nodes=3)


def test_sizes_and_whatever_else_changes_are_observed() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=1, strategy={"type": "Recreate"}))
        for replicas in (1, 2, 0, 1):
            await lab.patch(DEPLOYMENTS, "web", "scale", spec={"replicas": replicas})
            await observed(lab)
            await lab.status(DEPLOYMENTS, "web", replicas=replicas or None)
            [made] = await lab.list(REPLICA_SETS)
            scale = await lab.client.get(DEPLOYMENTS, "web", NAMESPACE, subresource="scale")
            assert made["spec"]["replicas"] == scale["spec"].get("replicas", 0) == replicas
        await lab.patch(DEPLOYMENTS, "web", spec={"revisionHistoryLimit": 4})
        await observed(lab)

    on_a_cluster(scenario)


def test_pods_that_are_ready_for_too_short_a_time_make_no_deployment_available() -> None:
    async def scenario(lab: Lab) -> None:
        spec = workload(replicas=10, minReadySeconds=3600, progressDeadlineSeconds=7200)
        await lab.create(DEPLOYMENTS, "web", spec=spec)

        async def counts(ready: int | None, available: int | None, unavailable: int | None) -> None:
            await lab.status(
                DEPLOYMENTS, "web", replicas=10, updatedReplicas=10, readyReplicas=ready, availableReplicas=available,
                unavailableReplicas=unavailable,
            )

        await counts(None, None, 10)
        await reason(lab, "Available", "MinimumReplicasUnavailable")
        await say_ready(lab)
        await counts(10, None, 10)
        await reason(lab, "Available", "MinimumReplicasUnavailable")
        await lab.patch(DEPLOYMENTS, "web", spec={"minReadySeconds": 1})
        await observed(lab)
        await reason(lab, "Available", "MinimumReplicasAvailable")
        await counts(10, 10, None)

    on_a_cluster(scenario, nodes=0)


def test_it_rolls_back_though_there_is_a_set_without_a_revision() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(
            REPLICA_SETS, "old", spec=workload("other:1", replicas=1), metadata={"labels": LABELS}
        )
        await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=1, strategy=rolling(1, 1)))
        await revision(lab, 1)

        async def back_to(number: int) -> None:
            await lab.patch(DEPLOYMENTS, "web", metadata={"annotations": {ROLLBACK: str(number)}})

            async def done() -> bool:
                return ROLLBACK not in annotations_of(await lab.get(DEPLOYMENTS, "web"))

            await lab.until(done)

        await back_to(0)
        await revision(lab, 1)
        await roll(lab, "web:2")
        await revision(lab, 2)
        await lab.status(DEPLOYMENTS, "web", availableReplicas=1, updatedReplicas=1, replicas=1)
        await back_to(1)
        await revision(lab, 3)
        await lab.status(DEPLOYMENTS, "web", availableReplicas=1, updatedReplicas=1, replicas=1)
        assert await lab.images() == ["web:1"]

    on_a_cluster(scenario)


def test_pods_that_are_going_are_told_of_apart() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=3))
        await lab.status(DEPLOYMENTS, "web", replicas=3, terminatingReplicas=0)
        for name in await lab.pods():
            await lab.patch(PODS, name, metadata={"finalizers": ["example.com/held"]})
        await lab.patch(DEPLOYMENTS, "web", spec={"replicas": 1})
        await lab.status(DEPLOYMENTS, "web", replicas=1, terminatingReplicas=2)
        for one in await lab.list(PODS):
            await lab.patch(PODS, name_of(one), metadata={"finalizers": None})
        await lab.status(DEPLOYMENTS, "web", replicas=1, terminatingReplicas=0)

    on_a_cluster(scenario, nodes=0)
