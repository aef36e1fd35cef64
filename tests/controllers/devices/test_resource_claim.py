from __future__ import annotations

from typing import Any

import pytest

from sampan.api.resources import PODS, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS
from sampan.apimachinery.object import Object, dig, name_of
from sampan.controllers.devices import resource_claim_pods
from sampan.controllers.devices.resource_claim import MOST_USERS, PROTECTION, Users, gives_back, plan_claim, reservation
from sampan.controllers.devices.resource_claim_pods import ENTRY, Claims
from sampan.reconcile.plan import NOTHING, Create, Delete, Patch, Update
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run

DEVICES = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}}
TEMPLATE: Object = {
    "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
    "metadata": {"name": "one-gpu", "namespace": "default"},
    "spec": {"metadata": {"labels": {"team": "a"}}, "spec": DEVICES},
}
ALLOCATION = {"devices": {"results": []}}


def user(make, **fields: Any) -> Object:
    pod = make.pod("train", **fields)
    pod["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]
    return pod


def claim(make, pod: Object | None = None, *reserved: Object, allocated: bool = True) -> Object:
    status: Object = {"allocation": ALLOCATION} if allocated else {}
    if reserved:
        status["reservedFor"] = [
            {"resource": "pods", "name": name_of(one), "uid": one["metadata"]["uid"]} for one in reserved
        ]
    metadata = make.meta("train-gpu-x", pod, annotations={ENTRY: "gpu"}, finalizers=[PROTECTION])
    return {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": metadata, "spec": DEVICES,
        "status": status,
    }


def known(template: Object | None = None, *made: Object) -> Claims:
    by_name = {name_of(one): one for one in made}
    return Claims(by_name.get, lambda name: template, made)


def test_a_claim_is_made_from_the_template_for_one_entry_of_one_pod(make) -> None:
    [create] = resource_claim_pods.plan(user(make), known(TEMPLATE)).steps
    assert isinstance(create, Create)
    metadata = create.obj["metadata"]
    assert (metadata["generateName"], metadata["labels"]) == ("train-gpu-", {"team": "a"})
    assert metadata["annotations"] == {ENTRY: "gpu"}
    assert metadata["ownerReferences"][0] | {"kind": "Pod", "uid": "uid-train"} == metadata["ownerReferences"][0]
    assert create.obj["spec"] == DEVICES


def test_a_claim_that_was_made_before_a_crash_is_found_and_written_down(make) -> None:
    pod = user(make)
    [patch] = resource_claim_pods.plan(pod, known(TEMPLATE, claim(make, pod))).steps
    assert isinstance(patch, Patch) and patch.subresource == "status"
    listed = [{"name": "gpu", "resourceClaimName": "train-gpu-x"}]
    assert patch.patch["status"] == {"resourceClaimStatuses": listed}
    pod["status"]["resourceClaimStatuses"] = listed
    assert resource_claim_pods.plan(pod, known(TEMPLATE, claim(make, pod))) == NOTHING
    assert resource_claim_pods.names_of(pod) == ["train-gpu-x"]


def test_a_missing_template_is_told(make) -> None:
    [note] = resource_claim_pods.plan(user(make), known()).notes
    assert (note.type, note.reason, note.message) == (
        "Warning", "FailedResourceClaimCreation", 'PodResourceClaim gpu: resource claim template "one-gpu": '
        'resourceclaimtemplate.resource.k8s.io "one-gpu" not found',
    )
    [create] = resource_claim_pods.plan(user(make), known(TEMPLATE)).steps
    assert create.failed.message == "PodResourceClaim gpu: create ResourceClaim : {error}"


def test_a_claim_that_is_gone_or_anothers_is_made_again(make) -> None:
    pod = user(make)
    pod["status"]["resourceClaimStatuses"] = [{"name": "gpu", "resourceClaimName": "train-gpu-x"}]
    assert isinstance(resource_claim_pods.plan(pod, known(TEMPLATE)).steps[0], Create)
    others = claim(make, make.pod("other"))
    found = Claims({"train-gpu-x": others}.get, lambda name: TEMPLATE)
    assert isinstance(resource_claim_pods.plan(pod, found).steps[0], Create)


def there(*pods: Object, owner: Object | None = None) -> Users:
    return Users({one["metadata"]["uid"]: one for one in pods}, owner)


def test_a_finished_users_entry_goes_and_with_the_last_the_allocation_and_the_finalizer(make) -> None:
    running, done = make.pod("train"), make.pod("old", phase="Succeeded")
    shared = claim(make, None, running, done)
    [update] = plan_claim(shared, there(running, done)).steps
    assert isinstance(update, Update)
    assert [one["name"] for one in update.obj["status"]["reservedFor"]] == ["train"]
    assert plan_claim(claim(make, None, running), there(running)) == NOTHING
    free = plan_claim(claim(make, None, running), there())
    assert gives_back(free, claim(make)) and free.steps[0].obj["status"] == {}
    [update] = plan_claim(free.steps[0].obj, there(), freed=True).steps
    assert update.obj["metadata"]["finalizers"] == []


def test_what_a_driver_says_of_devices_goes_with_them(make) -> None:
    used = claim(make, None, make.pod("gone"))
    used["status"]["devices"] = [{"driver": "example.com"}]
    [update] = plan_claim(used, there()).steps
    assert update.obj["status"] == {}


def test_what_the_scheduler_is_about_to_allocate_keeps_its_finalizer(make) -> None:
    """It writes the finalizer first, the allocation then."""
    assert plan_claim(claim(make, allocated=False), there()) == NOTHING
    assert plan_claim(claim(make), there(), freed=True) == NOTHING


def test_an_allocation_that_is_not_protected_is_not_ours_to_give_back(make) -> None:
    used = claim(make, None, make.pod("gone"))
    used["metadata"]["finalizers"] = []
    [update] = plan_claim(used, there()).steps
    assert update.obj["status"] == {"allocation": ALLOCATION}


def test_a_claim_that_is_being_deleted_gives_back_what_nobody_uses_and_goes(make) -> None:
    unused = claim(make)
    unused["metadata"]["deletionTimestamp"] = make.now_text
    [update] = plan_claim(unused, there()).steps
    assert update.obj["status"] == {}
    [update] = plan_claim(update.obj, there()).steps
    assert update.obj["metadata"]["finalizers"] == []
    used = claim(make, None, make.pod("train"))
    used["metadata"]["deletionTimestamp"] = make.now_text
    assert plan_claim(used, there(make.pod("train"))) == NOTHING


def test_a_pod_that_will_never_run_does_not_hold_devices(make) -> None:
    going = make.pod("train", node="", deletionTimestamp=make.now_text)
    [update] = plan_claim(claim(make, None, going), there(going)).steps
    assert "reservedFor" not in update.obj["status"]
    on_node = make.pod("train", deletionTimestamp=make.now_text)
    assert plan_claim(claim(make, None, on_node), there(on_node)) == NOTHING


@pytest.mark.parametrize(("fields", "deleted"), [
    ({}, False), ({"phase": "Succeeded"}, True), ({"phase": "Failed"}, True), ({"uid": "another"}, True),
    ({"node": "", "deletionTimestamp": "2026-01-02T03:04:05Z"}, True),
    ({"deletionTimestamp": "2026-01-02T03:04:05Z"}, False),
])
def test_a_claim_made_for_a_pod_that_will_not_run_is_deleted(make, fields: Object, deleted: bool) -> None:
    free = claim(make, user(make), allocated=False)
    free["metadata"]["finalizers"] = []
    uid = fields.pop("uid", None)
    owner = user(make, **fields)
    if uid:
        owner["metadata"]["uid"] = uid
    found = plan_claim(free, there(owner=owner)).steps
    assert [isinstance(one, Delete) and one.uid for one in found] == (["uid-train-gpu-x"] if deleted else [])
    assert not plan_claim(free, there()).steps  # not seen yet perhaps: what is gone is the garbage collector's


def test_a_pod_with_a_node_is_entered_into_its_allocated_claims(make) -> None:
    pod = user(make)
    update = reservation(pod, claim(make, pod))
    assert update is not None
    assert update.obj["status"]["reservedFor"] == [{"resource": "pods", "name": "train", "uid": "uid-train"}]
    assert reservation(pod, update.obj) is None and reservation(pod, claim(make, pod, allocated=False)) is None
    assert reservation(pod, claim(make, make.pod("other"))) is None
    assert reservation(pod, claim(make, None, *(make.pod(f"p{number}") for number in range(MOST_USERS)))) is None


def test_from_template_to_claim_to_the_end_of_the_pod() -> None:
    async def scenario() -> None:
        async with SimCluster(seed=11) as cluster:
            client = cluster.client
            await client.create(PODS, {
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "train", "namespace": "default"},
                "spec": {
                    "containers": [{"name": "main", "image": "x"}],
                    "schedulingGates": [{"name": "example.com/wait"}],
                    "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}],
                },
            })
            await client.create(RESOURCE_CLAIM_TEMPLATES, TEMPLATE)

            async def written() -> bool:
                pod = await client.get(PODS, "train", "default")
                return bool(dig(pod, "status", "resourceClaimStatuses"))

            await cluster.until(written, within_s=60)
            [made] = (await client.list(RESOURCE_CLAIMS, "default"))["items"]
            pod = await client.get(PODS, "train", "default")
            assert resource_claim_pods.names_of(pod) == [name_of(made)]
            await client.delete(PODS, "train", "default")

            async def gone() -> bool:
                return not (await client.list(RESOURCE_CLAIMS, "default"))["items"]

            await cluster.until(gone, within_s=60)

    run(scenario())


def test_a_claim_that_was_made_twice_goes_with_the_end_of_its_pod_though_the_pod_stays() -> None:
    """Found by the simulator: whoever made the first never learned of it."""
    async def scenario() -> None:
        async with SimCluster(seed=12) as cluster:
            client = cluster.client
            await client.create(RESOURCE_CLAIM_TEMPLATES, TEMPLATE)
            await client.create(PODS, {
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "train", "namespace": "default"},
                "spec": {
                    "containers": [{"name": "main", "image": "x"}],
                    "schedulingGates": [{"name": "example.com/wait"}],
                    "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}],
                },
            })

            async def claims() -> list[Object]:
                return list((await client.list(RESOURCE_CLAIMS, "default"))["items"])

            async def written() -> bool:
                return bool(dig(await client.get(PODS, "train", "default"), "status", "resourceClaimStatuses"))

            await cluster.until(written, within_s=60)
            [made] = await claims()
            again = {field: made["metadata"][field] for field in ("annotations", "ownerReferences", "namespace")}
            await client.create(RESOURCE_CLAIMS, {**made, "metadata": {**again, "name": "train-gpu-again"}})
            assert len(await claims()) == 2
            await client.patch(PODS, "train", {"status": {"phase": "Succeeded"}}, "default", subresource="status")

            async def gone() -> bool:
                return not await claims()

            await cluster.until(gone, within_s=60)
            assert (await client.get(PODS, "train", "default"))["status"]["phase"] == "Succeeded"

    run(scenario())
