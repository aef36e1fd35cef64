"""How an object goes out: as itself, as another kind's view of it, as its metadata, or as a row of a table.

A rendering turns one `Entry` into bytes, for a single answer, an item of a list or a watch event. `key` tells equal
renderings apart from others, so that one encoded event serves every watcher that asked for the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Final, Protocol

import orjson

from sampan.api.kind import Kind
from sampan.apimachinery.http import Pieces
from sampan.apimachinery.object import Object
from sampan.apiserver.registry import codec
from sampan.apiserver.registry.codec import Page
from sampan.apiserver.registry.entry import Entry


class Rendering(Protocol):
    """See the module."""

    key: object
    then: Rendering | None
    """What renders the events of a watch after the first, if that is another."""

    def item(self, entry: Entry) -> bytes:
        """As the object of a watch event, or a whole answer."""

    def collection(self, entries: Iterable[Entry], page: Page) -> Pieces:
        """A list."""

    def bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        """The object of a BOOKMARK event."""

    def frame(self, type: str, data: bytes, /) -> bytes:
        """A watch event around an object as `item` gives it."""


_DATA: Final = attrgetter("data")


class Plain:
    """The object as stored."""

    then: Rendering | None = None
    frame = staticmethod(codec.event_frame)

    def __init__(self, kind: Kind) -> None:
        self.key: object = ("plain", kind.resource.api_version)
        self._kind = kind

    def item(self, entry: Entry) -> bytes:
        return entry.data

    def collection(self, entries: Iterable[Entry], page: Page) -> Pieces:
        return self._list(list(map(_DATA, entries)), page)

    def _list(self, items: list[bytes], page: Page) -> Pieces:
        kind = self._kind
        return codec.list_document(kind.list_kind, kind.resource.api_version, items, page)

    def bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        resource = self._kind.resource
        return orjson.dumps(_bookmark(resource.kind, resource.api_version, revision, annotations))


class View(Plain):
    """The object through `Kind.from_storage`: a kind that another kind stores."""

    def __init__(self, kind: Kind, convert: Callable[[Object], Object]) -> None:
        super().__init__(kind)
        self.key = ("view", kind.resource.api_version)
        self._convert = convert

    def item(self, entry: Entry) -> bytes:
        return orjson.dumps(self._convert(entry.object()))

    def collection(self, entries: Iterable[Entry], page: Page) -> Pieces:
        return self._list([self.item(entry) for entry in entries], page)


class Partial:
    """`PartialObjectMetadata`: kind, apiVersion and metadata only."""

    then: Rendering | None = None
    frame = staticmethod(codec.event_frame)

    def __init__(self, version: str = "v1") -> None:
        self._api_version = f"meta.k8s.io/{version}"
        self.key: object = ("partial", version)
        self._head = b'{"kind":"PartialObjectMetadata","apiVersion":"%s","metadata":' % self._api_version.encode()

    def item(self, entry: Entry) -> bytes:
        return b"%s%s}" % (self._head, entry.metadata())

    def collection(self, entries: Iterable[Entry], page: Page) -> Pieces:
        items = [self.item(entry) for entry in entries]
        kind = "PartialObjectMetadataList"
        return codec.list_document(kind, self._api_version, items, page)

    def bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        return orjson.dumps(_bookmark("PartialObjectMetadata", self._api_version, revision, annotations))


def _bookmark(kind: str, api_version: str, revision: int, annotations: dict[str, str] | None) -> Object:
    metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    return {"kind": kind, "apiVersion": api_version, "metadata": metadata}
