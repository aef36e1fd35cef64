"""Nothing is created in a namespace that does not exist or is being deleted; the first three namespaces stay.

What was left behind by a namespace that is gone may be changed, say by a migration of its storage, and deleted.
"""

from __future__ import annotations

from typing import ClassVar

from sampan import effects
from sampan.api.resources import NAMESPACES
from sampan.apimachinery import errors
from sampan.apimachinery.errors import Forbidden
from sampan.apimachinery.object import Object, is_being_deleted
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.seams import AdmissionAttributes, Operation, Reader, ServerParts

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})

LOOK_S = 30.0
"""How long after its deletion a namespace is looked at twice before anything is created in it."""


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "DELETE"})

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._going: dict[str, float] = {}
        """Namespaces whose deletion was asked for here, until when the cache may not show it yet."""

    def interested(self, attributes: AdmissionAttributes) -> bool:
        if attributes.operation not in self.operations:
            return False
        if attributes.kind.resource.plural == "namespaces" and not attributes.kind.resource.group:
            return attributes.operation == "DELETE"
        return attributes.operation != "DELETE" and bool(attributes.namespace)

    async def admit(self, attributes: AdmissionAttributes) -> None:
        if attributes.operation == "DELETE":
            if attributes.name in IMMORTAL:
                raise refuse(attributes, "this namespace may not be deleted")
            self._note(attributes.name)
            return
        namespace = await self._find(attributes.namespace)
        if namespace is None:
            raise errors.not_found(NAMESPACES, attributes.namespace)
        if _terminating(namespace):
            raise _being_deleted(attributes)

    def _note(self, name: str) -> None:
        now = effects.monotonic()
        self._going = {other: until for other, until in self._going.items() if until > now}
        self._going[name] = now + LOOK_S

    async def _find(self, name: str) -> Object | None:
        found = self._reader.peek(NAMESPACES, name)
        if found is None or (self._going and self._going.get(name, 0.0) > effects.monotonic()):
            await self._reader.fresh(NAMESPACES)
            found = self._reader.peek(NAMESPACES, name)
        return found


def _being_deleted(attributes: AdmissionAttributes) -> Forbidden:
    where = attributes.namespace
    error = refuse(attributes, f"unable to create new content in namespace {where} because it is being terminated")
    cause = {
        "reason": "NamespaceTerminating", "message": f"namespace {where} is being terminated",
        "field": "metadata.namespace",
    }
    error.details = {**(error.details or {}), "causes": [cause]}
    return error


def _terminating(namespace: Object) -> bool:
    return is_being_deleted(namespace) or (namespace.get("status") or {}).get("phase") == "Terminating"


def build(parts: ServerParts) -> NamespaceLifecycle:
    return NamespaceLifecycle(parts.reader)
