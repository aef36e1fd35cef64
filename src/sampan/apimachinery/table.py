"""Tables and partial metadata: the forms in which kubectl and metadata informers ask for objects.

`render_table` makes a `meta.k8s.io/v1 Table` from objects and columns; this module knows neither kinds nor columns, it
is handed both. A cell whose function fails shows `<unknown>` rather than costing the reader the whole list.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from sampan.apimachinery.duration import UNKNOWN, age
from sampan.apimachinery.object import Object, meta, name_of

_log = logging.getLogger(__name__)

META: Final = "meta.k8s.io/v1"


class TableColumn(Protocol):
    """What a column must have; `sampan.api.kind.Column` is one."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def cell(self) -> Callable[[Object, datetime], Any]: ...


def render_table(
    objects: Iterable[Object], columns: Sequence[TableColumn], now: datetime, *, include: str = "Metadata",
    list_metadata: Object | None = None, with_columns: bool = True,
) -> Object:
    """A Table. `include` is the query parameter includeObject: None, Metadata or Object.

    In a watch, only the first event needs the column definitions: leave them out with `with_columns=False`.
    """
    return {
        "kind": "Table", "apiVersion": META, "metadata": dict(list_metadata or {}),
        "columnDefinitions": column_definitions(columns) if with_columns else None,
        "rows": [
            {"cells": [_cell(column, obj, now) for column in columns], "object": _included(obj, include)}
            for obj in objects
        ],
    }


def column_definitions(columns: Iterable[TableColumn]) -> list[Object]:
    """As `TableColumnDefinition`s."""
    return [
        {
            "name": column.name, "type": column.type, "format": column.format, "description": column.description,
            "priority": column.priority,
        }
        for column in columns
    ]


def partial_metadata(obj: Object) -> Object:
    """A `PartialObjectMetadata`: the metadata and nothing else."""
    return {"kind": "PartialObjectMetadata", "apiVersion": META, "metadata": meta(obj)}


def partial_metadata_list(objects: Iterable[Object], list_metadata: Object | None = None) -> Object:
    """A `PartialObjectMetadataList`."""
    return {
        "kind": "PartialObjectMetadataList", "apiVersion": META, "metadata": dict(list_metadata or {}),
        "items": [partial_metadata(obj) for obj in objects],
    }


def age_cell(obj: Object, now: datetime) -> str:
    """The usual last column: how long ago the object was created."""
    return age(meta(obj).get("creationTimestamp"), now)


def name_cell(obj: Object, now: datetime) -> str:
    """The usual first column."""
    return name_of(obj)


def _cell(column: TableColumn, obj: Object, now: datetime) -> Any:
    try:
        return column.cell(obj, now)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        _log.warning("column %s of %s: %s", column.name, name_of(obj), error)
        return UNKNOWN


def _included(obj: Object, include: str) -> Object | None:
    if include == "None":
        return None
    return obj if include == "Object" else partial_metadata(obj)
