"""The end of a namespace: what its conditions say, in which order its contents go, and what holds it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.controllers.conftest import NOW
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, NODES, PODS, SECRETS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, is_being_deleted
from sampan.controllers.objects.namespace import Remains, plan, with_conditions
from sampan.reconcile.plan import Update

FINE = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions", "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted", "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}
FINALIZER = "custom.io/finalizer"
LATER = NOW.replace(hour=NOW.hour + 1)


def going(*finalizers: str, **metadata: object) -> Object:
    return {
        "apiVersion": "v1", "kind": "Namespace", "spec": {"finalizers": list(finalizers)},
        "metadata": {"name": "n", "resourceVersion": "1", "deletionTimestamp": "2026-01-02T03:04:05Z", **metadata},
        "status": {"phase": "Terminating"},
    }


@pytest.mark.parametrize(("remains", "type", "reason", "message"), [
    (
        Remains(discovery_errors=["b/v1: no answer", "a/v1: stale GroupVersion discovery: a/v1"]),
        "NamespaceDeletionDiscoveryFailure", "DiscoveryFailed",
        "Discovery failed for some groups, 2 failing: unable to retrieve the complete list of server APIs: "
        "a/v1: stale GroupVersion discovery: a/v1, b/v1: no answer",
    ),
    (
        Remains(deletion_errors=["two", "one"]), "NamespaceDeletionContentFailure", "ContentDeletionFailed",
        "Failed to delete all resource types, 2 remaining: one, two",
    ),
    (
        Remains(counts={"pods.": 2, "deployments.apps": 1}), "NamespaceContentRemaining", "SomeResourcesRemain",
        "Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances",
    ),
    (
        Remains(counts={"pods.": 2}, finalizers={"b": 1, "a": 2}), "NamespaceFinalizersRemaining",
        "SomeFinalizersRemain",
        "Some content in the namespace has finalizers remaining: a in 2 resource instances, b in 1 resource instances",
    ),
])
def test_a_condition_says_what_is_wrong(remains: Remains, type: str, reason: str, message: str) -> None:
    found = {one["type"]: one for one in with_conditions([], remains, NOW)}
    assert list(found) == list(FINE)
    assert (found[type]["status"], found[type]["reason"], found[type]["message"]) == ("True", reason, message)
    fine = {kind: (one["reason"], one["message"]) for kind, one in found.items() if one["status"] == "False"}
    assert fine.items() <= FINE.items()


def test_conditions_move_on_only_when_their_status_does() -> None:
    first = with_conditions([{"type": "Other", "status": "True"}], Remains(counts={"pods.": 2}), NOW)
    assert first[0] == {"type": "Other", "status": "True"}
    second = with_conditions(first, Remains(counts={"pods.": 1}), LATER)
    [remaining] = [one for one in second if one["type"] == "NamespaceContentRemaining"]
    assert remaining["message"] == "Some resources are remaining: pods. has 1 resource instances"
    assert remaining["lastTransitionTime"] == "2026-01-02T03:04:05Z"
    [removed] = [one for one in with_conditions(second, Remains(), LATER) if one["type"] == "NamespaceContentRemaining"]
    assert (removed["status"], removed["lastTransitionTime"]) == ("False", "2026-01-02T04:04:05Z")


def test_only_its_own_finalizer_is_taken_out() -> None:
    settled = going("kubernetes", "other")
    settled["status"]["conditions"] = with_conditions([], Remains(), NOW)
    [finalize] = plan(settled, Remains(), NOW).steps
    assert isinstance(finalize, Update)
    assert (finalize.subresource, finalize.obj["spec"]["finalizers"]) == ("finalize", ["other"])


@pytest.mark.parametrize("namespace", [going("kubernetes", "other"), going("kubernetes", finalizers=["other"])])
def test_a_namespace_that_somebody_else_holds_says_that_its_contents_are_gone(namespace: Object) -> None:
    namespace["status"]["conditions"] = with_conditions([], Remains(counts={"pods.": 2}), NOW)
    [first] = plan(namespace, Remains(), NOW).steps
    assert isinstance(first, Update) and first.subresource == "status"
    found = {one["type"]: (one["reason"], one["message"]) for one in first.obj["status"]["conditions"]}
    assert found == FINE


@pytest.mark.parametrize(("remains", "again_s"), [
    (Remains(counts={"pods.": 1}, estimate_s=30), 16), (Remains(counts={"x.y": 1}, estimate_s=15), 8),
    (Remains(discovery_errors=["x"]), 8),
])
def test_it_looks_again_after_half_the_time_that_is_expected(remains: Remains, again_s: float) -> None:
    assert plan(going("kubernetes"), remains, NOW).requeue_after_s == again_s


async def conditions(lab: Lab, name: str) -> Mapping[str, str]:
    """The messages of the conditions that are true."""
    status = (await lab.client.get(NAMESPACES, name))["status"]
    return {one["type"]: one["message"] for one in status.get("conditions", ()) if one["status"] == "True"}


def test_a_namespace_explains_what_holds_it() -> None:
    """Its pods are gone at once, a Deployment has somebody's finalizer."""

    async def scenario(lab: Lab) -> None:
        await lab.client.create(NAMESPACES, {"metadata": {"name": "n"}})
        spec = {"selector": {"matchLabels": {"a": "b"}}, "replicas": 0, "template": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        }}
        held = {"metadata": {"name": "held", "finalizers": [FINALIZER]}, "spec": spec}
        await lab.client.create(DEPLOYMENTS, held, "n")
        await lab.client.create(CONFIG_MAPS, {"metadata": {"name": "c"}}, "n")
        await lab.client.delete(NAMESPACES, "n")

        async def explained() -> bool:
            return await conditions(lab, "n") == {
                "NamespaceContentRemaining":
                    "Some resources are remaining: deployments.apps has 1 resource instances",
                "NamespaceFinalizersRemaining":
                    f"Some content in the namespace has finalizers remaining: {FINALIZER} in 1 resource instances",
            }

        await lab.until(explained)
        await lab.client.patch(DEPLOYMENTS, "held", {"metadata": {"finalizers": None}}, "n")
        await until_gone(lab, "n")

    on_a_cluster(scenario)


def test_pods_that_outlive_their_time_are_an_error_and_the_rest_waits_for_them() -> None:
    """As on a node that does not answer."""

    async def scenario(lab: Lab) -> None:
        await lab.client.create(NAMESPACES, {"metadata": {"name": "n"}})
        spec = {
            "containers": [{"name": "c", "image": "i"}], "nodeName": "nowhere", "terminationGracePeriodSeconds": 20,
            "tolerations": [{"operator": "Exists"}],
        }
        node = {"metadata": {"name": "nowhere"}, "spec": {"unschedulable": True}}
        await lab.client.create(NODES, node)
        await lab.client.create(PODS, {"metadata": {"name": "stuck"}, "spec": spec}, "n")
        await lab.client.create(SECRETS, {"metadata": {"name": "s"}}, "n")
        await lab.client.delete(NAMESPACES, "n")

        async def at_first() -> bool:
            return await conditions(lab, "n") == {
                "NamespaceContentRemaining": "Some resources are remaining: pods. has 1 resource instances",
            }

        await lab.until(at_first, within_s=15)

        async def an_error() -> bool:
            return (await conditions(lab, "n")).get("NamespaceDeletionContentFailure") == (
                "Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace: n "
                "for gvr: /v1, Resource=pods"
            )

        await lab.until(an_error, within_s=60)
        assert not is_being_deleted(await lab.client.get(SECRETS, "s", "n"))
        await lab.client.delete(PODS, "stuck", "n", grace_period_s=0)
        await until_gone(lab, "n")

    on_a_cluster(scenario)


async def until_gone(lab: Lab, name: str) -> None:
    async def check() -> bool:
        try:
            await lab.client.get(NAMESPACES, name)
        except errors.NotFound:
            return True
        return False

    await lab.until(check, what=f"{name} is gone")


def test_what_a_namespace_left_behind_may_be_changed_and_deleted_but_nothing_is_made_there() -> None:
    """TestUpdateResourceInDeletedNamespace: otherwise a migration of its storage would take it for gone."""

    async def scenario(lab: Lab) -> None:
        made = await lab.client.create(NAMESPACES, {"metadata": {"name": "n"}})
        left = await lab.client.create(CONFIG_MAPS, {"metadata": {"name": "left"}, "data": {"key": "one"}}, "n")
        await lab.client.delete(NAMESPACES, "n")
        await lab.client.update(NAMESPACES, {**made, "metadata": {"name": "n"}, "spec": {}}, subresource="finalize")
        with pytest.raises(errors.NotFound):
            await lab.client.get(NAMESPACES, "n")
        changed = await lab.client.update(CONFIG_MAPS, {**left, "data": {"key": "two"}})
        assert changed["data"] == {"key": "two"}
        await lab.client.patch(CONFIG_MAPS, "left", {"data": {"key": "three"}}, "n", type="merge")
        new = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new", "namespace": "n"}}
        with pytest.raises(errors.NotFound, match='namespaces "n" not found'):
            await lab.client.create(CONFIG_MAPS, new)
        with pytest.raises(errors.NotFound, match='namespaces "n" not found'):
            await lab.client.patch(CONFIG_MAPS, "new", new, "n", type="apply")
        await lab.client.delete(CONFIG_MAPS, "left", "n")
        with pytest.raises(errors.NotFound):
            await lab.client.get(CONFIG_MAPS, "left", "n")

    on_a_cluster(scenario, nodes=0, controllers="*,-namespace-controller")
