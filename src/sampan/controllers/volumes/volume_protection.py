"""Claims, volumes and VolumeAttributesClasses are kept while somebody uses them.

Observed: those three, and the pods. Desired: each carries a finalizer (admission adds it) until it is being deleted and
nobody uses it. A claim that is being deleted loses it when no pod that has a node uses the claim, which the server and
not only a copy must confirm; a volume when it is not bound any more; a class when no claim and no volume names it.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, VOLUME_ATTRIBUTES_CLASSES
from sampan.apimachinery.object import Object, dig, is_being_deleted, meta, name_of, namespace_of, split_key
from sampan.apimachinery.resource import Resource
from sampan.controllers.ownership import is_controlled_by
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Plan, Update

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
CLASS_FINALIZER = "kubernetes.io/vac-protection"


def claims_of(pod: Object) -> list[str]:
    """The names of the claims that the pod's volumes use; those made for it only until its kubelet is done with it."""
    found = []
    for volume in dig(pod, "spec", "volumes", default=()):
        if name := dig(volume, "persistentVolumeClaim", "claimName"):
            found.append(name)
        elif volume.get("ephemeral") is not None and not _is_shut_down(pod):
            found.append(f"{name_of(pod)}-{volume['name']}")
    return found


def is_used(claim: Object, pods: Iterable[Object]) -> bool:
    """Whether a pod that has a node uses the claim; kubelets do not start pods of claims that are going."""
    return any(dig(pod, "spec", "nodeName") and _uses(pod, claim) for pod in pods)


def _uses(pod: Object, claim: Object) -> bool:
    if name_of(claim) not in claims_of(pod):
        return False
    volumes = dig(pod, "spec", "volumes", default=())
    is_named = any(dig(one, "persistentVolumeClaim", "claimName") == name_of(claim) for one in volumes)
    return is_named or is_controlled_by(claim, pod)


def _is_shut_down(pod: Object) -> bool:
    """Whether nothing of the pod is left but the object: stopped for good, or deleted by force."""
    return is_being_deleted(pod) and meta(pod).get("deletionGracePeriodSeconds") == 0


def plan(resource: Resource, obj: Object, finalizer: str, *, used: bool) -> Plan:
    """Add the finalizer, or take it away from what goes and is not used."""
    present = list(meta(obj).get("finalizers") or ())
    if is_being_deleted(obj):
        if used or finalizer not in present:
            return NOTHING
        present.remove(finalizer)
    elif finalizer in present:
        return NOTHING
    else:
        present.append(finalizer)
    return Plan((Update(resource, {**obj, "metadata": {**meta(obj), "finalizers": present}}),))


class ClaimProtectionReconciler:
    """Keys are claims; a pod concerns those that it uses."""

    def __init__(self, wiring: Wiring) -> None:
        self._client = wiring.client
        self._claims = wiring.watch(PERSISTENT_VOLUME_CLAIMS)
        self._pods = wiring.watch(
            PODS, lambda pod: [f"{namespace_of(pod)}/{name}" for name in claims_of(pod)]
        )

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        claim = self._claims.get(name, namespace)
        if claim is None:
            return NOTHING
        used = is_being_deleted(claim) and is_used(claim, self._pods.list(namespace))
        if is_being_deleted(claim) and not used:
            used = is_used(claim, (await self._client.list(PODS, namespace))["items"])
        return plan(PERSISTENT_VOLUME_CLAIMS, claim, CLAIM_FINALIZER, used=used)


class VolumeProtectionReconciler:
    """Keys are volumes."""

    def __init__(self, wiring: Wiring) -> None:
        self._volumes = wiring.watch(PERSISTENT_VOLUMES)

    async def reconcile(self, key: str) -> Plan:
        volume = self._volumes.get_by_key(key)
        if volume is None:
            return NOTHING
        bound = dig(volume, "status", "phase") == "Bound"
        return plan(PERSISTENT_VOLUMES, volume, VOLUME_FINALIZER, used=bound)


class AttributesClassProtectionReconciler:
    """Keys are VolumeAttributesClasses; a claim or volume concerns the classes that it names."""

    def __init__(self, wiring: Wiring) -> None:
        self._classes = wiring.watch(VOLUME_ATTRIBUTES_CLASSES)
        self._claims = wiring.watch(PERSISTENT_VOLUME_CLAIMS, attributes_classes_of)
        self._volumes = wiring.watch(PERSISTENT_VOLUMES, attributes_classes_of)

    async def reconcile(self, key: str) -> Plan:
        found = self._classes.get_by_key(key)
        if found is None:
            return NOTHING
        users = [*self._claims.list(), *self._volumes.list()] if is_being_deleted(found) else []
        used = any(key in attributes_classes_of(user) for user in users)
        return plan(VOLUME_ATTRIBUTES_CLASSES, found, CLASS_FINALIZER, used=used)


def attributes_classes_of(obj: Object) -> list[str]:
    """The classes that a claim or volume asks for, has, or is on the way to."""
    names = (
        dig(obj, "spec", "volumeAttributesClassName"), dig(obj, "status", "currentVolumeAttributesClassName"),
        dig(obj, "status", "modifyVolumeStatus", "targetVolumeAttributesClassName"),
    )
    return sorted({name for name in names if name})
