"""The reclaim policy Recycle: a pod empties the volume, then it can be claimed again."""

from __future__ import annotations

from typing import Any

import pytest
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import CORE_EVENTS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig, uid_of
from sampan.controllers.volumes.volume_recycler import NAMESPACE, plan, recycler_of
from sampan.reconcile.plan import Delete, Update

POD = "recycler-for-disk"


def volume(make, phase: str = "Released", annotations: Object | None = None, **spec: Any) -> Object:
    metadata = make.meta("disk", annotations=annotations or {})
    del metadata["namespace"]
    reference = {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "data", "uid": "gone"}
    defaults = {"capacity": {"storage": "4Gi"}, "hostPath": {"path": "/x"}, "claimRef": reference}
    return {"metadata": metadata, "spec": {**defaults, **spec}, "status": {"phase": phase}}


def recycler(make, phase: str, message: str = "") -> Object:
    return {"metadata": make.meta(POD), "status": {"phase": phase, "message": message}}


@pytest.mark.parametrize(("source", "deadline_s"), [
    ({"hostPath": {"path": "/x"}}, 120), ({"hostPath": None, "nfs": {"server": "s", "path": "/"}}, 300),
])
def test_the_pod_mounts_the_volume_and_may_take_longer_the_larger_it_is(make, source, deadline_s) -> None:
    found = volume(make, **source)
    found["spec"] = {key: value for key, value in found["spec"].items() if value is not None}
    spec = recycler_of(found, "debian:1")["spec"]
    assert spec["activeDeadlineSeconds"] == deadline_s and spec["restartPolicy"] == "Never"
    [mounted] = spec["volumes"]
    assert mounted == {"name": "vol", **{key: value for key, value in source.items() if value}}


def test_what_cannot_be_recycled_fails(make) -> None:
    found = volume(make, local={"path": "/x"})
    del found["spec"]["hostPath"]
    decided = plan(found, (), None, make.now)
    assert [one.obj["status"]["phase"] for one in decided.steps] == ["Failed"]
    assert [(one.reason, one.message) for one in decided.notes] == [
        ("VolumeFailedRecycle", "No recycler plugin found for the volume!"),
    ]


def test_a_volume_in_use_waits(make) -> None:
    decided = plan(volume(make), (make.pod("b"), make.pod("a"), make.pod("over", phase="Succeeded")), None, make.now)
    assert not decided.steps and decided.requeue_after_s
    assert decided.notes[0].message == "Volume is used by pods: default/a,default/b"


@pytest.mark.parametrize(("annotations", "kept"), [
    ({"pv.kubernetes.io/bound-by-controller": "yes"}, None),
    ({}, {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "data"}),
])
def test_an_emptied_volume_is_free_again_but_for_what_an_administrator_wrote(make, annotations, kept) -> None:
    gone, update = plan(volume(make, annotations=annotations), (), recycler(make, "Succeeded"), make.now).steps
    assert isinstance(gone, Delete) and (gone.name, gone.namespace) == (POD, NAMESPACE)
    assert isinstance(update, Update) and update.obj["spec"].get("claimRef") == kept
    assert update.done is not None and update.done.reason == "VolumeRecycled"


def test_a_failed_pod_fails_the_volume_which_is_tried_again_later(make) -> None:
    decided = plan(volume(make), (), recycler(make, "Failed", "disk full"), make.now)
    assert decided.notes[0].message == "Recycle failed: disk full" and decided.requeue_after_s
    failed = volume(make, "Failed")
    failed["status"]["lastPhaseTransitionTime"] = make.now_text
    waiting = plan(failed, (), None, make.now)
    assert waiting is not None and not waiting.steps and waiting.requeue_after_s == 15
    failed["status"]["lastPhaseTransitionTime"] = "2026-01-02T03:03:00Z"
    assert plan(failed, (), None, make.now) is None


def test_on_a_cluster_a_volume_goes_from_claim_to_claim_and_a_forged_recycler_empties_nothing() -> None:
    async def scenario(lab: Lab) -> None:
        async def phase(wanted: str) -> None:
            async def check() -> bool:
                found = await lab.client.get(PERSISTENT_VOLUMES, "disk")
                return bool(dig(found, "status", "phase") == wanted)

            await lab.until(check, what=wanted)

        async def end(pod_phase: str) -> None:
            await lab.until(there)
            status = {"phase": pod_phase, "message": "no"}
            await lab.client.patch(PODS, POD, {"status": status}, NAMESPACE, type="merge", subresource="status")

        async def there() -> bool:
            try:
                return bool(await lab.get(PODS, POD))
            except errors.NotFound:
                return False

        claim = {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "",
        }
        forged = {"containers": [{"name": "c", "image": "x"}], "restartPolicy": "Never"}
        await lab.create(PODS, POD, spec=forged)
        await lab.client.patch(PODS, POD, {"status": {"phase": "Succeeded"}}, NAMESPACE, subresource="status")
        await lab.client.create(PERSISTENT_VOLUMES, {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"},
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"},
                     "persistentVolumeReclaimPolicy": "Recycle"},
        })
        forged_uid = uid_of(await lab.get(PODS, POD))
        await lab.create(PERSISTENT_VOLUME_CLAIMS, "data", spec=claim)
        await phase("Bound")
        await lab.client.delete(PERSISTENT_VOLUME_CLAIMS, "data", "default")

        async def own() -> bool:
            return await there() and uid_of(await lab.get(PODS, POD)) != forged_uid

        await lab.until(own)
        await end("Failed")
        await phase("Failed")
        await end("Succeeded")
        await phase("Available")
        found = await lab.client.get(PERSISTENT_VOLUMES, "disk")
        assert "claimRef" not in found["spec"] and dig(found, "status", "lastPhaseTransitionTime")
        await lab.create(PERSISTENT_VOLUME_CLAIMS, "next", spec=claim)
        await phase("Bound")
        reasons = {one["reason"] for one in (await lab.client.list(CORE_EVENTS))["items"]}
        assert {"VolumeFailedRecycle", "VolumeRecycled"} <= reasons

    on_a_cluster(scenario, nodes=0)
