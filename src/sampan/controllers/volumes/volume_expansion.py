"""Volume expansion: hands a claim that asks for more to whoever can enlarge its volume.

Observed: bound claims and their volumes. Desired: a claim that asks for more than it has is known to a resizer. That is
always somebody else here: the resizer of the volume's CSI driver, which finds such claims by itself. An Event on the
claim says what it waits for; and where the volume is of a kind that Kubernetes once enlarged itself, the claim is
marked as that of the driver which does it now (annotation `volume.kubernetes.io/storage-resizer`).
"""

from __future__ import annotations

from sampan.api.core.volume_matching import requested
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from sampan.apimachinery.object import Object, annotations_of, dig, is_being_deleted, meta, split_key, uid_of
from sampan.apimachinery.quantity import Quantity
from sampan.client.events import NORMAL
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Note, Plan, Update

RESIZER = "volume.kubernetes.io/storage-resizer"
MIGRATED = {
    "awsElasticBlockStore": "ebs.csi.aws.com", "azureDisk": "disk.csi.azure.com", "azureFile": "file.csi.azure.com",
    "cinder": "cinder.csi.openstack.org", "gcePersistentDisk": "pd.csi.storage.gke.io",
    "portworxVolume": "pxd.portworx.com", "vsphereVolume": "csi.vsphere.vmware.com",
}
"""Kinds of volumes, and the CSI drivers that look after them now."""


def plan(claim: Object, volume: Object) -> Plan:
    """Tell a bound claim that asks for more than it has whom it waits for."""
    has = dig(claim, "status", "capacity", "storage")
    if is_being_deleted(claim) or dig(claim, "status", "phase") != "Bound" or has is None:
        return NOTHING
    if requested(claim) <= Quantity.parse(has) or dig(volume, "spec", "claimRef", "uid") != uid_of(claim):
        return NOTHING
    driver = next((name for kind, name in MIGRATED.items() if kind in volume["spec"]), "")
    if driver and annotations_of(claim).get(RESIZER) != driver:
        metadata = {**meta(claim), "annotations": {**annotations_of(claim), RESIZER: driver}}
        return Plan((Update(PERSISTENT_VOLUME_CLAIMS, {**claim, "metadata": metadata}),))
    if driver:
        return NOTHING
    text = "waiting for an external controller to expand this PVC"
    return Plan(notes=(Note(claim, NORMAL, "ExternalExpanding", text),))


class VolumeExpansionReconciler:
    """Keys are claims."""

    def __init__(self, wiring: Wiring) -> None:
        self._claims = wiring.watch(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = wiring.read(PERSISTENT_VOLUMES)

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        claim = self._claims.get(name, namespace)
        volume = self._volumes.get(dig(claim, "spec", "volumeName", default="")) if claim else None
        return plan(claim, volume) if claim and volume else NOTHING
