"""Finalizers, grace, preconditions and propagation."""

import pytest
from tests.apiserver.serving import call, config_map, document, pod, serving

from sampan.api.resources import CONFIG_MAPS, PODS
from sampan.apimachinery import errors


async def test_an_object_with_a_finalizer_stays_until_it_is_removed():
    async with serving() as (_, client):
        held = config_map("c")
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await client.create(CONFIG_MAPS, held)
        going = await client.delete(CONFIG_MAPS, "c", "default")
        assert going["metadata"]["deletionTimestamp"] and going["metadata"]["deletionGracePeriodSeconds"] == 0
        with pytest.raises(errors.Invalid, match="no new finalizers can be added"):
            await client.patch(CONFIG_MAPS, "c", {"metadata": {"finalizers": ["a.b/c"]}}, "default")
        await client.patch(CONFIG_MAPS, "c", {"metadata": {"finalizers": None}}, "default")
        with pytest.raises(errors.NotFound):
            await client.get(CONFIG_MAPS, "c", "default")


async def test_propagation_becomes_a_finalizer():
    async with serving() as (_, client):
        for policy, finalizer in (("Orphan", "orphan"), ("Foreground", "foregroundDeletion")):
            await client.create(CONFIG_MAPS, config_map(policy.lower()))
            going = await client.delete(CONFIG_MAPS, policy.lower(), "default", propagation=policy)
            assert going["metadata"]["finalizers"] == [finalizer]


async def test_a_pod_on_a_node_gets_its_grace_and_may_be_hurried():
    async with serving() as (_, client):
        await client.create(PODS, pod("p"))
        binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
        await client.create(PODS, binding, "default", name="p", subresource="binding")
        going = await client.delete(PODS, "p", "default")
        assert going["metadata"]["deletionGracePeriodSeconds"] == 30
        hurried = await client.delete(PODS, "p", "default", grace_period_s=5)
        assert hurried["metadata"]["deletionGracePeriodSeconds"] == 5
        await client.delete(PODS, "p", "default", grace_period_s=0)
        with pytest.raises(errors.NotFound):
            await client.get(PODS, "p", "default")


async def test_a_pod_without_a_node_goes_at_once():
    async with serving() as (_, client):
        await client.create(PODS, pod("p"))
        await client.delete(PODS, "p", "default")
        with pytest.raises(errors.NotFound):
            await client.get(PODS, "p", "default")


async def test_preconditions_must_hold():
    async with serving() as (_, client):
        await client.create(CONFIG_MAPS, config_map("c"))
        with pytest.raises(errors.Conflict, match="Precondition failed: UID in precondition: other"):
            await client.delete(CONFIG_MAPS, "c", "default", uid="other")


async def test_a_collection_is_deleted_by_selector():
    async with serving() as (_, client):
        for name, color in (("a", "red"), ("b", "red"), ("c", "blue")):
            await client.create(PODS, pod(name, color=color))
        await client.delete_collection(PODS, "default", label_selector="color=red")
        left = await client.list(PODS, "default")
        assert [item["metadata"]["name"] for item in left["items"]] == ["c"]


async def test_two_policies_at_once_are_refused():
    async with serving() as (server, client):
        await client.create(CONFIG_MAPS, config_map("c"))
        response = await call(
            server, "DELETE", "/api/v1/namespaces/default/configmaps/c",
            {"propagationPolicy": "Orphan", "orphanDependents": True},
        )
        assert response.status == 422 and "cannot be both set" in document(response)["message"]


async def test_an_eviction_spends_the_budget_and_then_waits():
    async with serving() as (server, client):
        from sampan.api.resources import POD_DISRUPTION_BUDGETS

        for name in ("a", "b"):
            await client.create(PODS, pod(name, app="x"))
            binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "n"}}
            await client.create(PODS, binding, "default", name=name, subresource="binding")
            ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
            await client.patch(PODS, name, ready, "default", subresource="status")
        budget = {
            "metadata": {"name": "x", "namespace": "default"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
        }
        await client.create(POD_DISRUPTION_BUDGETS, budget)
        counts = {"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1,
                  "expectedPods": 2}
        await client.patch(POD_DISRUPTION_BUDGETS, "x", {"status": counts}, "default", subresource="status")
        eviction = {"metadata": {"name": "a", "namespace": "default"}}
        await client.patch(PODS, "a", {"metadata": {"finalizers": ["example.com/stay"]}}, "default")
        assert (await call(server, "POST", "/api/v1/namespaces/default/pods/a/eviction", eviction)).status == 201
        evicted = await client.get(PODS, "a", "default")
        [target] = [one for one in evicted["status"]["conditions"] if one["type"] == "DisruptionTarget"]
        assert (target["reason"], target["message"]) == ("EvictionByEvictionAPI", "Eviction API: evicting")
        assert evicted["metadata"]["deletionTimestamp"]
        eviction["metadata"]["name"] = "b"
        second = await call(server, "POST", "/api/v1/namespaces/default/pods/b/eviction", eviction)
        assert second.status == 429
        assert document(second)["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
        failed = {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale"}
        failed["lastTransitionTime"] = "2026-01-02T03:04:05Z"
        await client.patch(POD_DISRUPTION_BUDGETS, "x", {"status": {"conditions": [failed]}}, "default",
                           subresource="status")
        third = await call(server, "POST", "/api/v1/namespaces/default/pods/b/eviction", eviction)
        assert "because it failed sync: no scale" in document(third)["details"]["causes"][0]["message"]


async def test_a_grace_period_beyond_all_time_ends_too():
    async with serving() as (_, client):
        body = pod("p")
        body["spec"] |= {"nodeName": "n", "terminationGracePeriodSeconds": 2**63 - 1}
        await client.create(PODS, body)
        going = await client.delete(PODS, "p", "default")
        assert going["metadata"]["deletionGracePeriodSeconds"] == 2**63 - 1
        sooner = await client.delete(PODS, "p", "default", grace_period_s=30)
        assert sooner["metadata"]["deletionTimestamp"] < going["metadata"]["deletionTimestamp"]
        await client.delete(PODS, "p", "default", grace_period_s=0)
        with pytest.raises(errors.NotFound):
            await client.get(PODS, "p", "default")


async def test_nothing_is_created_in_a_namespace_once_its_deletion_was_answered():
    async with serving() as (server, _):
        await call(server, "POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
        await call(server, "DELETE", "/api/v1/namespaces/n")
        answer = await call(server, "POST", "/api/v1/namespaces/n/configmaps", {"metadata": {"name": "c"}})
        assert answer.status == 403
        why = "unable to create new content in namespace n because it is being terminated"
        assert document(answer)["message"] == f'configmaps "c" is forbidden: {why}'
        assert document(answer)["details"]["causes"][0]["reason"] == "NamespaceTerminating"
