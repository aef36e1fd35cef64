from __future__ import annotations

from typing import Any

from sampan.api.resources import PODS, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS
from sampan.apimachinery.object import Object, dig, name_of
from sampan.controllers import resource_claim_pods
from sampan.controllers.resource_claim import PROTECTION, plan_claim, reservation
from sampan.controllers.resource_claim_pods import ENTRY, Claims
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
    assert note.reason == "FailedResourceClaimCreation" and "one-gpu" in note.message


def test_a_finished_users_entry_goes_and_with_the_last_the_allocation_and_the_finalizer(make) -> None:
    running, done = make.pod("train"), make.pod("old", phase="Succeeded")
    shared = claim(make, None, running, done)
    [update] = plan_claim(shared, {"uid-train": running, "uid-old": done}).steps
    assert isinstance(update, Update)
    assert [one["name"] for one in update.obj["status"]["reservedFor"]] == ["train"]
    assert plan_claim(claim(make, None, running), {"uid-train": running}) == NOTHING
    [update] = plan_claim(claim(make, None, running), {}).steps
    assert update.obj["status"] == {}
    [update] = plan_claim(update.obj, {}).steps
    assert update.obj["metadata"]["finalizers"] == []


def test_a_pod_that_will_never_run_does_not_hold_devices(make) -> None:
    going = make.pod("train", node="", deletionTimestamp=make.now_text)
    [update] = plan_claim(claim(make, None, going), {"uid-train": going}).steps
    assert "reservedFor" not in update.obj["status"]
    on_node = make.pod("train", deletionTimestamp=make.now_text)
    assert plan_claim(claim(make, None, on_node), {"uid-train": on_node}) == NOTHING


def test_a_claim_made_for_a_pod_that_has_finished_is_deleted(make) -> None:
    pod = user(make, phase="Succeeded")
    free = claim(make, pod, allocated=False)
    free["metadata"]["finalizers"] = []
    [delete] = plan_claim(free, {"uid-train": pod}).steps
    assert isinstance(delete, Delete) and delete.uid == "uid-train-gpu-x"


def test_a_pod_with_a_node_is_entered_into_its_allocated_claims(make) -> None:
    pod = user(make)
    update = reservation(pod, claim(make, pod))
    assert update is not None
    assert update.obj["status"]["reservedFor"] == [{"resource": "pods", "name": "train", "uid": "uid-train"}]
    assert reservation(pod, update.obj) is None and reservation(pod, claim(make, pod, allocated=False)) is None


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
