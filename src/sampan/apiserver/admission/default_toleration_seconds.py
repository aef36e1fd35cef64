"""Pods tolerate an unready or unreachable node for five minutes unless they say otherwise."""

from __future__ import annotations

from typing import ClassVar

from sampan.apimachinery.object import Object
from sampan.apiserver.admission.plugin import PODS_ONLY, Plugin
from sampan.apiserver.seams import AdmissionAttributes, Operation, ServerParts

SECONDS = 300
TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Plugin):
    name = "DefaultTolerationSeconds"
    resources = PODS_ONLY
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})

    async def admit(self, attributes: AdmissionAttributes) -> None:
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        present = spec.get("tolerations") or []
        missing = [taint for taint in TAINTS if not any(_tolerates(toleration, taint) for toleration in present)]
        if missing:
            spec["tolerations"] = [*present, *(_for(taint) for taint in missing)]


def _tolerates(toleration: Object, taint: str) -> bool:
    return toleration.get("key", "") in (taint, "") and toleration.get("effect", "") in ("NoExecute", "")


def _for(taint: str) -> Object:
    return {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}


def build(parts: ServerParts) -> DefaultTolerationSeconds:
    return DefaultTolerationSeconds()
