"""Defaults of a structural schema, put where a value is missing, or null where the schema allows no null."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import orjson

from sampan.apimachinery.object import Object

Default: TypeAlias = Callable[[Any], bool]
"""Completes a value in place; whether anything was missing."""


def compile_defaults(raw: Object) -> Default | None:
    """None when the schema has no default anywhere, which is the usual case."""
    fields = {
        name: (orjson.dumps(body["default"]) if "default" in body else None, compile_defaults(body),
               bool(body.get("nullable")))
        for name, body in (raw.get("properties") or {}).items() if isinstance(body, dict)
    }
    fields = {name: entry for name, entry in fields.items() if entry[0] is not None or entry[1] is not None}
    items = compile_defaults(raw["items"]) if isinstance(raw.get("items"), dict) else None
    more = raw.get("additionalProperties")
    values = compile_defaults(more) if isinstance(more, dict) else None
    if not fields and items is None and values is None:
        return None

    def complete(value: Any) -> bool:
        changed = False
        if isinstance(value, dict):
            for name, (encoded, below, nullable) in fields.items():
                if encoded is not None and (name not in value or (value[name] is None and not nullable)):
                    value[name] = orjson.loads(encoded)
                    changed = True
                if below is not None and name in value:
                    changed |= below(value[name])
            if values is not None:
                for name, item in value.items():
                    if name not in fields:
                        changed |= values(item)
        elif isinstance(value, list) and items is not None:
            for item in value:
                changed |= items(item)
        return changed

    return complete
