"""AlwaysPullImages: every image is pulled anew, so that nobody uses a private one only because it is on the node.

Off unless enabled, as upstream.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from sampan.apimachinery.field import Path, not_supported
from sampan.apimachinery.object import Object, dig
from sampan.apiserver.admission.plugin import PODS_ONLY, Plugin, refuse
from sampan.apiserver.seams import AdmissionAttributes, Operation, ServerParts

_KINDS = ("initContainers", "containers", "ephemeralContainers")


class AlwaysPullImages(Plugin):
    name = "AlwaysPullImages"
    resources = PODS_ONLY
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})
    subresources: ClassVar[frozenset[str]] = frozenset({"", "ephemeralcontainers"})

    async def admit(self, attributes: AdmissionAttributes) -> None:
        pod = attributes.object
        assert pod is not None
        if attributes.operation == "UPDATE" and _images(pod) <= _images(attributes.old_object or {}):
            return
        for _, container in _containers(pod):
            container["imagePullPolicy"] = "Always"
        for volume in dig(pod, "spec", "volumes", default=()):
            if volume.get("image"):
                volume["image"]["pullPolicy"] = "Always"

    async def validate(self, attributes: AdmissionAttributes) -> None:
        pod = attributes.object
        assert pod is not None
        if attributes.operation == "UPDATE" and _images(pod) <= _images(attributes.old_object or {}):
            return
        for path, container in _containers(pod):
            if container.get("imagePullPolicy") != "Always":
                policy = container.get("imagePullPolicy", "")
                raise refuse(attributes, str(not_supported(path.child("imagePullPolicy"), policy, ("Always",))))


def _containers(pod: Object) -> Iterator[tuple[Path, Object]]:
    for kind in _KINDS:
        for index, container in enumerate(dig(pod, "spec", kind, default=())):
            yield Path("spec").child(kind).index(index), container


def _images(pod: Object) -> set[str]:
    return {str(container.get("image", "")) for _, container in _containers(pod)}


def build(parts: ServerParts) -> AlwaysPullImages:
    return AlwaysPullImages()
