"""PodTopologyLabels: a pod gets the zone and region of its node as labels, when it is bound or made for a node.

Labels that the pod has already stay. Through the Binding the labels reach the pod in the write that binds it.
"""

from __future__ import annotations

from typing import ClassVar, Final

from sampan.api.resources import NODES
from sampan.apimachinery.object import dig, labels_of
from sampan.apiserver.admission.plugin import PODS_ONLY, Plugin
from sampan.apiserver.seams import AdmissionAttributes, Operation, Reader, ServerParts

COPIED: Final = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels(Plugin):
    name = "PodTopologyLabels"
    resources = PODS_ONLY
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE"})
    subresources: ClassVar[frozenset[str]] = frozenset({"", "binding"})

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, attributes: AdmissionAttributes) -> None:
        obj = attributes.object
        assert obj is not None
        if attributes.subresource:
            node = dig(obj, "target", "name") if dig(obj, "target", "kind") == "Node" else ""
        else:
            node = dig(obj, "spec", "nodeName")
        if not node:
            return
        found = self._reader.peek(NODES, node)
        if found is None:
            await self._reader.fresh(NODES)
            found = self._reader.peek(NODES, node)
        copied = {key: value for key, value in labels_of(found or {}).items() if key in COPIED}
        if copied:
            metadata = obj.setdefault("metadata", {})
            metadata["labels"] = {**copied, **(metadata.get("labels") or {})}


def build(parts: ServerParts) -> PodTopologyLabels:
    return PodTopologyLabels(parts.reader)
