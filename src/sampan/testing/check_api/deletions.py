"""Deletions: finalizers, propagation, preconditions, collections, grace, eviction."""

from __future__ import annotations

from typing import Final

from sampan.testing.check_api.endpoint import MERGE, Check, Endpoint, held_pod


async def a_deletion_says_what_it_did(api: Endpoint) -> None:
    made = await api.config_map("a")
    status = await api.ok("DELETE", "configmaps/a")
    assert (status["kind"], status["status"]) == ("Status", "Success")
    assert status["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    await api.refused("404 NotFound", "GET", "configmaps/a")


async def a_finalizer_holds_the_object(api: Endpoint) -> None:
    await api.config_map("a", finalizers=["sampan.example/held"])
    found = await api.ok("DELETE", "configmaps/a")
    assert found["metadata"]["deletionTimestamp"] and found["metadata"]["deletionGracePeriodSeconds"] == 0
    body = {"metadata": {"finalizers": ["sampan.example/held", "sampan.example/late"]}}
    await api.refused("422 Invalid", "PATCH", "configmaps/a", body, MERGE)
    await api.ok("PATCH", "configmaps/a", {"metadata": {"finalizers": None}}, MERGE)
    await api.refused("404 NotFound", "GET", "configmaps/a")


async def a_propagation_is_a_finalizer(api: Endpoint) -> None:
    for policy, finalizer in (("Orphan", "orphan"), ("Foreground", "foregroundDeletion")):
        name = policy.lower()
        await api.config_map(name, finalizers=["sampan.example/held"])
        found = await api.ok("DELETE", f"configmaps/{name}?propagationPolicy={policy}")
        assert finalizer in found["metadata"]["finalizers"], policy
        await api.ok("PATCH", f"configmaps/{name}", {"metadata": {"finalizers": None}}, MERGE)
    await api.config_map("x")
    assert (await api.call("DELETE", "configmaps/x?propagationPolicy=Sideways")).code in (400, 422)


async def a_precondition_must_hold(api: Endpoint) -> None:
    made = await api.config_map("a")
    wrong = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "another"}}
    await api.refused("409 Conflict", "DELETE", "configmaps/a", wrong)
    right = {"preconditions": {"uid": made["metadata"]["uid"]}}
    await api.ok("DELETE", "configmaps/a", right)


async def a_collection_is_deleted_by_its_labels(api: Endpoint) -> None:
    for name, color in (("a", "red"), ("b", "red"), ("c", "blue")):
        await api.config_map(name, labels={"color": color})
    await api.ok("DELETE", "configmaps?labelSelector=color=red")
    found = await api.ok("GET", "configmaps?labelSelector=color")
    assert [item["metadata"]["name"] for item in found["items"]] == ["c"]


async def _account(api: Endpoint) -> None:
    async def there() -> bool:
        return (await api.call("GET", "serviceaccounts/default")).code == 200

    if not await there():
        await api.call("POST", "serviceaccounts", {"metadata": {"name": "default"}})
    await api.eventually(there, "the service account")


async def a_pod_that_runs_nowhere_goes_at_once(api: Endpoint) -> None:
    await _account(api)
    await api.ok("POST", "pods", held_pod("p"))
    await api.ok("DELETE", "pods/p")
    await api.refused("404 NotFound", "GET", "pods/p")


async def an_eviction_deletes(api: Endpoint) -> None:
    await _account(api)
    await api.ok("POST", "pods", held_pod("p"))
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": api.namespace}}
    answer = await api.call("POST", "pods/p/eviction", body)
    assert answer.code == 201 and answer.document["status"] == "Success", answer.document
    await api.refused("404 NotFound", "GET", "pods/p")


CHECKS: Final[tuple[Check, ...]] = (
    a_deletion_says_what_it_did, a_finalizer_holds_the_object, a_propagation_is_a_finalizer, a_precondition_must_hold,
    a_collection_is_deleted_by_its_labels, a_pod_that_runs_nowhere_goes_at_once, an_eviction_deletes,
)
