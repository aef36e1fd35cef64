"""Volume expansion: hands a claim that asks for more to whoever can enlarge its volume.

Observed: bound claims and their volumes. Desired: a claim whose request is beyond its capacity is known to a resizer.
That is always somebody else here, the resizer of a CSI driver: the claim is marked as that driver's (annotation
`volume.kubernetes.io/storage-resizer`) and an Event says what it waits for.
"""

from __future__ import annotations

from sampan.api.core.volume_matching import capacity, class_of, requested
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from sampan.apimachinery.object import Object, annotations_of, dig, is_being_deleted, meta, split_key
from sampan.client.events import NORMAL
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Note, Plan, Update

RESIZER = "volume.kubernetes.io/storage-resizer"


def plan(claim: Object, volume: Object, storage_class: Object | None) -> Plan:
    """Mark a bound claim that asks for more than its volume has."""
    if is_being_deleted(claim) or dig(claim, "status", "phase") != "Bound" or requested(claim) <= capacity(volume):
        return NOTHING
    if storage_class is None or not storage_class.get("allowVolumeExpansion"):
        return NOTHING
    text = "waiting for an external controller to expand this PVC"
    notes = (Note(claim, NORMAL, "ExternalExpanding", text),)
    resizer = str(dig(volume, "spec", "csi", "driver", default="") or storage_class.get("provisioner", ""))
    if annotations_of(claim).get(RESIZER) == resizer:
        return NOTHING
    metadata = {**meta(claim), "annotations": {**annotations_of(claim), RESIZER: resizer}}
    return Plan((Update(PERSISTENT_VOLUME_CLAIMS, {**claim, "metadata": metadata}),), notes)


class VolumeExpansionReconciler:
    """Keys are claims."""

    def __init__(self, wiring: Wiring) -> None:
        self._claims = wiring.watch(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = wiring.read(PERSISTENT_VOLUMES)
        self._classes = wiring.read(STORAGE_CLASSES)

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        claim = self._claims.get(name, namespace)
        volume = self._volumes.get(dig(claim, "spec", "volumeName", default="")) if claim else None
        return plan(claim, volume, self._classes.get(class_of(claim))) if claim and volume else NOTHING
