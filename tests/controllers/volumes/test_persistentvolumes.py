"""The PersistentVolume binder from its first look at claims and volumes until nothing is left to do, case by case.

Each case is told in a line: a volume is `name:size[:options]`, a claim the same. The binder's plans are carried out on
the documents in memory until it has none, as upstream's tests do with their controller.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from sampan.api.core.volume_matching import BIND_COMPLETED, BOUND_BY_CONTROLLER
from sampan.apimachinery.object import Object, annotations_of, dig, name_of, namespace_of
from sampan.controllers.volumes import ephemeral_volume, volume_expansion
from sampan.controllers.volumes.persistentvolume_binder import plan_volume
from sampan.controllers.volumes.persistentvolume_claims import MIGRATED, PROVISIONER, Storage, plan_claim
from sampan.controllers.volumes.volume_protection import is_used
from sampan.reconcile.plan import Create, Plan, Update

BOUND = {BIND_COMPLETED: "yes"}
BY_US = {BOUND_BY_CONTROLLER: "yes"}
DONE = {**BOUND, **BY_US}


def claim(name: str = "c", size: str = "1Gi", phase: str = "Pending", annotations: Any = None, **spec: Any) -> Object:
    defaults = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {**defaults, **spec}, "status": {"phase": phase}}


def volume(
    name: str = "v", size: str = "1Gi", phase: str = "Available", annotations: Any = None, **spec: Any
) -> Object:
    defaults = {
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "persistentVolumeReclaimPolicy": "Retain",
    }
    metadata = {"name": name, "uid": f"uid-{name}", "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {**defaults, **spec}, "status": {"phase": phase}}


def ref(name: str = "c", uid: str | None = None) -> Object:
    """A claimRef; without uid it means any claim of the name, as administrators write it."""
    found = {"kind": "PersistentVolumeClaim", "namespace": "default", "name": name}
    return found if uid is None else {**found, "uid": uid}


def labelled(obj: Object, **labels: str) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "labels": labels}}


def going(obj: Object) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "deletionTimestamp": "2026-01-02T03:04:05Z"}}


@dataclass
class World:
    """Documents by name, changed as plans say."""

    claims: dict[str, Object] = field(default_factory=dict)
    volumes: dict[str, Object] = field(default_factory=dict)
    classes: dict[str, Object] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def settle(self) -> World:
        """Until no plan has a step left."""
        for _ in range(20):
            if not any([self._claim(name) for name in self.claims] + [self._volume(name) for name in self.volumes]):
                return self
        raise AssertionError("it never ends")

    def _claim(self, name: str) -> bool:
        return self._do(plan_claim(self.claims[name], Storage(self.volumes, self.classes)))

    def _volume(self, name: str) -> bool:
        found = self.volumes[name]
        return self._do(plan_volume(found, self.claims.get(dig(found, "spec", "claimRef", "name", default=""))))

    def _do(self, plan: Plan) -> bool:
        for step in plan.steps:
            assert isinstance(step, Update)
            where = self.claims if namespace_of(step.obj) else self.volumes
            known = where[name_of(step.obj)]
            where[name_of(step.obj)] = {**known, "status": step.obj["status"]} if step.subresource else {
                **step.obj, "status": known["status"]
            }
        for note in plan.notes:
            if (said := f"{note.type} {note.reason}") not in self.events:
                self.events.append(said)
        return bool(plan.steps)


def settled(claims: list[Object], volumes: list[Object], *classes: Object) -> World:
    by_name = ({name_of(one): one for one in found} for found in (claims, volumes, classes))
    return World(*by_name).settle()


def is_pair(world: World, claim_name: str = "c", volume_name: str = "v") -> bool:
    """Whether the two have each other, and say so."""
    one, other = world.claims[claim_name], world.volumes[volume_name]
    return (
        one["spec"].get("volumeName") == volume_name and one["status"]["phase"] == "Bound"
        and BIND_COMPLETED in annotations_of(one) and other["status"]["phase"] == "Bound"
        and dig(other, "spec", "claimRef", "uid") == one["metadata"]["uid"]
        and one["status"]["capacity"] == other["spec"]["capacity"]
    )


SELECTS = {"selector": {"matchLabels": {"foo": "true"}}}


@pytest.mark.parametrize(("owner", "volumes", "bound"), [
    (claim(), [volume()], "v"),
    (claim(size="10Gi"), [volume()], None),
    (claim(size="10Gi", phase="Bound"), [volume()], None),
    (claim(), [volume("v2", "10Gi"), volume()], "v"),
    (claim(), [volume("v2", "10Gi", claimRef=ref()), volume()], "v2"),
    (claim(), [volume("v2", "10Gi", claimRef=ref(uid="uid-c")), volume()], "v2"),
    (claim(), [volume(size="10Gi", claimRef=ref(uid="other"))], None),
    (claim(), [volume(claimRef=ref(uid="uid-c"), annotations=BY_US, phase="Pending")], "v"),
    (claim(), [volume(claimRef=ref(uid="uid-c"), annotations=BY_US, phase="Bound")], "v"),
    (claim(volumeName="v", annotations=DONE), [volume(claimRef=ref(uid="uid-c"), annotations=BY_US)], "v"),
    (claim(**SELECTS), [labelled(volume(), foo="true")], "v"),
    (claim(**SELECTS), [volume()], None),
    (claim(), [going(volume())], None),
    (claim(), [volume(phase="Released", claimRef=ref("old", "uid-old"))], None),
    (claim(accessModes=["ReadWriteMany"]), [volume()], None),
    (claim(accessModes=["ReadWriteMany"]), [volume(claimRef=ref())], None),
    (claim(volumeMode="Block"), [volume(volumeMode="Block"), volume("v2")], "v"),
    (claim(volumeMode="Block"), [volume()], None),
    (claim(), [volume(volumeMode="Block")], None),
    (claim(volumeAttributesClassName="gold"), [volume(), volume("v2", volumeAttributesClassName="gold")], "v2"),
    (claim(), [volume(volumeAttributesClassName="gold")], None),
    (claim(storageClassName="gold"), [volume(), volume("v2", "10Gi", storageClassName="gold")], "v2"),
    (claim(), [volume(storageClassName="gold"), volume("v2", "10Gi")], "v2"),
    (claim(storageClassName="gold"), [volume(storageClassName="silver"), volume("v2", storageClassName="gold")], "v2"),
    (claim(storageClassName=""), [volume(storageClassName="")], "v"),
    (claim(), [volume(storageClassName="")], "v"),
    (claim(storageClassName=""), [volume()], "v"),
])
def test_a_claim_that_names_no_volume_gets_the_one_that_fits(
    owner: Object, volumes: list[Object], bound: str | None
) -> None:
    world = settled([owner], volumes)
    if bound is None:
        assert world.claims["c"]["status"] == {"phase": "Pending"}
        assert "volumeName" not in world.claims["c"]["spec"]
        assert world.events[-1] in ("Normal FailedBinding", "Warning ProvisioningFailed")
        return
    assert is_pair(world, volume_name=bound)
    by_us = BOUND_BY_CONTROLLER in annotations_of(world.claims["c"])
    assert by_us and (BOUND_BY_CONTROLLER in annotations_of(world.volumes[bound])) == (
        dig(next(one for one in volumes if name_of(one) == bound), "spec", "claimRef") is None
        or BOUND_BY_CONTROLLER in annotations_of(next(one for one in volumes if name_of(one) == bound))
    )


@pytest.mark.parametrize(("phase", "volumes", "bound", "told"), [
    ("Pending", [], False, []),
    ("Bound", [], False, []),
    ("Pending", [volume()], True, []),
    ("Pending", [volume(claimRef=ref())], True, []),
    ("Pending", [volume(claimRef=ref(uid="uid-c"))], True, []),
    ("Bound", [volume(claimRef=ref("other", "uid-other"))], False, ["Warning FailedBinding"]),
    ("Pending", [labelled(volume(), bar="x")], True, []),
    ("Pending", [volume(size="1Mi")], False, ["Warning VolumeMismatch"]),
    ("Pending", [volume(storageClassName="gold")], False, ["Warning VolumeMismatch"]),
    ("Pending", [volume(volumeAttributesClassName="gold")], False, ["Warning VolumeMismatch"]),
    ("Pending", [volume(volumeMode="Block")], False, ["Warning VolumeMismatch"]),
    ("Pending", [volume(accessModes=["ReadOnlyMany"])], False, ["Warning VolumeMismatch"]),
    ("Pending", [going(volume())], False, ["Warning VolumeMismatch"]),
])
def test_a_claim_that_names_a_volume_gets_it_or_waits(
    phase: str, volumes: list[Object], bound: bool, told: list[str]
) -> None:
    world = settled([claim(phase=phase, volumeName="v", **SELECTS)], volumes)
    assert [one for one in world.events if not one.endswith("VolumeReleased")] == told
    if bound:
        assert is_pair(world) and BOUND_BY_CONTROLLER not in annotations_of(world.claims["c"])
    else:
        assert world.claims["c"]["status"] == {"phase": "Pending"}


@pytest.mark.parametrize(("found", "text"), [
    (going(volume()), 'the volume is marked for deletion "v"'), (volume(size="1"), "requested PV is too small"),
    (volume(storageClassName="x"), "storageClassName does not match"),
    (volume(volumeAttributesClassName="x"), "volumeAttributesClassName does not match"),
    (volume(volumeMode="Block"), "incompatible volumeMode"), (volume(accessModes=[]), "incompatible accessMode"),
])
def test_why_a_named_volume_does_not_fit(found: Object, text: str) -> None:
    [note] = plan_claim(claim(volumeName="v"), Storage({"v": found})).notes
    assert note.message == f'Cannot bind to requested volume "v": {text}'


LOST = "Data on the volume is lost!"


@pytest.mark.parametrize(("volumes", "named", "told"), [
    ([], None, ("ClaimLost", f"Bound claim has lost reference to PersistentVolume. {LOST}")),
    ([], "v", ("ClaimLost", f"Bound claim has lost its PersistentVolume. {LOST}")),
    ([volume()], "v", None),
    ([volume(claimRef=ref(uid="uid-c"))], "v", None),
    ([volume(claimRef=ref(uid="other"))], "v",
     ("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")),
    ([volume(claimRef=ref())], "v",
     ("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")),
    ([volume(claimRef=ref("other", "uid-other"))], "v",
     ("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")),
])
def test_a_bound_claim_keeps_its_volume_or_is_lost(
    volumes: list[Object], named: str | None, told: tuple[str, str] | None
) -> None:
    owner = claim(size="10Gi", annotations=DONE, **({"volumeName": named} if named else {}))
    owner["status"] |= {"accessModes": ["x"], "capacity": {"storage": "1"}, "conditions": [{"type": "Resizing"}]}
    if told is not None:
        plan = plan_claim(owner, Storage({name_of(one): one for one in volumes}))
        assert [(note.type, note.reason, note.message) for note in plan.notes] == [("Warning", *told)]
        [step] = plan.steps
        assert isinstance(step, Update) and step.obj["status"] == {
            "phase": "Lost", "conditions": [{"type": "Resizing"}]
        }
        lost = {**owner, "status": step.obj["status"]}
        again = plan_claim(lost, Storage({name_of(one): one for one in volumes}))
        assert not again.steps and not again.notes
    else:
        assert is_pair(settled([owner], volumes))


def test_what_a_claim_has_is_written_when_it_is_bound_and_then_left_to_whoever_resizes_it() -> None:
    world = settled([claim(volumeAttributesClassName="gold")], [volume(volumeAttributesClassName="gold")])
    assert world.claims["c"]["status"] == {
        "phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
        "currentVolumeAttributesClassName": "gold",
    }
    world.volumes["v"]["spec"] |= {"capacity": {"storage": "2Gi"}, "volumeAttributesClassName": "silver"}
    world.settle()
    assert world.claims["c"]["status"]["capacity"] == {"storage": "1Gi"}
    assert world.claims["c"]["status"]["currentVolumeAttributesClassName"] == "gold"


@pytest.mark.parametrize(("found", "owner", "phase", "kept"), [
    (volume(phase="Pending"), None, "Available", None),
    (volume(phase="Pending", claimRef=ref()), None, "Available", ref()),
    (volume(phase="Bound", claimRef=ref(uid="uid-c")), None, "Released", ref(uid="uid-c")),
    (volume(phase="Bound", claimRef=ref(uid="old")), claim(volumeName="v", annotations=BOUND), "Released",
     ref(uid="old")),
    (volume(phase="Bound", claimRef=ref(uid="uid-c"), annotations=BY_US), claim(), "Bound", ref(uid="uid-c")),
    (volume(phase="Bound", claimRef=ref(uid="uid-c")), claim(), "Bound", ref(uid="uid-c")),
    (volume(claimRef=ref(uid="uid-c")), claim(volumeName="v", phase="Bound"), "Bound", ref(uid="uid-c")),
    (volume(phase="Bound", claimRef=ref(uid="uid-c"), annotations=BY_US), claim(volumeName="x"), "Available", None),
    (volume(phase="Bound", claimRef=ref(uid="uid-c")), claim(volumeName="x"), "Available", ref()),
    (volume(phase="Failed", claimRef=ref(uid="uid-c")), None, "Failed", ref(uid="uid-c")),
    (volume(phase="Bound", claimRef=ref(uid="uid-c"), persistentVolumeReclaimPolicy="Delete",
            annotations={"pv.kubernetes.io/provisioned-by": "example.com/disk"}),
     claim(volumeName="x"), "Released", ref(uid="uid-c")),
])
def test_the_phase_of_a_volume(found: Object, owner: Object | None, phase: str, kept: Object | None) -> None:
    for _ in range(5):
        for step in plan_volume(found, owner).steps:
            assert isinstance(step, Update)
            found = step.obj
    assert (found["status"]["phase"], found["spec"].get("claimRef")) == (phase, kept)


def test_of_two_volumes_that_were_bound_to_one_claim_the_second_is_free_again() -> None:
    both = [volume(name, phase="Bound", claimRef=ref(uid="uid-c"), annotations=BY_US) for name in ("v", "w")]
    world = settled([claim(volumeName="v", annotations=DONE)], both)
    assert is_pair(world)
    assert world.volumes["w"]["status"]["phase"] == "Available" and "claimRef" not in world.volumes["w"]["spec"]


def test_a_volume_for_a_claim_of_the_other_mode_is_told_to_both() -> None:
    found, owner = volume(phase="Bound", claimRef=ref(uid="uid-c"), volumeMode="Block"), claim()
    notes = plan_volume(found, owner).notes
    assert [(name_of(one.about), one.type, one.reason, one.message) for one in notes] == [
        ("v", "Warning", "VolumeMismatch",
         'Cannot bind PersistentVolume to requested PersistentVolumeClaim "c" due to incompatible volumeMode.'),
        ("c", "Warning", "VolumeMismatch",
         'Cannot bind PersistentVolume "v" to requested PersistentVolumeClaim due to incompatible volumeMode.'),
    ]


def storage_class(name: str, provisioner: str, **fields: Any) -> Object:
    return {"metadata": {"name": name, **fields.pop("metadata", {})}, "provisioner": provisioner, **fields}


DEFAULT = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}


def test_the_default_class_comes_only_where_no_volume_without_a_class_fits() -> None:
    default = storage_class("standard", "example.com/disk", metadata=DEFAULT)
    assert is_pair(settled([claim()], [volume()], default))
    world = settled([claim()], [volume(size="1Mi")], default)
    assert world.claims["c"]["spec"]["storageClassName"] == "standard"
    assert world.events == ["Normal ExternalProvisioning"]
    none = settled([claim(storageClassName="")], [], default)
    assert none.claims["c"]["spec"]["storageClassName"] == "" and none.events == ["Normal FailedBinding"]


@pytest.mark.parametrize(("provisioner", "told", "asked"), [
    ("example.com/disk", "Waiting for a volume to be created either by the external provisioner 'example.com/disk'",
     "example.com/disk"),
    ("kubernetes.io/aws-ebs", "external provisioner 'ebs.csi.aws.com'", "ebs.csi.aws.com"),
    ("kubernetes.io/no-provisioner", "no volume plugin matched name: kubernetes.io/no-provisioner", None),
    ("kubernetes.io/glusterfs", "no volume plugin matched name: kubernetes.io/glusterfs", None),
    (None, 'storageclass.storage.k8s.io "gold" not found', None),
])
def test_who_is_to_make_a_volume(provisioner: str | None, told: str, asked: str | None) -> None:
    classes = {"gold": storage_class("gold", provisioner)} if provisioner else {}
    plan = plan_claim(claim(storageClassName="gold"), Storage({}, classes))
    assert told in plan.notes[0].message
    written = [annotations_of(step.obj)[PROVISIONER] for step in plan.steps if isinstance(step, Update)]
    assert written == ([asked] if asked else [])
    assert all(not name.startswith("kubernetes.io/") for name in MIGRATED.values())


def pod(**spec: Any) -> Object:
    return {"metadata": {"name": "p", "namespace": "default", "uid": "uid-p"}, "spec": {"nodeName": "n", **spec}}


NAMED = [{"name": "c", "persistentVolumeClaim": {"claimName": "c"}}]
OWN = [{"name": "v", "ephemeral": {}}]
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "uid-p", "controller": True}


@pytest.mark.parametrize(("user", "name", "owner", "used"), [
    (pod(volumes=NAMED), "c", None, True),
    (pod(volumes=NAMED, nodeName=""), "c", None, False),
    (pod(volumes=NAMED), "d", None, False),
    (pod(), "c", None, False),
    (pod(volumes=NAMED) | {"status": {"phase": "Succeeded"}}, "c", None, True),
    (pod(volumes=OWN), "p-v", OWNER, True),
    (pod(volumes=OWN) | {"status": {"phase": "Succeeded"}}, "p-v", OWNER, True),
    (pod(volumes=OWN), "p-v", None, False),
    (pod(volumes=OWN), "p-v", {**OWNER, "uid": "other"}, False),
])
@pytest.mark.parametrize(("grace_s", "is_over"), [(None, False), (30, False), (0, True)])
def test_who_uses_a_claim(
    user: Object, name: str, owner: Object | None, used: bool, grace_s: int | None, is_over: bool
) -> None:
    if grace_s is not None:
        user = going(user)
        user["metadata"]["deletionGracePeriodSeconds"] = grace_s
    found = claim(name)
    if owner is not None:
        found["metadata"]["ownerReferences"] = [owner]
    ends = is_over and "ephemeral" in dig(user, "spec", "volumes", 0, default={})
    assert is_used(found, [user]) == (used and not ends)


CSI, EBS = {"csi": {"driver": "disk.example.com"}}, {"awsElasticBlockStore": {"volumeID": "v"}}
RESIZER = volume_expansion.RESIZER


@pytest.mark.parametrize(("source", "size", "has", "annotations", "resizer", "told"), [
    (CSI, "2Gi", "1Gi", {}, None, True), ({"hostPath": {"path": "/x"}}, "2Gi", "1Gi", {}, None, True),
    (CSI, "1Gi", "1Gi", {}, None, False), (CSI, "1Gi", "2Gi", {}, None, False), (CSI, "2Gi", None, {}, None, False),
    (EBS, "2Gi", "1Gi", {}, "ebs.csi.aws.com", False),
    (EBS, "2Gi", "1Gi", {RESIZER: "ebs.csi.aws.com"}, None, False), (EBS, "2Gi", "2Gi", {}, None, False),
])
def test_a_claim_that_asks_for_more_than_it_has_waits_for_a_resizer(
    source: Object, size: str, has: str | None, annotations: Any, resizer: str | None, told: bool
) -> None:
    owner = claim(size=size, phase="Bound", annotations=annotations, volumeName="v")
    if has is not None:
        owner["status"]["capacity"] = {"storage": has}
    found = volume(claimRef=ref(uid="uid-c"), **source)
    plan = volume_expansion.plan(owner, found)
    written = [annotations_of(step.obj)[RESIZER] for step in plan.steps if isinstance(step, Update)]
    assert written == ([resizer] if resizer else [])
    assert [(one.type, one.reason, one.message) for one in plan.notes] == ([
        ("Normal", "ExternalExpanding", "waiting for an external controller to expand this PVC"),
    ] if told else [])
    for stranger in (volume(claimRef=ref(uid="other"), **source), volume(**source)):
        assert not volume_expansion.plan(owner, stranger)
    assert not volume_expansion.plan(going(owner), found)
    assert not volume_expansion.plan({**owner, "status": {**owner["status"], "phase": "Pending"}}, found)


TEMPLATE = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}
EPHEMERAL = [{"name": "v", "ephemeral": {"volumeClaimTemplate": TEMPLATE}}]


def test_the_claim_of_an_ephemeral_volume_is_the_pods_own() -> None:
    [create] = ephemeral_volume.plan(pod(volumes=EPHEMERAL), lambda name: None).steps
    assert isinstance(create, Create)
    made = create.obj
    assert (name_of(made), namespace_of(made), made["spec"]) == ("p-v", "default", TEMPLATE["spec"])
    assert (made["metadata"]["labels"], made["metadata"]["annotations"]) == ({"a": "b"}, {"c": "d"})
    [owner] = made["metadata"]["ownerReferences"]
    assert owner == {**OWNER, "blockOwnerDeletion": True}
    assert create.failed is not None and (create.failed.type, create.failed.reason, create.failed.message) == (
        "Warning", "FailedBinding", "ephemeral volume v: create PVC p-v: {error}",
    )
    assert not ephemeral_volume.plan(pod(volumes=EPHEMERAL), lambda name: made)
    assert not ephemeral_volume.plan(going(pod(volumes=EPHEMERAL)), lambda name: None)
    assert not ephemeral_volume.plan(pod(volumes=NAMED), lambda name: None)


def test_a_claim_of_that_name_that_is_not_the_pods_is_told_of_and_left_alone() -> None:
    decided = ephemeral_volume.plan(pod(volumes=EPHEMERAL), lambda name: claim(name))
    assert not decided.steps and [(one.type, one.reason, one.message) for one in decided.notes] == [(
        "Warning", "FailedBinding",
        "ephemeral volume v: PVC default/p-v was not created for pod default/p (pod is not owner)",
    )]
