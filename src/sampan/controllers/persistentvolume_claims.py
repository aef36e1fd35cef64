"""A PersistentVolumeClaim's way to its volume.

A claim without a volume gets the best match: the volume's claimRef is set first, then the claim's volumeName. The
claimRef, guarded by the volume's resourceVersion, is what decides: two claims cannot both win one volume. A claim that
names a volume waits for it; a bound claim whose volume is gone, or is another claim's, is Lost, for its data is.

With a class of volumeBindingMode WaitForFirstConsumer a claim waits until the scheduler has chosen a node for its first
pod (annotation `volume.kubernetes.io/selected-node`). Where no volume fits and the class has a provisioner, the claim
is marked as that provisioner's, which then makes a volume. A claim that names no class at all, not even the empty one,
gets the default class as soon as there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sampan.api.core.volume_matching import (
    BETA_CLASS,
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    NO_PROVISIONER,
    SELECTED_NODE,
    best_match,
    bound_to,
    capacity,
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
from sampan.controllers import node_fit
from sampan.reconcile.plan import NOTHING, Note, Plan, Step, Update

PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"


@dataclass(frozen=True, slots=True)
class Storage:
    """What claims are decided from, by name."""

    volumes: Mapping[str, Object] = field(default_factory=dict)
    classes: Mapping[str, Object] = field(default_factory=dict)
    nodes: Mapping[str, Object] = field(default_factory=dict)
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
    undecided = dig(claim, "spec", "storageClassName") is None and BETA_CLASS not in annotations_of(claim)
    if undecided and storage.default_class:
        spec = {**claim["spec"], "storageClassName": storage.default_class}
        return Plan((Update(PERSISTENT_VOLUME_CLAIMS, {**claim, "spec": spec}),))
    waits = waits_for_consumer(claim, storage.classes.get(class_of(claim)))
    node = storage.nodes.get(annotations_of(claim).get(SELECTED_NODE, ""))
    volume = best_match(
        claim, storage.volumes.values(), only_prebound=waits, reachable=lambda one: node is None or _reaches(one, node)
    )
    if volume is not None:
        return _bind(claim, volume)
    if waits:
        return _pending(claim, _waiting(claim, storage.unscheduled))
    if class_of(claim):
        return _provision(claim, storage.classes.get(class_of(claim)))
    text = "no persistent volumes available for this claim and no storage class is set"
    return _pending(claim, Note(claim, NORMAL, "FailedBinding", text))


def _waiting(claim: Object, pods: Sequence[str]) -> Note:
    if not pods:
        text = "waiting for first consumer to be created before binding"
        return Note(claim, NORMAL, "WaitForFirstConsumer", text)
    text = f"waiting for pod{'s' if len(pods) > 1 else ''} {','.join(pods)} to be scheduled"
    return Note(claim, NORMAL, "WaitForPodScheduled", text)


def _reaches(volume: Object, node: Object) -> bool:
    """Whether pods on the node can use the volume."""
    required = dig(volume, "spec", "nodeAffinity", "required")
    if required is None:
        return True
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return node_fit.selects_node({"affinity": affinity}, node)


def _provision(claim: Object, storage_class: Object | None) -> Plan:
    """Hand the claim to its class's provisioner."""
    if storage_class is None:
        text = f'storageclass.storage.k8s.io "{class_of(claim)}" not found'
        return _pending(claim, Note(claim, WARNING, "ProvisioningFailed", text))
    provisioner = str(storage_class.get("provisioner", ""))
    if provisioner == NO_PROVISIONER:
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
    if dig(volume, "spec", "claimRef") is None or refers_to(volume, claim):
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
    status = {
        **(claim.get("status") or {}), "phase": "Bound", "accessModes": dig(volume, "spec", "accessModes", default=[]),
        "capacity": {"storage": str(capacity(volume))},
    }
    return Plan((*steps, *_status(claim, status)))


def _pending(claim: Object, *notes: Note) -> Plan:
    return Plan(_status(claim, {**(claim.get("status") or {}), "phase": "Pending"}), notes)


def _lost(claim: Object, note: Note) -> Plan:
    steps = _status(claim, {"phase": "Lost"})
    return Plan(steps, (note,) if steps else ())


def _status(claim: Object, status: Object) -> tuple[Step, ...]:
    if status == (claim.get("status") or {}):
        return ()
    return (Update(PERSISTENT_VOLUME_CLAIMS, {**claim, "status": status}, subresource="status"),)
