"""An Ingress that names no class gets the default one: of several, the newest."""

from __future__ import annotations

from sampan.api.resources import INGRESS_CLASSES
from sampan.apimachinery.object import annotations_of, meta, name_of
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.seams import AdmissionAttributes, Reader, ServerParts

DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_OLD_CLASS = "kubernetes.io/ingress.class"


class DefaultIngressClass(Plugin):
    name = "DefaultIngressClass"
    resources = frozenset({("networking.k8s.io", "ingresses")})

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, attributes: AdmissionAttributes) -> None:
        ingress = attributes.object
        assert ingress is not None
        spec = ingress.setdefault("spec", {})
        if spec.get("ingressClassName") is not None or _OLD_CLASS in annotations_of(ingress):
            return
        found = [one for one in self._reader.list(INGRESS_CLASSES) if annotations_of(one).get(DEFAULT) == "true"]
        if found:
            newest = max(str(meta(one).get("creationTimestamp", "")) for one in found)
            spec["ingressClassName"] = min(
                name_of(one) for one in found if meta(one).get("creationTimestamp", "") == newest
            )


def build(parts: ServerParts) -> DefaultIngressClass:
    return DefaultIngressClass(parts.reader)
