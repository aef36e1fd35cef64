"""NamespaceAutoProvision makes the namespace of a new object; NamespaceExists insists on it for every write. Both off
unless enabled, as upstream: NamespaceLifecycle does what nearly everybody wants.
"""

from __future__ import annotations

from typing import ClassVar

from sampan.api.resources import NAMESPACES
from sampan.apimachinery import errors
from sampan.apimachinery.errors import AlreadyExists
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.seams import AdmissionAttributes, Operation, ServerParts


class _Present(Plugin):
    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts

    def interested(self, attributes: AdmissionAttributes) -> bool:
        resource = attributes.kind.resource
        is_namespace = (resource.group, resource.plural) == ("", "namespaces")
        return attributes.operation in self.operations and bool(attributes.namespace) and not is_namespace

    async def _exists(self, name: str) -> bool:
        reader = self._parts.reader
        if reader.peek(NAMESPACES, name) is None:
            await reader.fresh(NAMESPACES)
        return reader.peek(NAMESPACES, name) is not None


class NamespaceAutoProvision(_Present):
    name = "NamespaceAutoProvision"

    async def admit(self, attributes: AdmissionAttributes) -> None:
        name = attributes.namespace
        if attributes.dry_run or await self._exists(name):
            return
        try:
            await self._parts.client.create(
                NAMESPACES, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}
            )
        except AlreadyExists:
            return  # somebody else was faster
        await self._parts.reader.fresh(NAMESPACES)


class NamespaceExists(_Present):
    name = "NamespaceExists"
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE", "DELETE"})

    async def validate(self, attributes: AdmissionAttributes) -> None:
        if not await self._exists(attributes.namespace):
            raise errors.not_found(NAMESPACES, attributes.namespace)


def auto_provision(parts: ServerParts) -> NamespaceAutoProvision:
    return NamespaceAutoProvision(parts)


def exists(parts: ServerParts) -> NamespaceExists:
    return NamespaceExists(parts)
