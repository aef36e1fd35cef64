from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sampan.api.core.volume_matching import BIND_COMPLETED, SELECTED_NODE, best_match
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from sampan.apimachinery.object import Object, annotations_of, dig, name_of
from sampan.controllers.volumes import ephemeral_volume
from sampan.controllers.volumes.persistentvolume_binder import plan_volume
from sampan.controllers.volumes.persistentvolume_claims import Storage, plan_claim
from sampan.controllers.volumes.volume_protection import is_used
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run


def claim(make, name: str = "data", size: str = "1Gi", annotations: dict[str, str] | None = None, **spec) -> Object:
    defaults = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": make.meta(name, annotations=annotations or {}),
        "spec": {**defaults, **spec}, "status": {"phase": "Pending"},
    }


def volume(make, name: str, size: str = "1Gi", phase: str = "Available", **spec) -> Object:
    defaults = {
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "hostPath": {"path": "/x"},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    metadata = make.meta(name)
    del metadata["namespace"]
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": {**defaults, **spec},
        "status": {"phase": phase},
    }


def storage(*volumes: Object, classes: tuple[Object, ...] = ()) -> Storage:
    return Storage(*({name_of(one): one for one in found} for found in (volumes, classes)))


def reference(found: Object) -> Object:
    return {"name": name_of(found), "namespace": "default", "uid": found["metadata"]["uid"]}


def reasons(decided) -> list[str]:
    return [note.reason for note in decided.notes]


def test_the_smallest_volume_that_is_big_enough_wins(make) -> None:
    volumes = [volume(make, "big", "9Gi"), volume(make, "fit", "2Gi"), volume(make, "small", "1Gi"),
               volume(make, "other", "2Gi", storageClassName="gold"), volume(make, "used", "2Gi", phase="Released")]
    assert name_of(best_match(claim(make, size="2Gi"), volumes)) == "fit"
    assert best_match(claim(make, size="10Gi"), volumes) is None
    shared = claim(make, accessModes=["ReadWriteMany"])
    assert best_match(shared, volumes) is None
    labelled = volume(make, "labelled", "8Gi")
    labelled["metadata"]["labels"] = {"disk": "fast"}
    chosen = claim(make, selector={"matchLabels": {"disk": "fast"}})
    assert name_of(best_match(chosen, [*volumes, labelled])) == "labelled"


def test_a_volume_that_names_the_claim_comes_first_and_is_nobody_elses(make) -> None:
    owner = claim(make)
    reserved = volume(make, "reserved", "9Gi", claimRef={"name": "data", "namespace": "default"})
    assert name_of(best_match(owner, [volume(make, "fit"), reserved])) == "reserved"
    assert best_match(claim(make, "other"), [reserved]) is None


def test_binding_writes_the_volume_first_then_the_claim_then_the_status(make) -> None:
    owner, found = claim(make), volume(make, "one")
    on_volume, on_claim = plan_claim(owner, storage(found)).steps
    assert on_volume.obj["spec"]["claimRef"]["uid"] == "uid-data"
    assert on_claim.obj["spec"]["volumeName"] == "one" and annotations_of(on_claim.obj)[BIND_COMPLETED] == "yes"
    [status] = plan_claim(on_claim.obj, storage(on_volume.obj)).steps
    assert status.obj["status"] == {
        "phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}
    }
    assert not plan_claim(status.obj, storage(on_volume.obj))
    [phase] = plan_volume(on_volume.obj, on_claim.obj).steps
    assert phase.obj["status"]["phase"] == "Bound"


def test_a_claim_for_a_named_volume_waits_for_it_and_is_told_why_it_does_not_fit(make) -> None:
    owner = claim(make, volumeName="one", size="5Gi")
    assert not plan_claim(owner, storage())
    assert reasons(plan_claim(owner, storage(volume(make, "one")))) == ["VolumeMismatch"]
    taken = volume(make, "one", "5Gi", claimRef=reference(claim(make, "other")))
    assert reasons(plan_claim(owner, storage(taken))) == ["FailedBinding"]


def test_a_bound_claim_without_its_volume_is_lost(make) -> None:
    owner = claim(make, volumeName="one", annotations={BIND_COMPLETED: "yes"})
    decided = plan_claim(owner, storage())
    assert decided.steps[0].obj["status"]["phase"] == "Lost" and reasons(decided) == ["ClaimLost"]
    stolen = volume(make, "one", claimRef=reference(claim(make, "other")))
    assert reasons(plan_claim(owner, storage(stolen))) == ["ClaimMisbound"]


def late(make, provisioner: str = "kubernetes.io/no-provisioner") -> Object:
    return {"metadata": {"name": "late"}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"}


def test_of_a_class_that_binds_late_the_scheduler_chooses_volumes(make) -> None:
    """Only one that names the claim is bound, as the scheduler's choice does; a chosen node means: make a new one."""
    world = storage(volume(make, "disk", storageClassName="late"), classes=(late(make, "example.com/disk"),))
    owner = claim(make, storageClassName="late")
    assert reasons(plan_claim(owner, world)) == ["WaitForFirstConsumer"]
    owner["metadata"]["annotations"] = {SELECTED_NODE: "n2"}
    assert reasons(plan_claim(owner, world)) == ["ExternalProvisioning"]
    chosen = volume(make, "disk", storageClassName="late", claimRef=reference(owner))
    assert name_of(plan_claim(owner, storage(chosen, classes=(late(make),))).steps[0].obj) == "data"


@pytest.mark.parametrize(("provisioner", "told"), [
    ("example.com/disk", "ExternalProvisioning"), ("kubernetes.io/no-provisioner", "ProvisioningFailed"),
    (None, "ProvisioningFailed"),
])
def test_without_a_fitting_volume_the_provisioner_is_asked(make, provisioner, told) -> None:
    classes = ({"metadata": {"name": "gold"}, "provisioner": provisioner},) if provisioner else ()
    decided = plan_claim(claim(make, storageClassName="gold"), storage(classes=classes))
    assert reasons(decided) == [told]
    asked = [annotations_of(step.obj)["volume.kubernetes.io/storage-provisioner"] for step in decided.steps]
    assert asked == (["example.com/disk"] if told == "ExternalProvisioning" else [])


@pytest.mark.parametrize(("policy", "provisioned", "phases"), [
    ("Retain", False, ["Released"]), ("Delete", True, ["Released"]), ("Delete", False, ["Released", "Failed"]),
])
def test_a_volume_whose_claim_is_gone_is_released(make, policy, provisioned, phases) -> None:
    found = volume(make, "one", phase="Bound", persistentVolumeReclaimPolicy=policy, claimRef=reference(claim(make)))
    if provisioned:
        found["metadata"]["annotations"] = {"pv.kubernetes.io/provisioned-by": "example.com/disk"}
    seen = []
    while steps := plan_volume(found, None).steps:
        found = steps[0].obj
        seen.append(found["status"]["phase"])
    assert seen == phases


def test_a_volume_that_lost_the_race_is_free_again(make) -> None:
    owner = claim(make, volumeName="two")
    found = volume(make, "one", claimRef=reference(owner))
    [step] = plan_volume(found, owner).steps
    assert "uid" not in step.obj["spec"]["claimRef"]
    found["metadata"]["annotations"] = {"pv.kubernetes.io/bound-by-controller": "yes"}
    [step] = plan_volume(found, owner).steps
    assert "claimRef" not in step.obj["spec"]


def test_a_claim_is_used_by_pods_that_have_a_node(make) -> None:
    pod = make.pod("a")
    pod["spec"]["volumes"] = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    assert is_used(claim(make), [pod]) and not is_used(claim(make, "other"), [pod])
    del pod["spec"]["nodeName"]
    assert not is_used(claim(make), [pod])


def test_an_ephemeral_volume_gets_a_claim_of_its_own_pod_and_never_anothers(make) -> None:
    pod = make.pod("a")
    template = {"metadata": {"labels": {"x": "y"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    pod["spec"]["volumes"] = [{"name": "tmp", "ephemeral": {"volumeClaimTemplate": template}}]
    [creation] = ephemeral_volume.plan(pod, lambda name: None).steps
    assert name_of(creation.obj) == "a-tmp" and creation.obj["metadata"]["labels"] == {"x": "y"}
    assert not ephemeral_volume.plan(pod, lambda name: creation.obj)
    assert reasons(ephemeral_volume.plan(pod, lambda name: claim(make, name))) == ["FailedBinding"]


async def phase(cluster: SimCluster, resource: Any, name: str) -> str:
    namespace = "default" if resource.namespaced else None
    items = (await cluster.client.list(resource, namespace))["items"]
    return next((dig(one, "status", "phase") for one in items if name_of(one) == name), "gone")


def test_a_claim_is_bound_kept_while_used_and_its_volume_released_on_a_cluster() -> None:
    async def scenario() -> None:
        async with SimCluster(3, 1) as cluster:
            client = cluster.client

            async def create(resource: Any, name: str, **fields: Any) -> None:
                metadata = {"name": name, **({"namespace": "default"} if resource.namespaced else {})}
                document = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **fields}
                await client.create(resource, document)

            async def until(resource: Any, name: str, wanted: str) -> None:
                async def check() -> bool:
                    return await phase(cluster, resource, name) == wanted
                await cluster.until(check, what=f"{name} {wanted}")

            modes = ["ReadWriteOnce"]
            for name, size in (("v1", "1Gi"), ("v2", "2Gi")):
                await create(PERSISTENT_VOLUMES, name, spec={
                    "accessModes": modes, "capacity": {"storage": size}, "hostPath": {"path": f"/{name}"},
                    "storageClassName": "manual",
                })
            await create(STORAGE_CLASSES, "manual", provisioner="kubernetes.io/no-provisioner")
            for name, size in (("c1", "1Gi"), ("c2", "1Gi"), ("c3", "1Gi")):
                await create(PERSISTENT_VOLUME_CLAIMS, name, spec={
                    "accessModes": modes, "resources": {"requests": {"storage": size}}, "storageClassName": "manual",
                })
            await until(PERSISTENT_VOLUMES, "v1", "Bound")
            await until(PERSISTENT_VOLUMES, "v2", "Bound")
            claims = {n: await client.get(PERSISTENT_VOLUME_CLAIMS, n, "default") for n in ("c1", "c2", "c3")}
            bound = {n: dig(one, "spec", "volumeName") for n, one in claims.items() if dig(one, "spec", "volumeName")}
            assert sorted(bound.values()) == ["v1", "v2"]
            name = sorted(bound)[0]
            await until(PERSISTENT_VOLUME_CLAIMS, name, "Bound")
            await create(PODS, "user", spec={
                "containers": [{"name": "main", "image": "x"}],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}],
            })
            await until(PODS, "user", "Running")
            await client.delete(PERSISTENT_VOLUME_CLAIMS, name, "default")
            assert await phase(cluster, PERSISTENT_VOLUME_CLAIMS, name) == "Bound"
            await client.delete(PODS, "user", "default")
            await until(PERSISTENT_VOLUME_CLAIMS, name, "gone")
            await until(PERSISTENT_VOLUMES, bound[name], "Released")
            await client.delete(PERSISTENT_VOLUMES, bound[name])
            await until(PERSISTENT_VOLUMES, bound[name], "gone")

    run(scenario())


def storage_class(name: str, created: str = "2026-01-01T00:00:00Z", *, default: bool = True) -> Object:
    annotations = {"storageclass.kubernetes.io/is-default-class": str(default).lower()}
    metadata = {"name": name, "creationTimestamp": created, "annotations": annotations}
    return {"metadata": metadata, "provisioner": "example.com/p", "volumeBindingMode": "WaitForFirstConsumer"}


def test_a_claim_without_a_class_gets_the_default_one_when_it_appears(make) -> None:
    older, newer = storage_class("older"), storage_class("newer", "2026-01-02T00:00:00Z")
    rest = storage_class("rest", "2026-01-03T00:00:00Z", default=False)
    [update] = plan_claim(claim(make), storage(classes=(older, newer, rest))).steps
    assert update.obj["spec"]["storageClassName"] == "newer"
    asked_for_none = plan_claim(claim(make, storageClassName=""), storage(classes=(older,)))
    assert reasons(asked_for_none) == ["FailedBinding"]


def test_a_claim_says_which_pods_it_waits_for(make) -> None:
    there = storage(classes=(storage_class("late"),))
    waiting = claim(make, storageClassName="late")
    assert reasons(plan_claim(waiting, there)) == ["WaitForFirstConsumer"]
    [note] = plan_claim(waiting, replace(there, unscheduled=("a", "b"))).notes
    assert (note.reason, note.message) == ("WaitForPodScheduled", "waiting for pods a,b to be scheduled")
