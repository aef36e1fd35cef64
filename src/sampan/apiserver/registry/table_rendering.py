"""Objects as rows of a `meta.k8s.io` Table: what `kubectl get` prints.

The columns come from the kind; the definitions are encoded once. `includeObject` says what each row carries of its
object: its metadata (the default), all of it, or nothing. Of the tables of a watch only the first has the columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from sampan import effects
from sampan.api.column_texts import text_of
from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.http import Pieces
from sampan.apimachinery.object import Object
from sampan.apiserver.registry import codec
from sampan.apiserver.registry.codec import Page
from sampan.apiserver.registry.entry import Entry
from sampan.apiserver.registry.rendering import Rendering

_INCLUDES = ("", "None", "Metadata", "Object")


class TableRendering:
    """Tables of one kind. `include` is None, Metadata or Object; empty is Metadata."""

    frame = staticmethod(codec.event_frame)

    def __init__(self, kind: Kind, version: str, include: str, *, headers: bool = True) -> None:
        if include not in _INCLUDES:
            raise BadRequest(
                f'Unable to convert to Table as requested: includeObject: Invalid value: "{include}": '
                "must be 'Metadata', 'Object', 'None', or empty"
            )
        self.key: object = ("table", kind.resource, version, include, headers)
        self.then: Rendering | None = TableRendering(kind, version, include, headers=False) if headers else None
        self._kind = kind
        self._include = include
        self._version = version
        self._columns = kind.columns or NAME_AND_AGE
        definitions = [
            {
                "name": column.name, "type": column.type, "format": column.format,
                "description": text_of(column), "priority": column.priority,
            }
            for column in self._columns
        ]
        self._head = b'{"kind":"Table","apiVersion":"meta.k8s.io/%s","metadata":' % version.encode()
        self._definitions = b',"columnDefinitions":%s,"rows":[' % orjson.dumps(definitions if headers else None)

    def item(self, entry: Entry) -> bytes:
        return self._table({"resourceVersion": str(entry.revision)}, [self._row(entry)]).joined()

    def collection(self, entries: Iterable[Entry], page: Page) -> Pieces:
        order = self._kind.table_order
        if order is not None:
            entries = sorted(entries, key=lambda entry: order(entry.object()))
        return self._table(page.metadata(), [self._row(entry) for entry in entries], b"]}\n")

    def bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        metadata: Object = {"resourceVersion": str(revision)}
        if annotations:
            metadata["annotations"] = annotations
        return self._table(metadata, []).joined()

    def _table(self, metadata: Object, rows: list[bytes], tail: bytes = b"]}") -> Pieces:
        """By default one that a watch event can hold: in one line."""
        return Pieces(self._head + orjson.dumps(metadata) + self._definitions, rows, tail, b",")

    def _row(self, entry: Entry) -> bytes:
        obj = entry.object()
        if self._kind.from_storage is not None:
            obj = self._kind.from_storage(obj)
        now = effects.now()
        cells = [_cell(column.cell(obj, now)) for column in self._columns]
        row: Object = {"cells": cells}
        conditions = self._kind.row_conditions(obj) if self._kind.row_conditions is not None else None
        if conditions:
            row["conditions"] = conditions
        if self._include == "Object":
            row["object"] = obj
        elif self._include != "None":
            row["object"] = {
                "kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{self._version}",
                "metadata": obj["metadata"],
            }
        return orjson.dumps(row)


def _cell(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None), list)) else str(value)
