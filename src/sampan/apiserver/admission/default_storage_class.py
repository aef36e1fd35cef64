"""A claim that names no storage class gets the default one: of several, the newest."""

from __future__ import annotations

from sampan.api.resources import STORAGE_CLASSES
from sampan.apimachinery.object import annotations_of, meta, name_of
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.seams import AdmissionAttributes, Reader, ServerParts

DEFAULT = "storageclass.kubernetes.io/is-default-class"
_BETA_DEFAULT = "storageclass.beta.kubernetes.io/is-default-class"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


class DefaultStorageClass(Plugin):
    name = "DefaultStorageClass"
    resources = frozenset({("", "persistentvolumeclaims")})

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, attributes: AdmissionAttributes) -> None:
        claim = attributes.object
        assert claim is not None
        spec = claim.setdefault("spec", {})
        if "storageClassName" in spec or _BETA_CLASS in annotations_of(claim):
            return
        found = [
            one for one in self._reader.list(STORAGE_CLASSES)
            if "true" in (annotations_of(one).get(DEFAULT), annotations_of(one).get(_BETA_DEFAULT))
        ]
        if found:
            newest = max(str(meta(one).get("creationTimestamp", "")) for one in found)
            spec["storageClassName"] = min(
                name_of(one) for one in found if meta(one).get("creationTimestamp", "") == newest
            )


def build(parts: ServerParts) -> DefaultStorageClass:
    return DefaultStorageClass(parts.reader)
