"""Which PersistentVolume fits a claim: asked by the binder, and by the scheduler before it chooses a node.

It must have the claim's classes (of storage and of attributes), volume mode and access modes, enough space, the labels
that the claim selects, and, when a node comes into question for the claim's first pod, be reachable from there. A
volume whose claimRef names the claim comes first, whatever its storage class and labels; of the others the one with the
fewest other access modes, then the smallest.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.apimachinery import selectors
from sampan.apimachinery.object import (
    Object,
    annotations_of,
    dig,
    is_being_deleted,
    labels_of,
    meta,
    name_of,
    namespace_of,
    resource_version_of,
    uid_of,
)
from sampan.apimachinery.quantity import Quantity

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
ZERO = Quantity.of(0)


def class_of(obj: Object) -> str:
    """The storage class of a volume or claim."""
    return str(annotations_of(obj).get(BETA_CLASS) or dig(obj, "spec", "storageClassName", default=""))


def refers_to(volume: Object, claim: Object) -> bool:
    """Whether the volume's claimRef means this claim; one without a uid means any claim of the name."""
    reference = dig(volume, "spec", "claimRef", default={})
    return (
        reference.get("name") == name_of(claim) and reference.get("namespace") == namespace_of(claim)
        and reference.get("uid") in (None, "", uid_of(claim))
    )


def requested(claim: Object) -> Quantity:
    text = dig(claim, "spec", "resources", "requests", "storage")
    return ZERO if text is None else Quantity.parse(text)


def capacity(volume: Object) -> Quantity:
    text = dig(volume, "spec", "capacity", "storage")
    return ZERO if text is None else Quantity.parse(text)


def mismatch(volume: Object, claim: Object) -> str:
    """Why the volume cannot serve the claim that asks for it by name; empty if it can."""
    if is_being_deleted(volume):
        return f'the volume is marked for deletion "{name_of(volume)}"'
    if capacity(volume) < requested(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if _attributes(volume) != _attributes(claim):
        return "volumeAttributesClassName does not match"
    if mode_of(volume) != mode_of(claim):
        return "incompatible volumeMode"
    return "" if _has_modes(volume, claim) else "incompatible accessMode"


def best_match(claim: Object, volumes: Iterable[Object], *, only_prebound: bool = False) -> Object | None:
    """The volume to bind, None if none fits. `only_prebound`: only one that names the claim."""
    return next(iter(matches(claim, volumes, only_prebound=only_prebound)), None)


def matches(claim: Object, volumes: Iterable[Object], *, only_prebound: bool = False) -> list[Object]:
    """Every volume that fits, the best first; only the one that names the claim if one does."""
    found: list[Object] = []
    wanted, kind, least = dig(claim, "spec", "selector"), class_of(claim), requested(claim)
    mode, attributes = mode_of(claim), _attributes(claim)
    selects = selectors.from_document(wanted).matches if wanted else None
    for volume in volumes:
        if is_being_deleted(volume) or mode_of(volume) != mode or _attributes(volume) != attributes:
            continue
        if capacity(volume) < least or not _has_modes(volume, claim):
            continue
        if dig(volume, "spec", "claimRef") is not None:
            if refers_to(volume, claim):
                return [volume]
            continue
        if only_prebound or dig(volume, "status", "phase") != "Available":
            continue
        if class_of(volume) != kind:
            continue
        if selects is None or selects(labels_of(volume)):
            found.append(volume)
    return sorted(found, key=lambda one: (len(_modes(one)), capacity(one).nanos, name_of(one)))


def bound_to(volume: Object, claim: Object) -> Object:
    """The volume with a claimRef to the claim; marked if it is ours to take back."""
    reference = {
        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": namespace_of(claim), "name": name_of(claim),
        "uid": uid_of(claim), "resourceVersion": resource_version_of(claim),
    }
    metadata = meta(volume)
    if dig(volume, "spec", "claimRef") is None:
        metadata = {**metadata, "annotations": {**annotations_of(volume), BOUND_BY_CONTROLLER: "yes"}}
    return {**volume, "metadata": metadata, "spec": {**volume["spec"], "claimRef": reference}}


def is_bound(claim: Object) -> bool:
    """Whether claim and volume have found each other for good."""
    return bool(dig(claim, "spec", "volumeName")) and BIND_COMPLETED in annotations_of(claim)


def binds_late(storage_class: Object | None) -> bool:
    """Whether the scheduler chooses volumes of the class, together with the node of the first pod."""
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def waits_for_consumer(claim: Object, storage_class: Object | None) -> bool:
    """Whether a pod must come first: the class says so, and no node has been chosen yet."""
    return binds_late(storage_class) and SELECTED_NODE not in annotations_of(claim)


def _modes(obj: Object) -> list[str]:
    return dig(obj, "spec", "accessModes", default=[])  # type: ignore[no-any-return]


def _has_modes(volume: Object, claim: Object) -> bool:
    return set(_modes(claim)) <= set(_modes(volume))


def _attributes(obj: Object) -> str:
    return dig(obj, "spec", "volumeAttributesClassName") or ""


def mode_of(obj: Object) -> str:
    """Filesystem or Block, of a volume or claim."""
    return dig(obj, "spec", "volumeMode") or "Filesystem"
