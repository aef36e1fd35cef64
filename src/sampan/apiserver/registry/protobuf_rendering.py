"""Objects in protobuf, for the Go programs that ask for it.

An object's message is made when the first such client sees it, and kept beside its JSON; a list joins messages, a watch
event wraps one.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.kind import Kind
from sampan.apimachinery import protobuf
from sampan.apimachinery.http import Pieces
from sampan.apimachinery.object import Object
from sampan.apiserver.registry.codec import Page
from sampan.apiserver.registry.entry import Entry
from sampan.apiserver.registry.rendering import Rendering


class ProtobufRendering:
    """Whole objects of a built-in kind, also of one that another kind stores."""

    then: Rendering | None = None
    frame = staticmethod(protobuf.encode_event)

    def __init__(self, kind: Kind) -> None:
        self.key: object = ("protobuf", kind.resource.api_version)
        self._kind = kind
        self._api_version = kind.resource.api_version

    def item(self, entry: Entry) -> bytes:
        return protobuf.wrap(self._api_version, self._kind.resource.kind, self._message(entry))

    def collection(self, entries: Iterable[Entry], page: Page) -> Pieces:
        items = [self._message(entry) for entry in entries]
        return protobuf.encode_list(self._api_version, self._kind.list_kind, page.metadata(), items)

    def bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        kind = self._kind.resource.kind
        return protobuf.wrap(self._api_version, kind, self._encode(_bookmark(revision, annotations)))

    def _message(self, entry: Entry) -> bytes:
        convert = self._kind.from_storage
        if convert is not None:
            return self._encode(convert(entry.object()))
        found = entry.message
        if found is None:
            found = entry.message = self._encode(entry.object())
        return found

    def _encode(self, obj: Object) -> bytes:
        return protobuf.encode_message(self._api_version, self._kind.resource.kind, obj)


class ProtobufPartial:
    """`PartialObjectMetadata` of any kind, custom ones too."""

    then: Rendering | None = None
    frame = staticmethod(protobuf.encode_event)

    def __init__(self, version: str) -> None:
        self.key: object = ("protobuf-partial", version)
        self._api_version = f"meta.k8s.io/{version}"

    def item(self, entry: Entry) -> bytes:
        return self._wrap(self._message(entry.object()))

    def collection(self, entries: Iterable[Entry], page: Page) -> Pieces:
        items = [self._message(entry.object()) for entry in entries]
        return protobuf.encode_list(self._api_version, "PartialObjectMetadataList", page.metadata(), items)

    def bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        return self._wrap(self._message(_bookmark(revision, annotations)))

    def _message(self, obj: Object) -> bytes:
        return protobuf.encode_message(self._api_version, "PartialObjectMetadata", {"metadata": obj["metadata"]})

    def _wrap(self, message: bytes) -> bytes:
        return protobuf.wrap(self._api_version, "PartialObjectMetadata", message)


def _bookmark(revision: int, annotations: dict[str, str] | None) -> Object:
    metadata: Object = {"resourceVersion": str(revision)}
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata}
