"""OwnerReferencesPermissionEnforcement: who sets an owner could delete the object; who blocks an owner's deletion, too.

Owners decide when an object is collected, so changing them needs the right to delete it, and `blockOwnerDeletion` the
right to update the owner's finalizers. Off unless enabled, as upstream.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from sampan.apimachinery.object import Object, meta
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.seams import AdmissionAttributes, Attributes, Operation, ServerParts


class OwnerReferencesPermissionEnforcement(Plugin):
    name = "OwnerReferencesPermissionEnforcement"
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})

    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts

    def interested(self, attributes: AdmissionAttributes) -> bool:
        if attributes.operation not in self.operations or attributes.object is None:
            return False
        resource = attributes.kind.resource
        return not (resource.plural == "pods" and not resource.group and attributes.subresource == "status")

    async def validate(self, attributes: AdmissionAttributes) -> None:
        new, old = _owners(attributes.object), _owners(attributes.old_object)
        if new == old:
            return
        if attributes.operation != "CREATE":  # what one creates oneself, one may give an owner
            await self._check_deletion(attributes)
        for owner in _newly_blocking(new, old):
            await self._check_blocking(attributes, owner)

    async def _check_deletion(self, attributes: AdmissionAttributes) -> None:
        where = (attributes.subresource, attributes.namespace, attributes.name)
        reason = await self._refusal(attributes, "delete", attributes.kind.resource, where)
        if reason is not None:
            raise refuse(attributes, f"cannot set an ownerRef on a resource you can't delete: {reason}, <nil>")

    async def _check_blocking(self, attributes: AdmissionAttributes, owner: Object) -> None:
        version, kind = str(owner.get("apiVersion", "")), str(owner.get("kind", ""))
        found = next(
            (one.resource for one in self._parts.kinds()
             if one.resource.api_version == version and one.resource.kind == kind), None,
        )
        if found is None:
            raise refuse(
                attributes, "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for "
                f"APIVersion {version} Kind {kind}: no matches for kind \"{kind}\" in version \"{version}\"",
            )
        namespace = attributes.namespace if found.namespaced else ""
        reason = await self._refusal(
            attributes, "update", found, ("finalizers", namespace, str(owner.get("name", "")))
        )
        if reason is not None:
            raise refuse(
                attributes, "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set "
                f"finalizers on: {reason}, <nil>",
            )

    async def _refusal(
        self, attributes: AdmissionAttributes, verb: str, resource: Resource, where: tuple[str, str, str]
    ) -> str | None:
        """Why the user may not; None if they may. `where` is subresource, namespace and name."""
        subresource, namespace, name = where
        verdict = await self._parts.authorize(Attributes(
            attributes.user, verb, group=resource.group, version=resource.version, resource=resource.plural,
            subresource=subresource, namespace=namespace, name=name,
        ))
        return None if verdict.allowed else verdict.reason


def _owners(obj: Object | None) -> list[Any]:
    return list(meta(obj or {}).get("ownerReferences") or ())


def _newly_blocking(new: list[Any], old: list[Any]) -> Iterator[Object]:
    blocked = {owner.get("uid") for owner in old if owner.get("blockOwnerDeletion")}
    return (owner for owner in new if owner.get("blockOwnerDeletion") and owner.get("uid") not in blocked)


def build(parts: ServerParts) -> OwnerReferencesPermissionEnforcement | None:
    return OwnerReferencesPermissionEnforcement(parts) if parts.config.authorization else None
