"""One object as the watch cache keeps it: its served bytes, and what selectors ask for."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import NamedTuple

import orjson

from sampan.api.kind import Kind
from sampan.apimachinery.object import Object
from sampan.apiserver.registry import codec
from sampan.apiserver.registry.keys import local_key

_NO_STRINGS: Mapping[str, str] = {}


class Known(NamedTuple):
    """What the write path knows of bytes that it stores: their object, and how many of them follow its metadata."""

    object: Object
    rest_bytes: int


class Entry:
    """A state of one object. Immutable; `data` holds its resourceVersion.

    There may be hundreds of thousands, so names are cut from the key when they are asked for, and kept only there.
    """

    __slots__ = ("data", "fields", "key", "labels", "message", "namespace", "rest_bytes", "revision")

    def __init__(self, kind: Kind, key: str, stored: bytes, revision: int, known: Known | None = None) -> None:
        """`known` is what `stored` was encoded from, where it is at hand."""
        obj: Object = orjson.loads(stored) if known is None else known.object
        self.rest_bytes = 0 if known is None else known.rest_bytes
        """How many bytes of `data` follow the metadata; 0 if nobody knows."""
        if kind.custom is not None and kind.custom.on_read(obj):
            stored, self.rest_bytes = codec.encode_in_parts(obj)
        metadata = obj["metadata"]
        self.key = key
        self.namespace = intern(metadata.get("namespace") or "")
        self.revision = revision
        self.data = codec.served(stored, revision)
        self.message: bytes | None = None
        """In protobuf, once someone asked for it."""
        labels = metadata.get("labels")
        self.labels: Mapping[str, str] = (labels if known is None else labels.copy()) if labels else _NO_STRINGS
        self.fields: Mapping[str, str] = kind.fields(obj) if kind.field_names else _NO_STRINGS

    @classmethod
    def of(cls, kind: Kind, obj: Object) -> Entry:
        """An entry that is in no cache, of an object with its resourceVersion."""
        metadata = obj["metadata"]
        revision = int(metadata.get("resourceVersion") or 0)
        key = local_key(metadata.get("namespace") or "", metadata.get("name") or "")
        entry = cls(kind, key, codec.encode(obj), revision)
        entry.data, entry.rest_bytes = orjson.dumps(obj), 0
        return entry

    def at(self, revision: int) -> Entry:
        """The same state under another revision: the last state of a deleted object carries its deletion's."""
        twin: Entry = Entry.__new__(Entry)
        twin.key, twin.namespace = self.key, self.namespace
        twin.labels, twin.fields, twin.revision = self.labels, self.fields, revision
        twin.data = codec.restamp(self.data, revision)
        twin.rest_bytes = self.rest_bytes
        twin.message = None
        return twin

    @property
    def name(self) -> str:
        return self.key[len(self.namespace) + 1 :] if self.namespace else self.key

    def object(self) -> Object:
        """A new document."""
        return orjson.loads(self.data)  # type: ignore[no-any-return]

    def metadata(self) -> bytes:
        """The object's metadata, encoded."""
        if self.rest_bytes:
            return codec.metadata_of(self.data, self.rest_bytes)
        return orjson.dumps(self.object()["metadata"])

    def metadata_fields(self) -> Mapping[str, str]:
        """What field selectors see of the metadata."""
        return {"metadata.name": self.name, "metadata.namespace": self.namespace}
