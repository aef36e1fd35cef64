"""`additionalPrinterColumns`: the columns of a custom resource's table, each found by a JSONPath."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sampan.api.columns import AGE, NAME, parse_time, since
from sampan.api.kind import Column
from sampan.apimachinery.jsonpath import Find, compile_path
from sampan.apimachinery.object import Object


def columns_of(version: Object) -> tuple[Column, ...]:
    """The name, then what the version names; its age when it names nothing."""
    given = version.get("additionalPrinterColumns") or []
    if not given:
        return (NAME, replace(AGE, type="date"))
    return (NAME, *(_column(one) for one in given))


def _column(given: Object) -> Column:
    path, type = given["jsonPath"], given["type"]
    return Column(
        given["name"], type, _cell(compile_path(path), type),
        given.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
        given.get("format") or "", given.get("priority") or 0,
    )


def _cell(find: Find, type: str) -> Callable[[Object, datetime], Any]:
    def cell(obj: Object, now: datetime) -> Any:
        found = find(obj)
        return None if not found or found[0] is None else _shown(found[0], type, now)

    return cell


def _shown(value: Any, type: str, now: datetime) -> Any:
    """The first value that was found; None where it is not of the column's type."""
    if type == "string":
        if isinstance(value, bool):
            return "true" if value else "false"
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if type == "date":
        if not isinstance(value, str):
            return None
        return "<invalid>" if parse_time(value) is None else since(value, now)
    if type == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if type == "integer" else value
