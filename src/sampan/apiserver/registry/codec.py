"""Objects as bytes: encoded once per write, and served as they were stored.

A stored value is the JSON of the object with kind, apiVersion and metadata first and without a resourceVersion, since
the store alone knows the revision. Serving it means to splice `"resourceVersion":"N",` in right after `"metadata":{`:
for one kind that is a constant offset, so no byte of the rest is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from sampan.apimachinery.http import Pieces
from sampan.apimachinery.object import Object

_METADATA = b'"metadata":{'


def encode(obj: Object) -> bytes:
    """The stored bytes of an object: kind, apiVersion and metadata come first, other fields keep their order."""
    return encode_in_parts(obj)[0]


def encode_in_parts(obj: Object) -> tuple[bytes, int]:
    """As `encode`, and how many of the bytes follow the metadata."""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in ("resourceVersion", "selfLink")}
    rest = {k: v for k, v in obj.items() if k not in ("kind", "apiVersion", "metadata")}
    head = orjson.dumps({"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": metadata})
    tail = b",%s" % orjson.dumps(rest)[1:] if rest else b"}"
    return head[:-1] + tail, len(tail)


def metadata_of(data: bytes, rest_bytes: int) -> bytes:
    """The metadata of stored or served bytes, as they are there, given how many bytes follow it."""
    return data[data.index(_METADATA) + len(_METADATA) - 1 : len(data) - rest_bytes]


def served(stored: bytes, revision: int) -> bytes:
    """Stored bytes with their resourceVersion."""
    at = stored.index(_METADATA) + len(_METADATA)
    comma = b"" if stored[at : at + 1] == b"}" else b","
    return b'%s"resourceVersion":"%d"%s%s' % (stored[:at], revision, comma, stored[at:])


def restamp(data: bytes, revision: int) -> bytes:
    """Served bytes with another resourceVersion: the last state of a deleted object carries its deletion's."""
    start = data.index(_METADATA) + len(_METADATA) + len(b'"resourceVersion":"')
    return b"%s%d%s" % (data[:start], revision, data[data.index(b'"', start) :])


def decode(data: bytes) -> Object:
    """The object of stored or served bytes; always a new document."""
    return orjson.loads(data)  # type: ignore[no-any-return]


def decode_stored(stored: bytes, revision: int) -> Object:
    """The object of stored bytes, with its resourceVersion."""
    obj: Object = orjson.loads(stored)
    obj["metadata"]["resourceVersion"] = str(revision)
    return obj


@dataclass(frozen=True, slots=True)
class Page:
    """Where a list stands: its revision, and what follows, if anything does."""

    revision: int
    token: str = ""
    remaining: int = 0

    def metadata(self) -> Object:
        """As a list's `metadata`."""
        found: Object = {"resourceVersion": str(self.revision)}
        if self.token:
            found["continue"] = self.token
            if self.remaining:
                found["remainingItemCount"] = self.remaining
        return found


def list_document(kind: str, api_version: str, items: list[bytes], page: Page) -> Pieces:
    """A list of encoded objects."""
    head = b'{"kind":"%s","apiVersion":"%s","metadata":%s,"items":[' % (
        kind.encode(), api_version.encode(), orjson.dumps(page.metadata()),
    )
    return Pieces(head, items, b"]}\n", b",")


def event_frame(type: str, data: bytes) -> bytes:
    """A watch event around an encoded object."""
    return b'{"type":"%s","object":%s}\n' % (type.encode(), data)
