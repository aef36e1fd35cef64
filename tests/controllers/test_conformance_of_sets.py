"""What upstream's conformance tests ask of ReplicaSets, ReplicationControllers, StatefulSets and DaemonSets.

Each is played on a whole simulated cluster; the names of upstream's tests (test/e2e/apps) are in the docstrings.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.controllers.lab import HELD, LABELS, Lab, on_a_cluster, template, workload

from sampan.api.resources import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    STATEFUL_SETS,
)
from sampan.apimachinery.object import dig, labels_of, meta, name_of, uid_of
from sampan.apimachinery.resource import Resource
from sampan.controllers.workloads.revision_history import HASH_LABEL

BOTH = pytest.mark.parametrize("resource", [REPLICA_SETS, REPLICATION_CONTROLLERS], ids=lambda one: one.plural)


def replicated(resource: Resource, **spec: object) -> dict[str, object]:
    selector = {"matchLabels": LABELS} if resource == REPLICA_SETS else LABELS
    return {"selector": selector, "template": template(), **spec}


@BOTH
def test_a_matching_pod_is_adopted_and_a_relabelled_one_released(resource: Resource) -> None:
    """should adopt matching pods on creation · should release no longer matching pods"""

    async def scenario(lab: Lab) -> None:
        await lab.create(PODS, "mine", metadata={"labels": LABELS}, spec=template()["spec"])
        owner = await lab.create(resource, "web", spec=replicated(resource, replicas=1))

        async def adopted() -> bool:
            references = meta((await lab.pods())["mine"]).get("ownerReferences") or []
            return [one["uid"] for one in references] == [uid_of(owner)]

        await lab.until(adopted)
        assert len(await lab.pods()) == 1
        await lab.patch(PODS, "mine", metadata={"labels": {"app": "debug"}})

        async def released() -> bool:
            found = await lab.pods()
            return len(found) == 2 and not meta(found["mine"]).get("ownerReferences")

        await lab.until(released)

    on_a_cluster(scenario)


@BOTH
def test_an_exceeded_quota_is_a_condition_until_it_is_not_exceeded_any_more(resource: Resource) -> None:
    """should surface a failure condition on a common issue like exceeded quota"""

    async def scenario(lab: Lab) -> None:
        await lab.create(RESOURCE_QUOTAS, "few", spec={"hard": {"pods": "2"}})
        await lab.status(RESOURCE_QUOTAS, "few", hard={"pods": "2"})
        await lab.create(resource, "web", spec=replicated(resource, replicas=3))

        async def failing() -> bool:
            return await lab.condition(resource, "web", "ReplicaFailure") is not None

        await lab.until(failing)
        found = await lab.condition(resource, "web", "ReplicaFailure")
        assert found is not None and found["reason"] == "FailedCreate" and "exceeded quota: few" in found["message"]
        await lab.patch(resource, "web", spec={"replicas": 2})

        async def well() -> bool:
            return not await failing()

        await lab.until(well)
        await lab.running(2)

    on_a_cluster(scenario)


def stateful(annotations: dict[str, str] | None = None, **spec: object) -> dict[str, object]:
    return workload(annotations=annotations, serviceName="web", **spec)


def test_scaling_halts_while_a_pod_is_unhealthy_and_goes_in_order() -> None:
    """Scaling should happen in predictable order and halt if any stateful pod is unhealthy"""

    async def scenario(lab: Lab) -> None:
        await lab.create(STATEFUL_SETS, "web", spec=stateful(HELD, replicas=3))

        async def there(*names: str) -> None:
            async def check() -> bool:
                return set(await lab.pods()) == set(names)

            await lab.until(check, what=str(names))
            await asyncio.sleep(30)
            assert await check(), "it halts"

        await there("web-0")
        await lab.make_ready("web-0")
        await there("web-0", "web-1")
        await lab.make_ready("web-0", ready=False)
        await lab.make_ready("web-1")
        await there("web-0", "web-1")
        await lab.make_ready("web-0")
        await there("web-0", "web-1", "web-2")
        await lab.make_ready("web-0", "web-1", "web-2", ready=False)
        await lab.patch(STATEFUL_SETS, "web", spec={"replicas": 0})
        await there("web-0", "web-1", "web-2")
        await lab.make_ready("web-0", "web-1", "web-2")
        await lab.running(0)

    on_a_cluster(scenario)


def test_burst_scaling_waits_for_nobody() -> None:
    """Burst scaling should run to completion even with unhealthy pods"""

    async def scenario(lab: Lab) -> None:
        await lab.create(STATEFUL_SETS, "web", spec=stateful(HELD, replicas=4, podManagementPolicy="Parallel"))
        await lab.running(4)
        await lab.patch(STATEFUL_SETS, "web", spec={"replicas": 0})
        await lab.running(0)

    on_a_cluster(scenario)


def test_an_evicted_pod_comes_back_under_its_name() -> None:
    """Should recreate evicted statefulset"""

    async def scenario(lab: Lab) -> None:
        await lab.create(STATEFUL_SETS, "web", spec=stateful(replicas=1))
        await lab.status(STATEFUL_SETS, "web", readyReplicas=1)
        before = uid_of((await lab.pods())["web-0"])
        await lab.patch(PODS, "web-0", "status", status={"phase": "Failed", "reason": "Evicted"})

        async def again() -> bool:
            found = (await lab.pods()).get("web-0")
            return found is not None and uid_of(found) != before and found["status"].get("phase") == "Running"

        await lab.until(again)
        assert "RecreatingFailedPod" in await lab.reasons("web")

    on_a_cluster(scenario)


def test_a_template_rolls_from_the_highest_down_and_back_to_its_old_revision() -> None:
    """should perform rolling updates and roll backs of template modifications"""

    async def scenario(lab: Lab) -> None:
        await lab.create(STATEFUL_SETS, "web", spec=stateful(replicas=3))
        await lab.status(STATEFUL_SETS, "web", readyReplicas=3)
        first = (await lab.get(STATEFUL_SETS, "web"))["status"]["updateRevision"]

        async def rolled(image: str) -> list[str]:
            """Change the image; the order in which the pods were made again."""
            before = {name: uid_of(pod) for name, pod in (await lab.pods()).items()}
            order: list[str] = []
            await lab.patch(STATEFUL_SETS, "web", spec={"template": template(image)})

            async def done() -> bool:
                for name, pod in (await lab.pods()).items():
                    if uid_of(pod) != before[name] and name not in order:
                        order.append(name)
                status = (await lab.get(STATEFUL_SETS, "web"))["status"]
                same = status["currentRevision"] == status["updateRevision"]
                return same and await lab.images() == [image] * 3 and status.get("readyReplicas") == 3

            await lab.until(done, what=image)
            return order

        assert await rolled("web:2") == ["web-2", "web-1", "web-0"]
        assert (await lab.get(STATEFUL_SETS, "web"))["status"]["updateRevision"] != first
        await rolled("web:1")
        assert (await lab.get(STATEFUL_SETS, "web"))["status"]["updateRevision"] == first
        revisions = {name_of(one): one["revision"] for one in await lab.list(CONTROLLER_REVISIONS)}
        assert len(revisions) == 2 and revisions[first] == 3

    on_a_cluster(scenario)


def test_a_canary_is_updated_alone_and_deleted_pods_keep_their_side_of_the_partition() -> None:
    """should perform canary updates and phased rolling updates of template modifications"""

    async def scenario(lab: Lab) -> None:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
        await lab.create(STATEFUL_SETS, "web", spec=stateful(replicas=3, updateStrategy=strategy))
        await lab.status(STATEFUL_SETS, "web", readyReplicas=3)
        await lab.patch(STATEFUL_SETS, "web", spec={"template": template("web:2")})
        await lab.status(STATEFUL_SETS, "web", updatedReplicas=1, readyReplicas=3)

        async def image(name: str) -> str:
            return str((await lab.pods())[name]["spec"]["containers"][0]["image"])

        assert [await image(f"web-{number}") for number in range(3)] == ["web:1", "web:1", "web:2"]
        for name in ("web-0", "web-2"):
            before = uid_of((await lab.pods())[name])
            await lab.client.delete(PODS, name, "default")

            async def again(name: str = name, before: str = before) -> bool:
                found = (await lab.pods()).get(name)
                return found is not None and uid_of(found) != before

            await lab.until(again)
        await lab.status(STATEFUL_SETS, "web", readyReplicas=3)
        assert [await image(f"web-{number}") for number in range(3)] == ["web:1", "web:1", "web:2"]
        await lab.patch(STATEFUL_SETS, "web", spec={"updateStrategy": {"rollingUpdate": {"partition": 0}}})
        await lab.status(STATEFUL_SETS, "web", updatedReplicas=3, readyReplicas=3)

    on_a_cluster(scenario)


@pytest.mark.parametrize("resource", [STATEFUL_SETS, DAEMON_SETS], ids=lambda one: one.plural)
def test_a_set_made_anew_takes_up_the_pods_and_the_history_that_the_old_one_left(resource: Resource) -> None:
    """should adopt matching orphans · kubectl delete --cascade=orphan, then apply again"""

    async def scenario(lab: Lab) -> None:
        spec = stateful(replicas=2) if resource == STATEFUL_SETS else workload()
        await lab.create(resource, "web", spec=spec)
        await lab.running(2)
        await asyncio.sleep(5)
        before = {name: uid_of(pod) for name, pod in (await lab.pods()).items()}
        await lab.client.delete(resource, "web", "default", propagation="Orphan")

        async def orphaned() -> bool:
            left = [*(await lab.pods()).values(), *await lab.list(CONTROLLER_REVISIONS)]
            return not await lab.list(resource) and not any(meta(one).get("ownerReferences") for one in left)

        await lab.until(orphaned)
        owner = await lab.create(resource, "web", spec=spec)

        async def adopted() -> bool:
            found = [*(await lab.pods()).values(), *await lab.list(CONTROLLER_REVISIONS)]
            return all(
                [one["uid"] for one in meta(each).get("ownerReferences") or []] == [uid_of(owner)] for each in found
            )

        await lab.until(adopted)
        await lab.patch(resource, "web", spec={"template": template("web:2")})

        async def updated() -> bool:
            return await lab.images() == ["web:2", "web:2"]

        assert {name: uid_of(pod) for name, pod in (await lab.pods()).items()} == before
        await lab.until(updated)
        assert sorted(one["revision"] for one in await lab.list(CONTROLLER_REVISIONS)) == [1, 2]

    on_a_cluster(scenario)


def test_claims_made_from_a_template_outlive_the_set_unless_it_says_otherwise() -> None:
    """should adopt/delete PVCs by its retention policy"""

    async def scenario(lab: Lab) -> None:
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        templates = [{"metadata": {"name": "data"}, "spec": claim}]
        policy = {"whenDeleted": "Delete", "whenScaled": "Retain"}
        await lab.create(STATEFUL_SETS, "web", spec=stateful(
            replicas=2, volumeClaimTemplates=templates, podManagementPolicy="Parallel",
            persistentVolumeClaimRetentionPolicy=policy,
        ))

        async def claims(count: int) -> bool:
            return len(await lab.list(PERSISTENT_VOLUME_CLAIMS)) == count

        await lab.until(lambda: claims(2))
        await lab.patch(STATEFUL_SETS, "web", spec={"replicas": 1})

        async def one_pod() -> bool:
            return len(await lab.pods()) == 1

        await lab.until(one_pod)
        assert await claims(2)
        await lab.client.delete(STATEFUL_SETS, "web", "default", propagation="Background")
        await lab.until(lambda: claims(0))

    on_a_cluster(scenario)


def test_a_failed_daemon_pod_is_made_again() -> None:
    """should retry creating failed daemon pods"""

    async def scenario(lab: Lab) -> None:
        await lab.create(DAEMON_SETS, "web", spec=workload())
        await lab.running(2)
        failed = sorted(await lab.pods())[0]
        await lab.patch(PODS, failed, "status", status={"phase": "Failed"})

        async def replaced() -> bool:
            return failed not in await lab.pods()

        await lab.until(replaced)
        await lab.running(2)
        assert "FailedDaemonPod" in await lab.reasons("web")

    on_a_cluster(scenario)


def test_going_back_in_the_middle_of_an_update_restarts_nothing_that_was_not_updated() -> None:
    """should rollback without unnecessary restarts"""

    async def scenario(lab: Lab) -> None:
        await lab.create(DAEMON_SETS, "web", spec=workload())
        await lab.running(4)
        await lab.status(DAEMON_SETS, "web", numberAvailable=4)
        old = {name: labels_of(pod)[HASH_LABEL] for name, pod in (await lab.pods()).items()}
        await lab.patch(DAEMON_SETS, "web", spec={"template": template("bad:1", **HELD)})

        async def stuck() -> bool:
            return (await lab.images()).count("bad:1") == 1

        await lab.until(stuck)
        await asyncio.sleep(30)
        assert await stuck(), "one unavailable pod is the limit"
        kept = [name for name in await lab.pods() if name in old]
        assert len(kept) == 3
        # As kubectl rollout undo does: the revision's data replaces the template.
        [first] = [one for one in await lab.list(CONTROLLER_REVISIONS) if one["revision"] == 1]
        await lab.client.patch(DAEMON_SETS, "web", first["data"], "default", type="strategic")

        async def back() -> bool:
            return await lab.images() == ["web:1"] * 4

        await lab.until(back)
        assert set(kept) <= set(await lab.pods())

    on_a_cluster(scenario, nodes=4)


def test_an_updated_node_label_moves_daemon_pods() -> None:
    """should run and stop complex daemon"""

    async def scenario(lab: Lab) -> None:
        spec = workload()
        spec["template"]["spec"]["nodeSelector"] = {"color": "blue"}
        await lab.create(DAEMON_SETS, "web", spec=spec)
        await lab.status(DAEMON_SETS, "web", desiredNumberScheduled=0, observedGeneration=1)
        node = name_of((await lab.client.list(NODES))["items"][0])
        await lab.client.patch(NODES, node, {"metadata": {"labels": {"color": "blue"}}}, type="merge")
        await lab.running(1)
        assert [dig(pod, "spec", "nodeName") for pod in (await lab.pods()).values()] == [node]
        await lab.client.patch(NODES, node, {"metadata": {"labels": {"color": "green"}}}, type="merge")
        await lab.running(0)

    on_a_cluster(scenario)
