"""What upstream's integration tests ask of ReplicaSets, Deployments and DaemonSets, on a whole simulated cluster.

Upstream: test/integration/replicaset, deployment and daemonset. Without nodes nobody but the test touches a pod.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.controllers.lab import LABELS, NAMESPACE, Lab, on_a_cluster, template, workload

from sampan.api.resources import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NODES,
    PODS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
)
from sampan.apimachinery.object import Object, controller_of, labels_of, meta, name_of, uid_of
from sampan.controllers.pods import is_active
from sampan.controllers.workloads.revision_history import HASH_LABEL

OTHER = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "other", "uid": "1"}
HOLD = "example.com/hold"


def reference(owner: Object, **fields: Any) -> Object:
    return {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": name_of(owner), "uid": uid_of(owner), **fields
    }


async def nodes(lab: Lab, count: int) -> list[str]:
    """Their names, once there are so many."""

    async def there() -> bool:
        return len(await lab.list(NODES)) == count

    await lab.until(there)
    return sorted(map(name_of, await lab.list(NODES)))


CONTROLLER = {"controller": True, "blockOwnerDeletion": True}


@pytest.mark.parametrize(("before", "after"), [
    ([("own", {})], [("own", CONTROLLER)]),
    ([("own", {"controller": False})], [("own", CONTROLLER)]),
    ([], [("own", CONTROLLER)]),
    ([("own", {"controller": True})], [("own", {"controller": True})]),
    ([("other", {"controller": True}), ("own", {})], [("other", {"controller": True}), ("own", {})]),
    ([("other", {"controller": False})], [("other", {"controller": False}), ("own", CONTROLLER)]),
])
@pytest.mark.parametrize("kind", ["pod", "set"])
def test_who_is_adopted_and_with_which_references(kind, before, after) -> None:
    """TestAdoption, TestGeneralPodAdoption · TestGeneralReplicaSetAdoption"""

    async def scenario(lab: Lab) -> None:
        resource = REPLICA_SETS if kind == "pod" else DEPLOYMENTS
        owner = await lab.create(resource, "web", spec=workload(replicas=0) | {"replicas": 1})

        def written(references: list[tuple[str, Object]]) -> list[Object]:
            return [
                reference(owner, **fields) if whose == "own" else {**OTHER, **fields} for whose, fields in references
            ]

        metadata = {"labels": LABELS, "ownerReferences": written(before)}
        if kind == "pod":
            await lab.create(PODS, "one", metadata=metadata, spec=template()["spec"])
        else:
            await lab.create(REPLICA_SETS, "one", metadata=metadata, spec=workload("other:1", replicas=0))
        child = PODS if kind == "pod" else REPLICA_SETS

        async def as_expected() -> bool:
            found = meta(await lab.get(child, "one")).get("ownerReferences") or []
            return sorted(found, key=str) == sorted(written(after), key=str)

        await lab.until(as_expected, what=str(after))
        await asyncio.sleep(5)
        assert await as_expected()

    on_a_cluster(scenario, nodes=0, controllers="*,-garbage-collector-controller")


@pytest.mark.parametrize("resource", [REPLICA_SETS, DEPLOYMENTS])
def test_two_with_one_selector_do_not_get_in_each_others_way(resource) -> None:
    """TestOverlappingRSs · TestOverlappingDeployments"""

    async def scenario(lab: Lab) -> None:
        for name, replicas in (("one", 1), ("two", 2)):
            await lab.create(resource, name, spec=workload(replicas=replicas))
        await lab.running(3)
        await lab.patch(resource, "one", spec={"replicas": 3})
        await lab.running(5)
        await lab.status(resource, "one", readyReplicas=3)
        await lab.status(resource, "two", readyReplicas=2)

    on_a_cluster(scenario)


def test_a_set_that_matches_no_longer_is_let_go_replaced_and_taken_back() -> None:
    """TestReplicaSetOrphaningAndAdoptionWhenLabelsChange"""

    async def scenario(lab: Lab) -> None:
        await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=1))
        await lab.running(1)
        [first] = await lab.list(REPLICA_SETS)
        await lab.patch(REPLICA_SETS, name_of(first), metadata={"labels": {"app": "other", "pod-template-hash": None}})

        async def replaced() -> bool:
            found = {name_of(one): controller_of(one) for one in await lab.list(REPLICA_SETS)}
            return len(found) == 2 and found[name_of(first)] is None

        await lab.until(replaced)
        await lab.status(DEPLOYMENTS, "web", collisionCount=1)
        await lab.patch(REPLICA_SETS, name_of(first), metadata={"labels": LABELS})

        async def taken_back() -> bool:
            return controller_of(await lab.get(REPLICA_SETS, name_of(first))) is not None

        await lab.until(taken_back)

    on_a_cluster(scenario)


def test_a_set_whose_template_was_changed_by_another_does_not_stop_the_rollout() -> None:
    """TestDeploymentHashCollision"""

    async def scenario(lab: Lab) -> None:
        await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=1))
        await lab.running(1)
        [first] = await lab.list(REPLICA_SETS)
        change = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}}
        await lab.patch(REPLICA_SETS, name_of(first), **change)
        await lab.status(DEPLOYMENTS, "web", collisionCount=1)

        async def is_second() -> bool:
            found = await lab.get(DEPLOYMENTS, "web")
            return meta(found)["annotations"]["deployment.kubernetes.io/revision"] == "2"

        await lab.until(is_second)

    on_a_cluster(scenario)


def test_a_set_counts_what_is_ready_available_and_labelled_in_full() -> None:
    """TestReadyAndAvailableReplicas, TestFullyLabeledReplicas, TestSpecReplicasChange"""

    async def scenario(lab: Lab) -> None:
        await lab.create(REPLICA_SETS, "web", spec=workload(replicas=3, minReadySeconds=3600))
        await lab.status(REPLICA_SETS, "web", replicas=3)
        first, second, third = sorted(await lab.pods())
        await lab.make_ready(first, ready=False)
        await lab.make_ready(second)
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
        await lab.set_phase("Running", third, conditions=[ready])
        await lab.status(REPLICA_SETS, "web", readyReplicas=2, availableReplicas=1, fullyLabeledReplicas=3)
        labels = {"metadata": {"labels": {**LABELS, "more": "1"}}}
        await lab.patch(REPLICA_SETS, "web", spec={"template": labels})
        await lab.status(REPLICA_SETS, "web", fullyLabeledReplicas=None, observedGeneration=2)
        await lab.patch(PODS, first, **labels)
        await lab.status(REPLICA_SETS, "web", fullyLabeledReplicas=1)

    on_a_cluster(scenario, nodes=0)


@pytest.mark.parametrize(("costs", "stays"), [((1000, 100), 0), ((100, 100), 1), (None, 1)])
def test_the_cost_of_a_pod_counts_before_its_restarts(costs, stays) -> None:
    """TestPodDeletionCost"""

    async def scenario(lab: Lab) -> None:
        await lab.create(REPLICA_SETS, "web", spec=workload(replicas=2))
        await lab.status(REPLICA_SETS, "web", replicas=2)
        names = sorted(await lab.pods())
        for n, name in enumerate(names):
            if costs:
                await lab.patch(PODS, name, metadata={
                    "annotations": {"controller.kubernetes.io/pod-deletion-cost": str(costs[n])},
                })
            status = {"name": "main", "restartCount": (5, 0)[n], "image": "", "imageID": "", "ready": False}
            await lab.set_phase("Pending", name, containerStatuses=[status])
        await lab.patch(REPLICA_SETS, "web", spec={"replicas": 1})

        async def only_one() -> bool:
            return list(await lab.pods()) == [names[stays]]

        await lab.until(only_one)

    on_a_cluster(scenario, nodes=0)


def test_a_deletion_adds_no_finalizer_of_its_own() -> None:
    """TestReplicaSetsAppsV1DefaultGCPolicy"""

    async def scenario(lab: Lab) -> None:
        await lab.create(REPLICA_SETS, "web", metadata={"finalizers": [HOLD]}, spec=workload(replicas=1))
        await lab.running(1)
        await lab.client.delete(REPLICA_SETS, "web", "default")
        found = meta(await lab.get(REPLICA_SETS, "web"))
        assert found["deletionTimestamp"] and found["finalizers"] == [HOLD]

    on_a_cluster(scenario)


@pytest.mark.parametrize("strategy", ["RollingUpdate", "OnDelete"])
@pytest.mark.parametrize(("phase", "held"), [("Succeeded", False), ("Failed", False), ("Succeeded", True)])
def test_a_daemon_that_ends_is_started_again(phase, held, strategy) -> None:
    """TestSimpleDaemonSetRestartsPodsOnTerminalPhase"""

    async def scenario(lab: Lab) -> None:
        spec = workload(updateStrategy={"type": strategy})
        if held:
            spec["template"]["metadata"]["finalizers"] = [HOLD]
        await lab.create(DAEMON_SETS, "web", spec=spec)
        await lab.status(DAEMON_SETS, "web", numberReady=3)
        ended = sorted(await lab.pods())[0]
        await lab.set_phase(phase, ended)

        async def all_work() -> bool:
            found = [pod for pod in (await lab.pods()).values() if is_active(pod)]
            return len(found) == 3 and ended not in map(name_of, found)

        await lab.until(all_work)
        await lab.status(DAEMON_SETS, "web", numberReady=3)

    on_a_cluster(scenario, nodes=3)


@pytest.mark.parametrize("strategy", ["RollingUpdate", "OnDelete"])
def test_daemons_go_where_a_label_or_a_name_sends_them(strategy: str) -> None:
    """TestDaemonSetWithNodeSelectorLaunchesPods"""

    async def scenario(lab: Lab) -> None:
        names = await nodes(lab, 6)
        for name in names[2:4]:
            await lab.patch(NODES, name, metadata={"labels": {"tier": "test"}})
        by_label = {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["test"]}]}
        by_name = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [names[1]]}]}
        spec = workload(updateStrategy={"type": strategy})
        spec["template"]["spec"]["affinity"] = {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [by_label, by_name]},
        }}
        await lab.create(DAEMON_SETS, "web", spec=spec)
        await lab.status(DAEMON_SETS, "web", numberReady=3, desiredNumberScheduled=3)
        assert sorted(pod["spec"]["nodeName"] for pod in (await lab.pods()).values()) == names[1:4]

    on_a_cluster(scenario, nodes=6)


def test_daemons_go_to_nodes_that_others_keep_away_from() -> None:
    """TestNotReadyNodeDaemonDoesLaunchPod, TestUnschedulableNodeDaemonDoesLaunchPod"""

    async def scenario(lab: Lab) -> None:
        cordoned, down, no_network, well = await nodes(lab, 4)
        for name in (down, well):
            await lab.patch(NODES, name, spec={"taints": None})
        cordon = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        await lab.patch(NODES, cordoned, spec={"unschedulable": True, "taints": [cordon]})
        lab.cluster.fleet.stop_node(down)
        not_ready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
        await lab.client.patch(NODES, down, not_ready, type="strategic", subresource="status")
        unavailable = {"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}
        await lab.patch(NODES, no_network, spec={"taints": [unavailable]})
        spec = workload()
        spec["template"]["spec"]["hostNetwork"] = True
        await lab.create(DAEMON_SETS, "web", spec=spec)
        await lab.status(DAEMON_SETS, "web", desiredNumberScheduled=4, currentNumberScheduled=4, numberReady=3)
        assert len({pod["spec"]["nodeName"] for pod in (await lab.pods()).values()}) == 4

    on_a_cluster(scenario, nodes=4, controllers="*,-node-lifecycle-controller")  # that one would taint them all


def test_a_daemon_that_does_not_fit_waits_for_its_node() -> None:
    """TestInsufficientCapacityNode"""

    async def scenario(lab: Lab) -> None:
        full, free = await nodes(lab, 2)
        cpus = int((await lab.get(NODES, full))["status"]["allocatable"]["cpu"])

        def asking(cpu: int) -> Object:
            return {"containers": [{"name": "main", "image": "web:1", "resources": {"requests": {"cpu": str(cpu)}}}]}

        await lab.create(PODS, "greedy", spec={**asking(cpus), "nodeName": full})
        spec = workload()
        spec["template"]["spec"] = asking(1)
        await lab.create(DAEMON_SETS, "web", spec=spec)
        await lab.status(DAEMON_SETS, "web", desiredNumberScheduled=2, currentNumberScheduled=2, numberReady=1)
        daemons = [pod for name, pod in (await lab.pods()).items() if name != "greedy"]
        assert sorted(pod["spec"].get("nodeName", "") for pod in daemons) == ["", free]
        [waiting] = [pod for pod in daemons if "nodeName" not in pod["spec"]]
        [condition] = [one for one in waiting["status"]["conditions"] if one["type"] == "PodScheduled"]
        assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
        await lab.client.delete(PODS, "greedy", NAMESPACE)
        await lab.status(DAEMON_SETS, "web", numberReady=2)

    on_a_cluster(scenario)


def test_the_status_is_told_though_some_pods_are_refused() -> None:
    """TestUpdateStatusDespitePodCreationFailure"""

    async def scenario(lab: Lab) -> None:
        await lab.create(RESOURCE_QUOTAS, "few", spec={"hard": {"pods": "2"}})
        await lab.status(RESOURCE_QUOTAS, "few", hard={"pods": "2"})
        await lab.create(DAEMON_SETS, "web", spec=workload())
        await lab.status(DAEMON_SETS, "web", numberReady=2, desiredNumberScheduled=5, observedGeneration=1)

    on_a_cluster(scenario, nodes=5)


def test_taints_and_tolerations_move_daemons_with_a_surge() -> None:
    """TestDaemonSetRollingUpdateWithTolerations, TestTaintedNode"""

    async def scenario(lab: Lab) -> None:
        names = await nodes(lab, 6)
        for name, zone in zip(names, "yyzzcc", strict=True):
            await lab.patch(NODES, name, spec={"taints": [{"key": f"zone-{zone}", "effect": "NoSchedule"}]})

        async def tolerate(zones: str, count: int) -> None:
            tolerations = [{"key": f"zone-{zone}", "operator": "Exists"} for zone in zones]
            await lab.patch(DAEMON_SETS, "web", spec={"template": {"spec": {"tolerations": tolerations}}})
            await lab.status(DAEMON_SETS, "web", updatedNumberScheduled=count or None, numberReady=count)
            if count:
                await lab.running(count)

        surge = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await lab.create(DAEMON_SETS, "web", spec=workload(updateStrategy=surge))
        for zones, count in (("yc", 4), ("zc", 4), ("yzc", 6), ("", 0)):
            await tolerate(zones, count)
        await lab.patch(NODES, names[0], spec={"taints": []})
        await lab.running(1)

    on_a_cluster(scenario, nodes=6)


def test_a_revision_of_the_same_name_and_other_data_is_gone_around() -> None:
    """TestLaunchWithHashCollision"""

    async def scenario(lab: Lab) -> None:
        async def rolls_to(image: str) -> None:
            await lab.patch(DAEMON_SETS, "web", spec={"template": template(image)})

            async def is_there() -> bool:
                return await lab.images() == [image]

            await lab.until(is_there)
            await lab.running(1)

        await lab.create(DAEMON_SETS, "web", spec=workload())
        await lab.running(1)
        [first] = await lab.list(CONTROLLER_REVISIONS)
        await rolls_to("web:2")
        [second] = [one for one in await lab.list(CONTROLLER_REVISIONS) if one["revision"] == 2]
        await rolls_to("web:1")
        await lab.client.delete(CONTROLLER_REVISIONS, name_of(second), "default")
        forged = {key: second[key] for key in ("apiVersion", "kind")} | {"data": first["data"], "revision": 9}
        forged["metadata"] = {"name": name_of(second), "namespace": "default"}
        await lab.client.create(CONTROLLER_REVISIONS, forged)
        await rolls_to("web:2")
        await lab.status(DAEMON_SETS, "web", collisionCount=1)

    on_a_cluster(scenario, nodes=1)


def test_pods_follow_the_newer_of_two_revisions_of_the_same_template() -> None:
    """TestDSCUpdatesPodLabelAfterDedupCurHistories"""

    async def scenario(lab: Lab) -> None:
        owner = await lab.create(DAEMON_SETS, "web", spec=workload())
        await lab.running(1)
        [first] = await lab.list(CONTROLLER_REVISIONS)
        newer = {key: first[key] for key in ("apiVersion", "kind", "data")} | {"revision": 2}
        newer["metadata"] = {
            "name": "web-newer", "namespace": "default", "labels": {**labels_of(first), HASH_LABEL: "newer"},
            "ownerReferences": [reference(owner, controller=True)],
        }
        await lab.client.create(CONTROLLER_REVISIONS, newer)

        async def is_one() -> bool:
            revisions = [name_of(one) for one in await lab.list(CONTROLLER_REVISIONS)]
            hashes = {labels_of(pod)[HASH_LABEL] for pod in (await lab.pods()).values()}
            return revisions == ["web-newer"] and hashes == {"newer"}

        await lab.until(is_one)

    on_a_cluster(scenario, nodes=1)
