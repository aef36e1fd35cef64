"""Whether what is applied has the kind's shape, in the words of structured-merge-diff.

An apply is a set of fields before it is an object, so it is judged by the schema's shape alone: a field that the schema
does not have, a scalar, list or map where it wants another, an item twice in a list of keys. Each complaint begins with
its path: `.spec.containers[name="a"].imagee: field not declared in schema`.
"""

from __future__ import annotations

import json
from typing import Any, Final

from sampan.apimachinery.apply.fieldset import FieldPath, display
from sampan.apimachinery.apply.values import element_of
from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.go_values import show
from sampan.apimachinery.object import Object, name_of, namespace_of
from sampan.apimachinery.schema.compile import Schema

_NUMERIC: Final = "numeric (int or float)"
_SCALARS: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "string": ((str,), "string"), "bytes": ((str,), "string"), "boolean": ((bool,), "boolean"),
    "integer": ((int, float), _NUMERIC), "number": ((int, float), _NUMERIC),
}
_GO_TYPES: Final = {bool: "bool", str: "string", list: "[]interface {}", dict: "map[string]interface {}"}


def check(applied: Object, schema: Schema | None) -> None:
    """Raises BadRequest with every complaint."""
    found: list[str] = []
    if schema is not None:
        _walk(applied, schema, (), found)
    if found:
        what = found[0] if len(found) == 1 else "\n  ".join(["errors:", *found])
        raise BadRequest(f"failed to create typed patch object ({_identity(applied)}): {what}")


def _identity(applied: Object) -> str:
    version, kind = applied.get("apiVersion", ""), applied.get("kind", "")
    return f"{namespace_of(applied)}/{name_of(applied)}; {version}, Kind={kind}"


def _walk(value: Any, schema: Schema, path: FieldPath, found: list[str]) -> None:
    if value is None:
        return
    if schema.kind in ("object", "map"):
        _object(value, schema, path, found)
    elif schema.kind == "list":
        _list(value, schema, path, found)
    elif schema.kind in _SCALARS:
        types, name = _SCALARS[schema.kind]
        if not isinstance(value, types) or (isinstance(value, bool) and name != "boolean"):
            found.append(_complaint(path, f"expected {name}, got {_shown(value, name)}"))


def _object(value: Any, schema: Schema, path: FieldPath, found: list[str]) -> None:
    if not isinstance(value, dict):
        found.append(_complaint(path, f"expected map, got {_boxed(value)}"))
        return
    for key, item in value.items():
        child = schema.child(key) or schema.values
        if child is not None:
            _walk(item, child, (*path, f"f:{key}"), found)
        elif schema.kind == "object" and schema.field_names and not schema.admits_unknown:
            found.append(_complaint((*path, f"f:{key}"), "field not declared in schema"))


def _list(value: Any, schema: Schema, path: FieldPath, found: list[str]) -> None:
    if not isinstance(value, list):
        found.append(_complaint(path, f"expected list, got {_boxed(value)}"))
        return
    granular, seen = bool(schema.granular), set()
    for position, item in enumerate(value):
        element = f"i:{position}"
        if granular:
            try:
                element = element_of(item, schema, path)
            except BadRequest as error:
                found.append(_complaint(path, f"element {position}: {error.message.partition(': ')[2]}"))
                continue
            if element in seen:
                found.append(_complaint(path, f"duplicate entries for key {display((element,))}"))
            seen.add(element)
        if schema.items is not None:
            _walk(item, schema.items, (*path, element), found)


def _complaint(path: FieldPath, what: str) -> str:
    return f"{display(path)}: {what}" if path else what


def _shown(value: Any, wanted: str) -> str:
    """How the library prints what it did not expect, which depends on what it did expect."""
    if wanted == "string":
        text = json.dumps(value) if isinstance(value, str) else show(value)
        return f"&value.valueUnstructured{{Value:{text}}}"
    if wanted == "boolean":
        return _boxed(value)
    return _GO_TYPES.get(type(value), "float64" if isinstance(value, float) else "int64")


def _boxed(value: Any) -> str:
    return f"&{{{show(value)}}}"
