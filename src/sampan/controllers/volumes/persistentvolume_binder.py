"""The PersistentVolume binder: brings claims and volumes together, and says what becomes of a volume afterwards.

Observed: claims, volumes, StorageClasses. Desired: each claim has a volume that fits and is nobody else's, and each
volume's phase is true. Keys with a slash are claims (see `persistentvolume_claims`), the others volumes. A volume
without a claim is Available, one whose claim has it is Bound. When its claim is gone, which the server and not a copy
must confirm, it is Released: with the reclaim policy Retain it stays so until an administrator decides; with Delete its
provisioner deletes it; with Recycle a pod empties it (`volume_recycler`). What no provisioner made this controller
cannot delete, because it sees no node's disk: such a volume becomes Failed and says so.
"""

from __future__ import annotations

from sampan.api.core.volume_matching import BIND_COMPLETED, mode_of
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from sampan.apimachinery import errors
from sampan.apimachinery.object import (
    Object,
    annotations_of,
    dig,
    key_of,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from sampan.client.events import WARNING
from sampan.controllers.pods import is_active
from sampan.controllers.volumes.persistentvolume_claims import Storage, plan_claim
from sampan.controllers.volumes.volume_figures import readings
from sampan.controllers.volumes.volume_phase import phase_of_volume, unbound
from sampan.controllers.volumes.volume_protection import claims_of
from sampan.controllers.volumes.volume_recycler import VolumeRecycler, volume_of
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Note, Plan, Update

BY_CLAIM = "claim"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_NOT_SOURCES = frozenset({
    "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
    "storageClassName", "volumeAttributesClassName", "volumeMode",
})


def plan_volume(volume: Object, claim: Object | None) -> Plan:
    """The next step of a volume. `claim` is the one that its claimRef names, None if that is gone."""
    reference = dig(volume, "spec", "claimRef")
    if reference is None or not reference.get("uid"):
        return phase_of_volume(volume, "Available")
    if claim is None or uid_of(claim) != reference["uid"]:
        return _reclaim(volume)
    wanted = dig(claim, "spec", "volumeName", default="")
    if wanted == name_of(volume):
        return phase_of_volume(volume, "Bound")
    if not wanted:
        return NOTHING if mode_of(claim) == mode_of(volume) else _wrong_mode(volume, claim)  # the claim's turn is next
    if PROVISIONED_BY in annotations_of(volume) and _policy(volume) == "Delete":
        return _reclaim(volume)
    return Plan((Update(PERSISTENT_VOLUMES, unbound(volume)),))


def _wrong_mode(volume: Object, claim: Object) -> Plan:
    """What an administrator or a provisioner made for a claim that it can never serve."""
    text = "Cannot bind PersistentVolume{} to requested PersistentVolumeClaim{} due to incompatible volumeMode."
    return Plan(notes=(
        Note(volume, WARNING, "VolumeMismatch", text.format("", f' "{name_of(claim)}"')),
        Note(claim, WARNING, "VolumeMismatch", text.format(f' "{name_of(volume)}"', "")),
    ))


def _reclaim(volume: Object) -> Plan:
    """The claim is gone."""
    phase = dig(volume, "status", "phase")
    policy = _policy(volume)
    if policy != "Delete" or PROVISIONED_BY in annotations_of(volume) or phase not in ("Released", "Failed"):
        return NOTHING if phase == "Failed" else phase_of_volume(volume, "Released")
    if phase == "Failed":
        return NOTHING
    kind = next((field for field in sorted(volume["spec"]) if field not in _NOT_SOURCES), "")
    text = (
        f'error getting deleter volume plugin for volume "{name_of(volume)}": no deletable volume plugin matched: '
        f"{kind} volumes that no provisioner made are deleted by hand"
    )
    return phase_of_volume(volume, "Failed", "VolumeFailedDelete", text)


def awaits_recycling(volume: Object, claim: Object | None) -> bool:
    """Whether the volume's claim is gone and its data is to go."""
    uid = dig(volume, "spec", "claimRef", "uid", default="")
    is_lost = bool(uid) and (claim is None or uid_of(claim) != uid)
    return is_lost and _policy(volume) == "Recycle" and dig(volume, "status", "phase") in ("Released", "Failed")


def _policy(volume: Object) -> str:
    return str(dig(volume, "spec", "persistentVolumeReclaimPolicy", default="Retain"))


class PersistentVolumeBinder:
    """Keys are claims (`namespace/name`) and volumes (`name`)."""

    def __init__(self, wiring: Wiring, recycler_image: str = "") -> None:
        self._client = wiring.client
        self._claims = wiring.watch(PERSISTENT_VOLUME_CLAIMS, self._of_claim)
        self._volumes = wiring.watch(PERSISTENT_VOLUMES, self._of_volume)
        self._classes = wiring.watch(STORAGE_CLASSES, lambda one: self._waiting())
        self._pods = wiring.watch(PODS, volume_of)
        self._pods.add_index(BY_CLAIM, lambda pod: [f"{namespace_of(pod)}/{name}" for name in claims_of(pod)])
        self._recycler = VolumeRecycler(wiring.client, self._pods, recycler_image)
        wiring.measure(*readings(self._volumes.list, self._claims.list))

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        if namespace:
            claim = self._claims.get(name, namespace)
            return plan_claim(claim, self._storage(key)) if claim is not None else NOTHING
        volume = self._volumes.get(name)
        if volume is None:
            return NOTHING
        claim = await self._claim_of(volume)
        if awaits_recycling(volume, claim):
            reference = dig(volume, "spec", "claimRef")
            users = self._pods.by_index(BY_CLAIM, f"{reference.get('namespace')}/{reference.get('name')}")
            return await self._recycler.recycle(volume, users)
        return plan_volume(volume, claim)

    def _storage(self, claim: str) -> Storage:
        users = [pod for pod in self._pods.by_index(BY_CLAIM, claim) if not dig(pod, "spec", "nodeName")]
        volumes, classes = ({name_of(one): one for one in lister.list()} for lister in (self._volumes, self._classes))
        return Storage(volumes, classes, sorted(name_of(pod) for pod in users if is_active(pod)))

    async def _claim_of(self, volume: Object) -> Object | None:
        """The claim of the volume's claimRef. That one is gone is asked of the server, for data hangs on it."""
        reference = dig(volume, "spec", "claimRef", default={})
        namespace, name = reference.get("namespace", ""), reference.get("name", "")
        found = self._claims.get(name, namespace)
        if (found is not None and uid_of(found) == reference.get("uid")) or not reference.get("uid"):
            return found
        try:
            return await self._client.get(PERSISTENT_VOLUME_CLAIMS, name, namespace)
        except errors.NotFound:
            return None

    def _of_claim(self, claim: Object) -> list[str]:
        volume = dig(claim, "spec", "volumeName", default="")
        return [key_of(claim), *([volume] if volume else [])]

    def _of_volume(self, volume: Object) -> list[str]:
        """Itself, its claim, and every claim that names it or still looks for one."""
        keys = [name_of(volume)]
        reference = dig(volume, "spec", "claimRef")
        if reference is not None:
            keys.append(f"{reference.get('namespace')}/{reference.get('name')}")
        named = [key_of(one) for one in self._claims.list() if dig(one, "spec", "volumeName") == name_of(volume)]
        return keys + sorted(named) + (self._waiting() if reference is None else [])

    def _waiting(self) -> list[str]:
        return sorted(
            key_of(claim) for claim in self._claims.list()
            if BIND_COMPLETED not in annotations_of(claim) and not dig(claim, "spec", "volumeName")
        )
