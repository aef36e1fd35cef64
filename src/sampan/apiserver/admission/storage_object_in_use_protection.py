"""Claims and volumes get the finalizer that keeps them while somebody uses them.

The controllers `persistentvolumeclaim-protection` and `persistentvolume-protection` take the finalizers away again.
"""

from __future__ import annotations

from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.seams import AdmissionAttributes, ServerParts

FINALIZERS = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection", "persistentvolumes": "kubernetes.io/pv-protection",
}


class StorageObjectInUseProtection(Plugin):
    name = "StorageObjectInUseProtection"
    resources = frozenset({("", plural) for plural in FINALIZERS})

    async def admit(self, attributes: AdmissionAttributes) -> None:
        assert attributes.object is not None
        metadata = attributes.object.setdefault("metadata", {})
        wanted = FINALIZERS[attributes.kind.resource.plural]
        present = metadata.get("finalizers") or []
        if wanted not in present:
            metadata["finalizers"] = [*present, wanted]


def build(parts: ServerParts) -> StorageObjectInUseProtection:
    return StorageObjectInUseProtection()
