"""Tables and partial metadata."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sampan.apimachinery.table import age_cell, name_cell, partial_metadata_list, render_table

NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    cell: Callable[[dict[str, Any], datetime], Any]
    description: str = ""
    format: str = ""
    priority: int = 0


COLUMNS = (
    Column("Name", "string", name_cell, "Name must be unique.", "name"),
    Column("Replicas", "integer", lambda obj, now: obj["spec"]["replicas"]),
    Column("Age", "string", age_cell, priority=1),
)
WEB = {
    "apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2},
    "metadata": {"name": "web", "creationTimestamp": "2026-01-01T00:00:00Z"},
}


def test_a_table_has_columns_cells_and_metadata() -> None:
    assert render_table([WEB], COLUMNS, NOW, list_metadata={"resourceVersion": "7"}) == {
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "7"},
        "columnDefinitions": [
            {"name": "Name", "type": "string", "format": "name", "description": "Name must be unique.", "priority": 0},
            {"name": "Replicas", "type": "integer", "format": "", "description": "", "priority": 0},
            {"name": "Age", "type": "string", "format": "", "description": "", "priority": 1},
        ],
        "rows": [{
            "cells": ["web", 2, "60m"],
            "object": {
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": WEB["metadata"],
            },
        }],
    }


def test_the_object_of_a_row_is_what_was_asked_for() -> None:
    assert render_table([WEB], COLUMNS, NOW, include="Object")["rows"][0]["object"] is WEB
    assert render_table([WEB], COLUMNS, NOW, include="None")["rows"][0]["object"] is None


def test_a_cell_that_cannot_be_filled_does_not_cost_the_table() -> None:
    assert render_table([{"metadata": {"name": "x"}}], COLUMNS, NOW)["rows"][0]["cells"] == [
        "x", "<unknown>", "<unknown>",
    ]


def test_later_events_of_a_watch_leave_the_columns_out() -> None:
    assert render_table([WEB], COLUMNS, NOW, with_columns=False)["columnDefinitions"] is None


def test_partial_metadata() -> None:
    assert partial_metadata_list([WEB], {"resourceVersion": "7"}) == {
        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "7"},
        "items": [{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": WEB["metadata"]}],
    }
