"""Pods get the number that their PriorityClass stands for; there is at most one global default."""

from __future__ import annotations

from typing import ClassVar

from sampan.api.resources import PRIORITY_CLASSES
from sampan.apimachinery.object import Object, name_of
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.seams import AdmissionAttributes, Operation, Reader, ServerParts

_PREEMPT = "PreemptLowerPriority"

class Priority(Plugin):
    name = "Priority"
    resources = frozenset({
        ("", "pods"), ("scheduling.k8s.io", "podgroups"), ("scheduling.k8s.io", "priorityclasses"),
    })
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._watched = reader.watched(PRIORITY_CLASSES)
        self._known: Object | None = None

    async def admit(self, attributes: AdmissionAttributes) -> None:
        if attributes.kind.resource.plural not in ("pods", "podgroups"):
            return
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        if attributes.operation == "UPDATE":
            before = (attributes.old_object or {}).get("spec") or {}
            for field in ("priority", "preemptionPolicy"):
                if spec.get(field) is None and before.get(field) is not None:
                    spec[field] = before[field]
            return
        await self._set(attributes, spec)

    async def _set(self, attributes: AdmissionAttributes, spec: Object) -> None:
        name = spec.get("priorityClassName")
        if name:
            found = await self._class(name)
            if found is None:
                raise refuse(attributes, f"no PriorityClass with name {name} was found")
        else:
            found = self._default()
            if found is not None:
                spec["priorityClassName"] = name_of(found)
        value = int(found.get("value", 0)) if found else 0
        policy = str((found or {}).get("preemptionPolicy") or _PREEMPT)
        if spec.get("priority") not in (None, value):
            raise refuse(
                attributes, f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name",
            )
        if spec.get("preemptionPolicy") not in (None, policy):
            raise refuse(
                attributes, f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided "
                f"in pod spec; priority admission controller computed {policy} from the given PriorityClass name",
            )
        spec["priority"], spec["preemptionPolicy"] = value, policy

    async def _class(self, name: str) -> Object | None:
        found = self._reader.get(PRIORITY_CLASSES, name)
        if found is None:
            await self._reader.fresh(PRIORITY_CLASSES)
            found = self._reader.get(PRIORITY_CLASSES, name)
        return found

    def _default(self) -> Object | None:
        """The global default; should there be several, the one of the lowest value, as upstream chooses."""
        if self._watched.stale:
            self._watched.stale = False
            found = [one for one in self._reader.list(PRIORITY_CLASSES) if one.get("globalDefault")]
            self._known = min(found, key=lambda one: int(one.get("value", 0)), default=None)
        return self._known

    async def validate(self, attributes: AdmissionAttributes) -> None:
        wanted = attributes.object
        if attributes.kind.resource.plural != "priorityclasses" or wanted is None or not wanted.get("globalDefault"):
            return
        await self._reader.fresh(PRIORITY_CLASSES)
        present = self._default()
        if present is not None and name_of(present) != name_of(wanted):
            raise refuse(attributes, f"PriorityClass {name_of(present)} is already marked as default. "
                                     "Only one default can exist")


def build(parts: ServerParts) -> Priority:
    return Priority(parts.reader)
