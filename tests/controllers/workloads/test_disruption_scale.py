"""How many pods a budget expects, asked of whatever controls them; and what it does with pods that are disrupted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.controllers.lab import LABELS, NAMESPACE, Lab, on_a_cluster, template, workload

from sampan.api.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    JOBS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICE_ACCOUNTS,
    STATEFUL_SETS,
)
from sampan.apimachinery.object import Object, uid_of
from sampan.apimachinery.resource import Resource
from sampan.controllers.workloads.disruption import Expected, needs_scale, plan, stale_target
from sampan.reconcile.plan import Patch

FOOS = Resource("example.com", "v1", "foos", "Foo")
NUMBERS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def budget(make, **spec) -> Object:
    spec.setdefault("selector", {"matchLabels": LABELS})
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": make.meta("web"), "spec": spec}


def status_of(decided) -> Object:
    [update] = decided.steps
    return update.obj["status"]


@pytest.mark.parametrize(("spec", "pods", "expected", "numbers"), [
    ({"minAvailable": 3}, 0, Expected(), (0, 0, 3, 0)),
    ({"minAvailable": 3}, 3, Expected(), (0, 3, 3, 3)), ({"minAvailable": 3}, 4, Expected(), (1, 4, 3, 4)),
    ({"minAvailable": "28%"}, 1, Expected(4), (0, 1, 2, 4)), ({"minAvailable": "28%"}, 3, Expected(4), (1, 3, 2, 4)),
    ({"minAvailable": "67%"}, 2, Expected(3), (0, 2, 3, 3)),
    ({"maxUnavailable": 1}, 1, Expected(1), (1, 1, 0, 1)), ({"maxUnavailable": 2}, 3, Expected(7), (0, 3, 5, 7)),
    ({"maxUnavailable": 5}, 6, Expected(7), (4, 6, 2, 7)), ({"maxUnavailable": "30%"}, 3, Expected(7), (0, 3, 4, 7)),
    ({"maxUnavailable": 1}, 2, Expected(0, ("p0", "p1")), (0, 2, 0, 0)),  # nobody wants them
    ({}, 3, Expected(), (0, 3, 0, 0)),  # nothing is asked, nothing is allowed
])
def test_numbers_of_a_budget(make, spec, pods, expected, numbers) -> None:
    found = [make.pod(f"p{n}", ready=True) for n in range(pods)]
    status = status_of(plan(budget(make, **spec), found, expected, make.now))
    assert tuple(status[field] for field in NUMBERS) == numbers


def test_only_a_number_that_must_stay_can_do_without_controllers(make) -> None:
    specs: list[Object] = [{"minAvailable": 1}, {"minAvailable": "1%"}, {"maxUnavailable": 1}, {}]
    assert [needs_scale(budget(make, **spec)) for spec in specs] == [False, True, True, False]


def test_pods_that_nobody_controls_are_told_of(make) -> None:
    pods = [make.pod("p0", ready=True)]
    decided = plan(budget(make, maxUnavailable=1), pods, Expected(2, ("p0",)), make.now)
    assert [note.reason for note in decided.notes] == ["UnmanagedPods"] and decided.steps
    assert [note.reason for note in plan(budget(make, minAvailable=1), [], Expected(), make.now).notes] == ["NoPods"]


def test_disrupted_pods_are_remembered_while_their_end_is_still_to_come(make) -> None:
    owner = budget(make, minAvailable=1)
    owner["status"] = {"disruptedPods": {
        "going": make.now_text, "expired": "2026-01-02T02:59:05Z", "told": make.now_text, "gone": make.now_text,
    }}
    pods = [
        make.pod("going", ready=True, deletionTimestamp=make.now_text), make.pod("expired", ready=True),
        make.pod("told", ready=True),
    ]
    decided = plan(owner, pods, Expected(), make.now)
    status = status_of(decided)
    assert status["disruptedPods"] == {"told": make.now_text}
    assert tuple(status[field] for field in NUMBERS) == (0, 1, 1, 3)
    assert [(note.reason, note.about) for note in decided.notes] == [("NotDeleted", pods[1])]


def test_when_nothing_can_be_known_the_numbers_stay_and_their_generation_with_them(make) -> None:
    owner = budget(make, maxUnavailable=1)
    owner["metadata"]["generation"] = 4
    owner["status"] = {"observedGeneration": 3, "expectedPods": 5, "disruptionsAllowed": 2}
    decided = plan(owner, [make.pod("p0", ready=True)], Expected(error="no idea"), make.now)
    status = status_of(decided)
    assert (status["observedGeneration"], status["expectedPods"], status["disruptionsAllowed"]) == (3, 5, 0)
    [condition] = status["conditions"]
    assert (condition["reason"], condition["message"], condition["observedGeneration"]) == ("SyncFailed", "no idea", 3)


@pytest.mark.parametrize(("condition", "metadata", "phase", "ago_s", "taken_back"), [
    (None, {}, "Running", 0, None),
    ({}, {"deletionTimestamp": "2026-01-02T03:04:05Z"}, "Running", 300, None),
    ({"status": "False"}, {}, "Running", 300, None),
    ({}, {}, "Failed", 300, None), ({}, {}, "Succeeded", 300, None),
    ({"reason": "TerminationByKubelet"}, {}, "Running", 300, None),
    ({}, {}, "Running", 60, 60.0),
    ({}, {}, "Running", 120, True), ({"reason": "EvictionByEvictionAPI"}, {}, "Pending", 300, True),
])
def test_a_disruption_that_did_not_come_is_taken_back(make, condition, metadata, phase, ago_s, taken_back) -> None:
    pod = make.pod("a", phase=phase, **metadata)
    if condition is not None:
        at = (make.now - timedelta(seconds=ago_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        pod["status"]["conditions"].append(
            {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": at, **condition}
        )
    patch, again = stale_target(pod, make.now)
    assert again == (taken_back if isinstance(taken_back, float) else None)
    assert (patch is not None) == (taken_back is True)
    if isinstance(patch, Patch):
        assert patch.patch["status"]["conditions"] == [{
            "type": "DisruptionTarget", "status": "False", "reason": None, "message": None,
            "lastTransitionTime": make.now_text, "observedGeneration": 1,
        }]


async def a_pod(lab: Lab, name: str, owner: Object | None, reference: Object | None = None) -> None:
    """A pod that the budget selects, controlled by `owner` as `reference` changes it."""
    references = []
    if owner is not None:
        references.append({
            "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
            "uid": uid_of(owner), "controller": True, **(reference or {}),
        })
    metadata = {"labels": LABELS, "ownerReferences": references}

    async def may_be_created() -> bool:
        return bool(await lab.list(SERVICE_ACCOUNTS))

    await lab.until(may_be_created)
    await lab.create(PODS, name, metadata=metadata, spec=template()["spec"])


async def a_budget(lab: Lab, **spec) -> None:
    await lab.create(POD_DISRUPTION_BUDGETS, "web", spec={"selector": {"matchLabels": LABELS}, **spec})


def crd(scale: bool) -> Object:
    version: Object = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": True,
        }},
        "subresources": {"scale": {
            "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
        }} if scale else {},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.example.com"}, "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": [version],
            "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
        },
    }


BARE = "disruption-controller,serviceaccount-controller"


@pytest.mark.parametrize(("resource", "spec"), [
    (REPLICA_SETS, workload(replicas=5)), (STATEFUL_SETS, workload(replicas=5, serviceName="web")),
    (REPLICATION_CONTROLLERS, {"replicas": 5, "selector": LABELS, "template": template()}),
])
def test_workloads_say_how_many_pods_there_should_be(resource, spec) -> None:
    async def scenario(lab: Lab) -> None:
        owner = await lab.create(resource, "web", spec=spec)
        await a_pod(lab, "p0", owner)
        await a_pod(lab, "p1", owner)
        await a_budget(lab, maxUnavailable=4)
        await lab.status(POD_DISRUPTION_BUDGETS, "web", expectedPods=5, desiredHealthy=1, currentHealthy=0)

    on_a_cluster(scenario, controllers=BARE)


def test_a_deployment_counts_once_for_all_its_replica_sets_and_two_workloads_each() -> None:
    async def scenario(lab: Lab) -> None:
        deployment = await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=7))
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid_of(deployment),
                     "controller": True}
        for name in ("old", "new"):
            metadata = {"ownerReferences": [reference], "labels": LABELS}
            await a_pod(lab, name, await lab.create(
                REPLICA_SETS, name, metadata=metadata, spec=workload(replicas=3)))
        await a_budget(lab, minAvailable="100%")
        await lab.status(POD_DISRUPTION_BUDGETS, "web", expectedPods=7)
        await a_pod(lab, "other", await lab.create(REPLICA_SETS, "other", spec=workload(replicas=2)))
        await lab.status(POD_DISRUPTION_BUDGETS, "web", expectedPods=9)
        metadata = {"ownerReferences": [{**reference, "kind": "Rollout", "apiVersion": "example.com/v1"}]}
        foreign = await lab.create(REPLICA_SETS, "foreign", metadata=metadata, spec=workload(replicas=1))
        await a_pod(lab, "foreign", foreign)
        await lab.status(POD_DISRUPTION_BUDGETS, "web", expectedPods=10)

    on_a_cluster(scenario, controllers=BARE)


def test_a_custom_kind_says_it_by_its_scale() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.client.create(CUSTOM_RESOURCE_DEFINITIONS, crd(scale=True))
        owner: Object = {}

        async def is_served() -> bool:
            try:
                owner.update(await lab.create(FOOS, "web", spec={"replicas": 10}))
            except Exception:
                return False
            return True

        await lab.until(is_served)
        await a_pod(lab, "p0", owner)
        await a_budget(lab, maxUnavailable="20%")
        await lab.status(POD_DISRUPTION_BUDGETS, "web", expectedPods=10, desiredHealthy=8)

    on_a_cluster(scenario, controllers=BARE)


@pytest.mark.parametrize(("reference", "message"), [
    ({}, "jobs.batch does not implement the scale subresource"),
    ({"kind": "Foo", "apiVersion": "example.com/v1"}, 'no matches for kind "Foo" in version "example.com/v1"'),
    ({"kind": "ReplicaSet", "apiVersion": "invalid/v1"}, 'no matches for kind "ReplicaSet" in version "invalid/v1"'),
    ({"kind": "ReplicaSet", "apiVersion": "apps/v1"}, 'found no controllers for pod "p0"'),
    ({"kind": "ReplicaSet", "apiVersion": "apps/v1", "name": "set"}, 'found no controllers for pod "p0"'),
    ({"kind": "StatefulSet", "apiVersion": "apps/v1", "name": "set"}, 'found no controllers for pod "p0"'),
])
def test_who_cannot_say_how_many_there_should_be_stops_all_disruptions(reference, message) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(REPLICA_SETS, "set", spec=workload(replicas=3))
        spec = template()["spec"] | {"restartPolicy": "Never"}
        owner = await lab.create(JOBS, "work", spec={"template": {"spec": spec}})
        await a_pod(lab, "p0", owner, reference)
        await a_budget(lab, maxUnavailable=1)

        async def told() -> bool:
            found = await lab.condition(POD_DISRUPTION_BUDGETS, "web", "DisruptionAllowed")
            return found is not None and (found["reason"], found["message"]) == ("SyncFailed", message)

        await lab.until(told, what=message)
        await lab.status(POD_DISRUPTION_BUDGETS, "web", disruptionsAllowed=0)
        assert "CalculateExpectedPodCountFailed" in await lab.reasons("web")

    on_a_cluster(scenario, controllers=BARE)


def test_a_pod_of_two_budgets_is_told_of_once() -> None:
    async def scenario(lab: Lab) -> None:
        await a_pod(lab, "p0", None)
        await a_budget(lab, minAvailable=1)
        await lab.create(POD_DISRUPTION_BUDGETS, "also", spec={
            "selector": {"matchLabels": LABELS}, "minAvailable": 1,
        })

        async def told() -> bool:
            return "MultiplePodDisruptionBudgets" in await lab.reasons("p0")

        await lab.until(told)
        found = await lab.client.list(Resource("", "v1", "events", "Event"), NAMESPACE)
        [event] = [one for one in found["items"] if one["reason"] == "MultiplePodDisruptionBudgets"]
        assert event["message"] == (
            'Pod "default"/"p0" matches multiple PodDisruptionBudgets.  Chose "also" arbitrarily.'
        )

    on_a_cluster(scenario, controllers=BARE)


@pytest.mark.parametrize(("selector", "labels", "healthy"), [
    ({}, LABELS, 1), ({}, {}, 1), (None, LABELS, 0), ({"matchLabels": {"app": "other"}}, LABELS, 0),
    ({"matchExpressions": [{"key": "any", "operator": "DoesNotExist"}]}, {}, 1),
])
def test_whom_a_selector_means(selector, labels, healthy) -> None:
    async def scenario(lab: Lab) -> None:
        spec: Object = {"minAvailable": 1} | ({"selector": selector} if selector is not None else {})
        await lab.create(POD_DISRUPTION_BUDGETS, "web", spec=spec)
        await lab.status(POD_DISRUPTION_BUDGETS, "web", currentHealthy=0, observedGeneration=1)
        await lab.create(PODS, "p0", metadata={"labels": labels}, spec=template()["spec"])
        await lab.make_ready("p0")
        await lab.status(POD_DISRUPTION_BUDGETS, "web", currentHealthy=healthy, expectedPods=healthy)

    on_a_cluster(scenario)


NEW = {"matchLabels": {"new": "1"}, "matchExpressions": [{"key": "new", "operator": "Exists"}]}


@pytest.mark.parametrize(("type", "labels"), [
    ("strategic", {"new": "1"}), ("merge", {"old": "1", "new": "1"}),
])
def test_a_patch_replaces_the_selector_but_for_a_merge(type, labels) -> None:
    async def scenario(lab: Lab) -> None:
        old = {"matchLabels": {"old": "1"}, "matchExpressions": [{"key": "old", "operator": "Exists"}]}
        await lab.create(POD_DISRUPTION_BUDGETS, "web", spec={"maxUnavailable": 2, "selector": old})
        change: Object = {"spec": {"selector": NEW}}
        patched = await lab.client.patch(POD_DISRUPTION_BUDGETS, "web", change, NAMESPACE, type=type)
        assert patched["spec"]["selector"] == {**NEW, "matchLabels": labels}

    on_a_cluster(scenario, controllers="serviceaccount-controller")
