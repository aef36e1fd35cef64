"""A pod's RuntimeClass decides its overhead and adds to where it may be scheduled."""

from __future__ import annotations

from sampan.api.resources import RUNTIME_CLASSES
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import Object, dig
from sampan.apiserver.admission.plugin import PODS_ONLY, Plugin, refuse
from sampan.apiserver.seams import AdmissionAttributes, Reader, ServerParts


class RuntimeClass(Plugin):
    name = "RuntimeClass"
    resources = PODS_ONLY

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, attributes: AdmissionAttributes) -> None:
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        found = await self._find(attributes, spec)
        if found is None:
            return
        overhead = dig(found, "overhead", "podFixed")
        if overhead:
            if spec.get("overhead") not in (None, overhead):
                raise refuse(
                    attributes, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
                )
            spec["overhead"] = dict(overhead)
        self._schedule(attributes, spec, found.get("scheduling") or {})

    async def validate(self, attributes: AdmissionAttributes) -> None:
        spec = (attributes.object or {}).get("spec") or {}
        found = await self._find(attributes, spec)
        if spec.get("overhead") and not dig(found, "overhead", "podFixed"):
            raise refuse(
                attributes, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            )

    async def _find(self, attributes: AdmissionAttributes, spec: Object) -> Object | None:
        name = spec.get("runtimeClassName")
        if not name:
            return None
        found = self._reader.get(RUNTIME_CLASSES, name)
        if found is None:
            await self._reader.fresh(RUNTIME_CLASSES)
            found = self._reader.get(RUNTIME_CLASSES, name)
        if found is None:
            raise refuse(attributes, f"pod rejected: RuntimeClass {quoted(name)} not found")
        return found

    def _schedule(self, attributes: AdmissionAttributes, spec: Object, scheduling: Object) -> None:
        wanted, present = scheduling.get("nodeSelector") or {}, spec.get("nodeSelector") or {}
        for key, value in wanted.items():
            if present.get(key, value) != value:
                raise refuse(
                    attributes, f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                    f"pod.spec.nodeSelector[{key}] = {present[key]}",
                )
        if wanted:
            spec["nodeSelector"] = {**present, **wanted}
        tolerations = spec.get("tolerations") or []
        added = [one for one in scheduling.get("tolerations") or () if one not in tolerations]
        if added:
            spec["tolerations"] = [*tolerations, *added]


def build(parts: ServerParts) -> RuntimeClass:
    return RuntimeClass(parts.reader)
