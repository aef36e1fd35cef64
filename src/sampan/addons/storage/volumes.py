"""Which volume a claim gets on this node, and which volumes of this node are to go.

Pure: what is asked for and what is there, as documents. A volume is a directory below the node's own, named after the
volume and its claim, and says by node affinity where it is. Its size is written down and not enforced, as it is with
any directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sampan.addons.storage.objects import PROVISIONER
from sampan.api.core.volume_matching import BIND_COMPLETED, SELECTED_NODE
from sampan.api.resources import PERSISTENT_VOLUMES
from sampan.apimachinery.object import (
    Object,
    annotations_of,
    dig,
    is_being_deleted,
    meta,
    name_of,
    namespace_of,
    resource_version_of,
    uid_of,
)
from sampan.client.events import NORMAL, WARNING
from sampan.reconcile.plan import NOTHING, Create, Delete, Note, Patch, Plan

PROVISIONER_OF_CLAIM = "volume.kubernetes.io/storage-provisioner"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
HOSTNAME = "kubernetes.io/hostname"
_MODES = frozenset({"ReadWriteOnce", "ReadWriteOncePod", "ReadOnlyMany"})


@dataclass(frozen=True, slots=True)
class Place:
    """A node, and the directory of it that holds the volumes."""

    node: str
    directory: Path


def is_asked_for(claim: Object, place: Place) -> bool:
    """Whether this node's provisioner has to make the claim's volume now."""
    annotations = annotations_of(claim)
    return (
        annotations.get(PROVISIONER_OF_CLAIM) == PROVISIONER and annotations.get(SELECTED_NODE) == place.node
        and BIND_COMPLETED not in annotations and not dig(claim, "spec", "volumeName") and not is_being_deleted(claim)
    )


def problem_with(claim: Object) -> str:
    """Why a directory cannot be what the claim asks for; empty if it can."""
    if dig(claim, "spec", "volumeMode", default="Filesystem") != "Filesystem":
        return "a directory is no block device: only volumeMode Filesystem is supported"
    if others := sorted(set(dig(claim, "spec", "accessModes", default=())) - _MODES):
        return f"access mode {', '.join(others)} is not supported: the volume is on one node"
    if dig(claim, "spec", "dataSource") or dig(claim, "spec", "dataSourceRef"):
        return "volumes cannot be filled from a data source"
    return ""


def refusal(claim: Object, problem: str) -> Plan:
    text = f'failed to provision volume with StorageClass "{dig(claim, "spec", "storageClassName")}": {problem}'
    return Plan(notes=(Note(claim, WARNING, "ProvisioningFailed", text),))


def provision(claim: Object, storage_class: Object, place: Place) -> Plan:
    """Write down the volume; its directory is there."""
    volume = new_volume(claim, storage_class, place)
    done = Note(claim, NORMAL, "ProvisioningSucceeded", "Successfully provisioned volume {name}")
    begun = f'External provisioner is provisioning volume for claim "{namespace_of(claim)}/{name_of(claim)}"'
    create = Create(PERSISTENT_VOLUMES, volume, created=done, on_exists=lambda existing: ())
    return Plan((create,), (Note(claim, NORMAL, "Provisioning", begun),))


def directory_of(claim: Object, place: Place) -> Path:
    return place.directory / f"pvc-{uid_of(claim)}_{namespace_of(claim)}_{name_of(claim)}"


def new_volume(claim: Object, storage_class: Object, place: Place) -> Object:
    """The volume for the claim, bound to it from the beginning."""
    here = {"key": HOSTNAME, "operator": "In", "values": [place.node]}
    return {
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{uid_of(claim)}", "annotations": {PROVISIONED_BY: PROVISIONER}, "finalizers": [FINALIZER],
        },
        "spec": {
            "accessModes": dig(claim, "spec", "accessModes", default=[]),
            "capacity": {"storage": dig(claim, "spec", "resources", "requests", "storage", default="0")},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace_of(claim),
                "name": name_of(claim), "uid": uid_of(claim), "resourceVersion": resource_version_of(claim),
            },
            "local": {"path": str(directory_of(claim, place))},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": name_of(storage_class), "volumeMode": "Filesystem",
        },
    }


def is_here(volume: Object, place: Place) -> bool:
    """Whether this provisioner made the volume, on this node."""
    path = dig(volume, "spec", "local", "path", default="")
    made = annotations_of(volume).get(PROVISIONED_BY) == PROVISIONER
    return made and bool(path) and Path(path).parent == place.directory and ".." not in Path(path).parts


def is_to_be_emptied(volume: Object) -> bool:
    """Whether nobody will ask for the data again: the claim is gone, and the policy is not to keep it."""
    spec, phase = volume.get("spec") or {}, dig(volume, "status", "phase")
    return spec.get("persistentVolumeReclaimPolicy") == "Delete" and (
        phase == "Released" or (is_being_deleted(volume) and phase != "Bound")
    )


def let_go(volume: Object) -> Plan:
    """Delete the volume, whose directory is gone or is kept; if it is being deleted, hold it no longer."""
    if not is_being_deleted(volume):
        if not is_to_be_emptied(volume):
            return NOTHING
        return Plan((Delete(PERSISTENT_VOLUMES, name_of(volume), "", uid=uid_of(volume)),))
    finalizers = meta(volume).get("finalizers") or []
    if FINALIZER not in finalizers or dig(volume, "status", "phase") == "Bound":
        return NOTHING
    kept = [one for one in finalizers if one != FINALIZER]
    metadata = {"resourceVersion": resource_version_of(volume), "finalizers": kept or None}
    return Plan((Patch(PERSISTENT_VOLUMES, name_of(volume), "", {"metadata": metadata}, "merge", missing_ok=True),))
