"""What the handlers of stored kinds work with: the tables, the caches, the read path and the write path."""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.api.kind import Kind
from sampan.apimachinery.http import Request
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.negotiation import PROTOBUF, Accepted
from sampan.apiserver.registry.hub import Hub
from sampan.apiserver.registry.kind_table import KindTable
from sampan.apiserver.registry.protobuf_rendering import ProtobufPartial, ProtobufRendering
from sampan.apiserver.registry.reading import ReadPath
from sampan.apiserver.registry.rendering import Partial, Plain, Rendering, View
from sampan.apiserver.registry.table_rendering import TableRendering
from sampan.apiserver.registry.writing import WritePath
from sampan.apiserver.seams import ServerParts


@dataclass(slots=True)
class Backend:
    """One server's machinery for stored kinds."""

    config: APIServerConfig
    table: KindTable
    hub: Hub
    reads: ReadPath
    writes: WritePath
    parts: ServerParts
    _renderings: dict[tuple[object, ...], Rendering] = field(default_factory=dict)

    def rendering(self, kind: Kind, accepted: Accepted, request: Request) -> Rendering:
        """How this request's objects go out; the same object for all requests that want the same."""
        shown_as = accepted.shown_as
        include = request.param("includeObject") if shown_as == "Table" else ""
        key = (kind.resource, accepted.media == PROTOBUF, shown_as, accepted.version if shown_as else "", include)
        found = self._renderings.get(key)
        if found is None:
            found = self._renderings[key] = _rendering(kind, accepted, include)
        return found

    def forget(self, kind: Kind) -> None:
        """The kind's definition changed; so will its renderings."""
        for key in [key for key in self._renderings if key[0] == kind.resource]:
            del self._renderings[key]


def _rendering(kind: Kind, accepted: Accepted, include: str) -> Rendering:
    if accepted.media == PROTOBUF:
        return ProtobufPartial(accepted.version) if accepted.shown_as else ProtobufRendering(kind)
    if accepted.shown_as.startswith("PartialObjectMetadata"):
        return Partial(accepted.version)
    plain = Plain(kind) if kind.from_storage is None else View(kind, kind.from_storage)
    if accepted.shown_as == "Table":
        return TableRendering(kind, accepted.version, include)
    return plain
