"""A claim may grow only if its storage class allows it."""

from __future__ import annotations

from typing import ClassVar

from sampan.api.resources import STORAGE_CLASSES
from sampan.apimachinery.object import dig
from sampan.apimachinery.quantity import Quantity
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.seams import AdmissionAttributes, Operation, Reader, ServerParts


class PersistentVolumeClaimResize(Plugin):
    name = "PersistentVolumeClaimResize"
    resources = frozenset({("", "persistentvolumeclaims")})
    operations: ClassVar[frozenset[Operation]] = frozenset({"UPDATE"})

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def validate(self, attributes: AdmissionAttributes) -> None:
        new, old = attributes.object, attributes.old_object
        sizes = [dig(claim, "spec", "resources", "requests", "storage") for claim in (new, old)]
        if None in sizes or Quantity.parse(sizes[0]) <= Quantity.parse(sizes[1]):
            return
        if dig(old, "status", "phase") != "Bound":
            raise refuse(attributes, "Only bound persistent volume claims can be expanded")
        found = self._reader.get(STORAGE_CLASSES, dig(new, "spec", "storageClassName", default=""))
        if found is None or not found.get("allowVolumeExpansion"):
            raise refuse(
                attributes, "only dynamically provisioned pvc can be resized and the storageclass that provisions the "
                "pvc must support resize",
            )


def build(parts: ServerParts) -> PersistentVolumeClaimResize:
    return PersistentVolumeClaimResize(parts.reader)
