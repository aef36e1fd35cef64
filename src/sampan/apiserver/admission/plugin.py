"""What admission plugins share: a filter by kind, operation and subresource, and the words of a refusal."""

from __future__ import annotations

from typing import ClassVar

from sampan.apimachinery.errors import Forbidden
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import meta
from sampan.apiserver.seams import AdmissionAttributes, Operation


class Plugin:
    """Base of plugins; subclasses say what they look at and override `admit`, `validate` or both.

    `resources` holds (group, plural), None means any; `subresources` holds "" for the object itself.
    """

    name: str = ""
    resources: ClassVar[frozenset[tuple[str, str]] | None] = None
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE"})
    subresources: ClassVar[frozenset[str]] = frozenset({""})

    def interested(self, attributes: AdmissionAttributes) -> bool:
        resource = attributes.kind.resource
        return (
            attributes.operation in self.operations
            and attributes.subresource in self.subresources
            and (self.resources is None or (resource.group, resource.plural) in self.resources)
        )

    async def admit(self, attributes: AdmissionAttributes) -> None:
        """Changes nothing."""

    async def validate(self, attributes: AdmissionAttributes) -> None:
        """Refuses nothing."""


PODS_ONLY = frozenset({("", "pods")})


def name_of_write(attributes: AdmissionAttributes) -> str:
    """The object's name; before it has one, its generateName, as upstream's messages show it."""
    if attributes.name:
        return attributes.name
    found = meta(attributes.object or {})
    return str(found.get("name") or found.get("generateName") or "Unknown")


def refuse(attributes: AdmissionAttributes, why: str) -> Forbidden:
    """`pods "x" is forbidden: why`, with the object's details."""
    resource = attributes.kind.resource
    name = name_of_write(attributes)
    details = {"name": name, "kind": resource.plural}
    if resource.group:
        details["group"] = resource.group
    return Forbidden(f"{resource.qualified} {quoted(name)} is forbidden: {why}", details)
