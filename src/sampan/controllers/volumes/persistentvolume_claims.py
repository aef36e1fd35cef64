"""A PersistentVolumeClaim's way to its volume.

A claim without a volume gets the best match: the volume's claimRef is set first, then the claim's volumeName. The
claimRef, guarded by the volume's resourceVersion, is what decides: two claims cannot both win one volume. A claim that
names a volume waits for it; a bound claim whose volume is gone, or is another claim's, is Lost, for its data is.

With a class of volumeBindingMode WaitForFirstConsumer it is the scheduler that chooses, when it has a node for the
claim's first pod: either a volume, whose claimRef it writes, or that node for a new one (annotation
`volume.kubernetes.io/selected-node`). Where no volume fits and the class has a provisioner, the claim is marked as that
provisioner's, which then makes a volume. A claim that names no class at all, not even the empty one, and finds no
volume without one, gets the default class as soon as there is one.

What a claim has (its capacity, the class of its attributes) is written when it is bound and left to whoever changes the
volume from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sampan.api.core.volume_matching import (
    BETA_CLASS,
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    best_match,
    binds_late,
    bound_to,
    class_of,
    mismatch,
    refers_to,
    waits_for_consumer,
)
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from sampan.api.storage.storageclass import is_default
from sampan.apimachinery.object import (
    Object,
    annotations_of,
    dig,
    is_being_deleted,
    meta,
    name_of,
    uid_of,
)
from sampan.client.events import NORMAL, WARNING
from sampan.reconcile.plan import NOTHING, Note, Plan, Step, Update

PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
MIGRATED = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com", "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/azure-file": "file.csi.azure.com", "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io", "kubernetes.io/portworx-volume": "pxd.portworx.com",
    "kubernetes.io/vsphere-volume": "csi.vsphere.vmware.com",
}
"""Provisioners that Kubernetes once had itself, and the CSI drivers that do their work now."""


@dataclass(frozen=True, slots=True)
class Storage:
    """What claims are decided from, by name."""

    volumes: Mapping[str, Object] = field(default_factory=dict)
    classes: Mapping[str, Object] = field(default_factory=dict)
    unscheduled: Sequence[str] = ()
    """The pods that use the claim in question and have no node yet."""

    @property
    def default_class(self) -> str:
        """The newest of the default classes, or nothing."""
        found = [one for one in self.classes.values() if is_default(one)]
        newest = max((str(meta(one).get("creationTimestamp")) for one in found), default="")
        return min((name_of(one) for one in found if str(meta(one).get("creationTimestamp")) == newest), default="")


def plan_claim(claim: Object, storage: Storage) -> Plan:
    """The next step of a claim."""
    if BIND_COMPLETED in annotations_of(claim):
        return _bound(claim, storage)
    name = dig(claim, "spec", "volumeName", default="")
    return _named(claim, storage.volumes.get(name)) if name else _unbound(claim, storage)


def _unbound(claim: Object, storage: Storage) -> Plan:
    storage_class = storage.classes.get(class_of(claim))
    volume = best_match(claim, storage.volumes.values(), only_prebound=binds_late(storage_class))
    if volume is not None:
        return _bind(claim, volume)
    undecided = dig(claim, "spec", "storageClassName") is None and BETA_CLASS not in annotations_of(claim)
    if undecided and storage.default_class:
        spec = {**claim["spec"], "storageClassName": storage.default_class}
        return Plan((Update(PERSISTENT_VOLUME_CLAIMS, {**claim, "spec": spec}),))
    if waits_for_consumer(claim, storage_class):
        return _pending(claim, _waiting(claim, storage.unscheduled))
    if class_of(claim):
        return _provision(claim, storage_class)
    text = "no persistent volumes available for this claim and no storage class is set"
    return _pending(claim, Note(claim, NORMAL, "FailedBinding", text))


def _waiting(claim: Object, pods: Sequence[str]) -> Note:
    if not pods:
        text = "waiting for first consumer to be created before binding"
        return Note(claim, NORMAL, "WaitForFirstConsumer", text)
    text = f"waiting for pod{'s' if len(pods) > 1 else ''} {','.join(pods)} to be scheduled"
    return Note(claim, NORMAL, "WaitForPodScheduled", text)


def _provision(claim: Object, storage_class: Object | None) -> Plan:
    """Hand the claim to its class's provisioner."""
    if storage_class is None:
        text = f'storageclass.storage.k8s.io "{class_of(claim)}" not found'
        return _pending(claim, Note(claim, WARNING, "ProvisioningFailed", text))
    provisioner = str(storage_class.get("provisioner", ""))
    provisioner = MIGRATED.get(provisioner, provisioner)
    if provisioner.startswith("kubernetes.io/"):  # of those none is left but the names
        text = f"no volume plugin matched name: {provisioner}"
        return _pending(claim, Note(claim, WARNING, "ProvisioningFailed", text))
    text = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
        "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
        "correctly registered."
    )
    note = Note(claim, NORMAL, "ExternalProvisioning", text)
    wanted = {PROVISIONER: provisioner, BETA_PROVISIONER: provisioner}
    if wanted.items() <= annotations_of(claim).items():
        return _pending(claim, note)
    metadata = {**meta(claim), "annotations": {**annotations_of(claim), **wanted}}
    return Plan((Update(PERSISTENT_VOLUME_CLAIMS, {**claim, "metadata": metadata}),), (note,))


def _named(claim: Object, volume: Object | None) -> Plan:
    """A claim that asks for one volume."""
    if volume is None:
        return _pending(claim)
    if dig(volume, "spec", "claimRef") is None:
        why = mismatch(volume, claim)
        if why:
            text = f'Cannot bind to requested volume "{name_of(volume)}": {why}'
            return _pending(claim, Note(claim, WARNING, "VolumeMismatch", text))
        return _bind(claim, volume)
    if refers_to(volume, claim):
        return _bind(claim, volume)
    text = f'volume "{name_of(volume)}" already bound to a different claim.'
    return _pending(claim, Note(claim, WARNING, "FailedBinding", text))


def _bound(claim: Object, storage: Storage) -> Plan:
    name = dig(claim, "spec", "volumeName", default="")
    volume = storage.volumes.get(name)
    if not name:
        text = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        return _lost(claim, Note(claim, WARNING, "ClaimLost", text))
    if volume is None:
        text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        return _lost(claim, Note(claim, WARNING, "ClaimLost", text))
    reference = dig(volume, "spec", "claimRef")
    if reference is None or reference.get("uid") == uid_of(claim):
        return _bind(claim, volume)
    text = "Two claims are bound to the same volume, this one is bound incorrectly"
    return _lost(claim, Note(claim, WARNING, "ClaimMisbound", text))


def _bind(claim: Object, volume: Object) -> Plan:
    """Both ends, then the claim's status; each write only where something is missing."""
    steps: list[Step] = []
    if is_being_deleted(claim) and BIND_COMPLETED not in annotations_of(claim):
        return NOTHING
    if dig(volume, "spec", "claimRef", "uid") != uid_of(claim):
        steps.append(Update(PERSISTENT_VOLUMES, bound_to(volume, claim)))
    named = dig(claim, "spec", "volumeName") == name_of(volume)
    if not named or BIND_COMPLETED not in annotations_of(claim):
        added = {BIND_COMPLETED: "yes", **({} if named else {BOUND_BY_CONTROLLER: "yes"})}
        metadata = {**meta(claim), "annotations": {**annotations_of(claim), **added}}
        spec = {**claim["spec"], "volumeName": name_of(volume)}
        steps.append(Update(PERSISTENT_VOLUME_CLAIMS, {**claim, "metadata": metadata, "spec": spec}))
        return Plan(tuple(steps))
    return Plan((*steps, *_status(claim, _with_volume(claim, volume))))


def _with_volume(claim: Object, volume: Object) -> Object:
    """The status of a claim that has this volume."""
    status = {**(claim.get("status") or {}), "accessModes": dig(volume, "spec", "accessModes", default=[])}
    if status.get("phase") != "Bound":
        status |= {"phase": "Bound", "capacity": dig(volume, "spec", "capacity", default={})}
        if attributes := dig(volume, "spec", "volumeAttributesClassName"):
            status["currentVolumeAttributesClassName"] = attributes
    return status


def _without_volume(claim: Object, phase: str) -> tuple[Step, ...]:
    known = claim.get("status") or {}
    kept = {key: value for key, value in known.items() if key not in ("accessModes", "capacity")}
    return _status(claim, {**kept, "phase": phase})


def _pending(claim: Object, *notes: Note) -> Plan:
    return Plan(_without_volume(claim, "Pending"), notes)


def _lost(claim: Object, note: Note) -> Plan:
    steps = _without_volume(claim, "Lost")
    return Plan(steps, (note,) if steps else ())


def _status(claim: Object, status: Object) -> tuple[Step, ...]:
    if status == (claim.get("status") or {}):
        return ()
    return (Update(PERSISTENT_VOLUME_CLAIMS, {**claim, "status": status}, subresource="status"),)
