"""One write, as the write path needs it, and what upstream calls its options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from sampan.api.kind import Kind, Subresource
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import AdmissionAttributes, Operation

Names: TypeAlias = tuple[str, ...]


@dataclass(slots=True)
class WriteRequest:
    """Which object of which kind through which subresource, by whom. `options` is the verb's options document."""

    kind: Kind
    namespace: str
    name: str
    user: UserInfo
    context: RequestContext | None = None
    dry_run: bool = False
    subresource: Subresource | None = None
    options: Object = field(default_factory=dict)
    manager: str = ""
    """Who will own the fields that this write changes; empty: ownership is not recorded."""
    managed: list[Object] | None = None
    """The managedFields that a server-side apply has worked out already."""
    admitted: bool = False
    """Whether admission has had its say already, on the document that leads to this write (a Binding, an Eviction)."""
    shares: bool = False
    """Whether what `change` gives may share parts with what it got, since all that may yet be changed in it are its
    metadata and its status. Saves reading the stored object twice."""
    unconditional: bool = True
    """Whether an update without a resourceVersion is retried on the newest state."""

    @property
    def resource(self) -> Resource:
        return self.kind.resource

    def warn(self, warnings: Iterable[str]) -> None:
        """Tell the author."""
        if self.context is not None:
            for one in warnings:
                self.context.warn(one)

    def attributes(self, operation: Operation, obj: Object | None, old: Object | None = None) -> AdmissionAttributes:
        """What admission plugins see of this write."""
        return AdmissionAttributes(
            operation=operation, kind=self.kind, document=self.kind.resource, name=self.name,
            namespace=self.namespace, user=self.user, object=obj, old_object=old,
            subresource=self.subresource.name if self.subresource else "", options=self.options,
            dry_run=self.dry_run, context=self.context,
        )
