"""Which PersistentVolume fits a claim.

It must have the claim's class, volume mode and access modes, enough space, the labels that the claim selects, and, when
a node has been chosen for the claim's first pod, be reachable from there. A volume whose claimRef names the claim comes
first; of the others the one with the fewest other access modes, then the smallest.
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
    name_of,
    namespace_of,
    uid_of,
)
from sampan.apimachinery.quantity import Quantity
from sampan.controllers import node_fit

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
    if capacity(volume) < requested(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if _mode(volume) != _mode(claim):
        return "incompatible volumeMode"
    return "" if _has_modes(volume, claim) else "incompatible accessMode"


def best_match(
    claim: Object, volumes: Iterable[Object], *, only_prebound: bool = False, node: Object | None = None
) -> Object | None:
    """The volume to bind, None if none fits."""
    found: list[Object] = []
    selector = dig(claim, "spec", "selector")
    matches = selectors.from_document(selector).matches if selector else None
    for volume in sorted(volumes, key=name_of):
        if is_being_deleted(volume) or _mode(volume) != _mode(claim) or capacity(volume) < requested(claim):
            continue
        if dig(volume, "spec", "claimRef") is not None:
            if refers_to(volume, claim):
                return volume
            continue
        if only_prebound or dig(volume, "status", "phase") != "Available":
            continue
        if class_of(volume) != class_of(claim) or not _has_modes(volume, claim):
            continue
        if (matches is None or matches(labels_of(volume))) and (node is None or reaches(volume, node)):
            found.append(volume)
    return min(found, key=lambda one: (len(_modes(one)), capacity(one).nanos, name_of(one)), default=None)


def reaches(volume: Object, node: Object) -> bool:
    """Whether pods on the node can use the volume."""
    required = dig(volume, "spec", "nodeAffinity", "required")
    if required is None:
        return True
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return node_fit.selects_node({"affinity": affinity}, node)


def _modes(obj: Object) -> list[str]:
    return dig(obj, "spec", "accessModes", default=[])  # type: ignore[no-any-return]


def _has_modes(volume: Object, claim: Object) -> bool:
    return set(_modes(claim)) <= set(_modes(volume))


def _mode(obj: Object) -> str:
    return str(dig(obj, "spec", "volumeMode", default="Filesystem"))
