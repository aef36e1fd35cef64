"""ExtendedResourceToleration: pods that ask for a device tolerate the taint that keeps others off its nodes.

Off unless enabled, as upstream.
"""

from __future__ import annotations

from typing import ClassVar

from sampan.apimachinery.object import dig
from sampan.apiserver.admission.plugin import PODS_ONLY, Plugin
from sampan.apiserver.seams import AdmissionAttributes, Operation, ServerParts


class ExtendedResourceToleration(Plugin):
    name = "ExtendedResourceToleration"
    resources = PODS_ONLY
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})

    async def admit(self, attributes: AdmissionAttributes) -> None:
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        names = {
            name for kind in ("containers", "initContainers") for container in spec.get(kind) or ()
            for name in dig(container, "resources", "requests", default=())
            if "/" in name and not name.partition("/")[0].endswith("kubernetes.io")
        }
        present = spec.get("tolerations") or []
        missing = [
            {"key": name, "operator": "Exists", "effect": "NoSchedule"} for name in sorted(names)
            if not any(one.get("key") == name and one.get("effect", "") in ("", "NoSchedule") for one in present)
        ]
        if missing:
            spec["tolerations"] = [*present, *missing]


def build(parts: ServerParts) -> ExtendedResourceToleration:
    return ExtendedResourceToleration()
