"""Documents seen as fields: which paths a document has, what stands there, merging and taking out by path.

The schema says what is one field: scalars, atomic lists and atomic maps are; granular objects and maps are walked into,
map lists by their keys and sets by their values. What no schema describes is walked as maps, with atomic lists.
"""

from __future__ import annotations

from typing import Any, Final

from sampan.apimachinery.apply.fieldset import FieldPath, Trie, field, keyed, valued
from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.object import Object
from sampan.apimachinery.schema.compile import Schema

_KEY_DEFAULTS: Final = {"protocol": "TCP"}
"""Keys that upstream's schema gives a default, so that an item may leave them out."""

CONTAINER: Final = object()
"""What stands at a path that is a member only as a container (an item of a map list, an entry of a map)."""


def index(doc: Any, schema: Schema | None) -> dict[FieldPath, Any]:
    """Every field of a document, with its value. Raises BadRequest for items without their keys or twice the same."""
    found: dict[FieldPath, Any] = {}
    if isinstance(doc, dict):
        _index_object(doc, schema, (), found)
    return found


def _index(value: Any, schema: Schema | None, path: FieldPath, found: dict[FieldPath, Any]) -> None:
    if isinstance(value, dict) and value and not is_atomic_map(schema):
        _index_object(value, schema, path, found)
    elif isinstance(value, list) and value and list_kind(schema) != "atomic":
        _index_list(value, schema, path, found)
    else:
        found[path] = value


def _index_object(value: Object, schema: Schema | None, path: FieldPath, found: dict[FieldPath, Any]) -> None:
    if schema is None:
        for key, item in value.items():
            _index(item, None, (*path, "f:" + key), found)
        return
    is_map = schema.kind == "map"
    for key, item in value.items():
        at = (*path, "f:" + key)
        if isinstance(item, dict | list) and item:
            _index(item, schema.child(key), at, found)
            if is_map and at not in found:
                found[at] = CONTAINER
        else:
            found[at] = item  # scalars, and what is empty, are one field whatever the schema says


def _index_member(
    key: str, item: Any, schema: Schema | None, path: FieldPath, found: dict[FieldPath, Any]
) -> None:
    at = (*path, field(key))
    _index(item, schema.child(key) if schema is not None else None, at, found)
    if at not in found and schema is not None and schema.kind == "map":
        found[at] = CONTAINER


def _index_list(items: list[Any], schema: Schema | None, path: FieldPath, found: dict[FieldPath, Any]) -> None:
    assert schema is not None  # only a schema makes a list anything but atomic
    for item in items:
        at = (*path, element_of(item, schema, path))
        if at in found:
            raise BadRequest(f"{'.'.join(path)}: duplicate entries for key {at[-1][2:]}")
        if isinstance(item, dict) and list_kind(schema) == "map":
            _index_object(item, schema.items, at, found)
            found[at] = CONTAINER
        else:
            found[at] = item


def trie(doc: Object, schema: Schema | None) -> Trie:
    """Every field of a document as FieldsV1: `fieldset.encode(index(doc))` without the detour. Raises BadRequest."""
    return {"f:" + key: _trie(item, schema.child(key) if schema is not None else None) for key, item in doc.items()}


def _trie(value: Any, schema: Schema | None) -> Trie:
    if not isinstance(value, dict | list) or not value:
        return {}
    if isinstance(value, list):
        return {} if schema is None or list_kind(schema) == "atomic" else _list_trie(value, schema)
    if is_atomic_map(schema):
        return {}
    found = trie(value, schema)
    if schema is not None and schema.kind == "map":
        for child in found.values():
            if child:
                child["."] = {}
    return found


def _list_trie(items: list[Any], schema: Schema) -> Trie:
    found: Trie = {}
    for item in items:
        element = element_of(item, schema)
        if element in found:
            raise BadRequest(f"duplicate entries for key {element[2:]}")
        found[element] = {}
        if isinstance(item, dict) and item and list_kind(schema) == "map":
            found[element] = {".": {}, **trie(item, schema.items)}
    return found


class Difference:
    """What one document has that another has not. Equal parts are skipped, so it costs what differs.

    `changed` are fields that were added or have another value, `removed` those that are no more. A container that was
    emptied or filled is neither: only its members are.
    """

    def __init__(self, before: Any, after: Any, schema: Schema | None) -> None:
        self._added: dict[FieldPath, Any] = {}
        self._removed: dict[FieldPath, Any] = {}
        if not isinstance(before, dict) or not isinstance(after, dict):
            self._added, self._removed = index(after, schema), index(before, schema)
        else:
            self._objects(before, after, schema, ())
        self.changed = frozenset(self._added)
        self.removed = frozenset(self._removed) - self.changed

    def _values(self, before: Any, after: Any, schema: Schema | None, path: FieldPath) -> None:
        if isinstance(before, dict) and isinstance(after, dict) and not is_atomic_map(schema):
            self._objects(before, after, schema, path)
        elif isinstance(before, list) and isinstance(after, list) and schema is not None and (
            list_kind(schema) != "atomic"
        ):
            self._lists(before, after, schema, path)
        else:
            _index(before, schema, path, self._removed)
            _index(after, schema, path, self._added)

    def _objects(self, before: Object, after: Object, schema: Schema | None, path: FieldPath) -> None:
        for key, item in after.items():
            if key not in before:
                _index_member(key, item, schema, path, self._added)
            elif before[key] is not item and before[key] != item:
                child = schema.child(key) if schema is not None else None
                self._values(before[key], item, child, (*path, field(key)))
        for key, item in before.items():
            if key not in after:
                _index_member(key, item, schema, path, self._removed)

    def _lists(self, before: list[Any], after: list[Any], schema: Schema, path: FieldPath) -> None:
        old = {element_of(item, schema, path): item for item in before}
        new = {element_of(item, schema, path): item for item in after}
        if list_kind(schema) == "map":
            for element in old.keys() & new.keys():
                if old[element] != new[element]:
                    self._objects(old[element], new[element], schema.items, (*path, element))
        for items, other, found in ((new, old, self._added), (old, new, self._removed)):
            _index_list([item for element, item in items.items() if element not in other], schema, path, found)


def element_of(item: Any, schema: Schema, path: FieldPath = ()) -> str:
    """The path element of a list's item. Raises BadRequest when it lacks a key."""
    if list_kind(schema) != "map":
        return valued(item)
    keys: dict[str, Any] = {}
    for key in schema.list_map_keys:
        value = item.get(key) if isinstance(item, dict) else None
        if value is None:
            value = _KEY_DEFAULTS.get(key)
        if value is None:
            where = ".".join(element[2:] for element in path)
            raise BadRequest(
                f'{where}: associative list with keys has an element that omits key field "{key}" '
                "(and doesn't have default value)"
            )
        keys[key] = value
    return keyed(keys)


def list_kind(schema: Schema | None) -> str:
    """`map`, `set` or `atomic`."""
    if schema is None or schema.kind != "list" or schema.list_type not in ("map", "set"):
        return "atomic"
    return schema.list_type


def is_atomic_map(schema: Schema | None) -> bool:
    """Maps marked atomic, and free-form values, are one field."""
    return schema is not None and (schema.map_type == "atomic" or schema.kind in ("any", "schema-or-else"))


def merge(live: Any, applied: Any, schema: Schema | None) -> Any:
    """`applied` laid over `live`: what it says wins, what it does not mention stays."""
    if isinstance(applied, dict) and isinstance(live, dict) and not is_atomic_map(schema):
        merged = dict(live)
        for key, value in applied.items():
            child = schema.child(key) if schema is not None else None
            merged[key] = merge(live[key], value, child) if key in live else value
        return merged
    if isinstance(applied, list) and isinstance(live, list) and schema is not None and list_kind(schema) != "atomic":
        return _merge_list(live, applied, schema)
    return applied


def _merge_list(live: list[Any], applied: list[Any], schema: Schema) -> list[Any]:
    """The applied order; items that only the live list has keep their place before what followed them, new ones come
    after. As structured-merge-diff orders lists, since the order of `env` and of finalizers means something."""
    stored = {element_of(item, schema): item for item in live}
    wanted = {element_of(item, schema): item for item in applied}
    left, right = list(stored), list(wanted)
    shared = [element for element in right if element in stored][::-1]
    result: list[Any] = []
    while left or right:
        first = left[0] if left else None
        if first is not None and first not in wanted:
            result.append(stored[first])
            del left[0]
        elif first is not None and (not right or (shared and shared[-1] != first and right[0] != first)):
            del left[0]  # the applied order puts it elsewhere
        else:
            element = right.pop(0)
            if element == first:
                del left[0]
            if shared and shared[-1] == element:
                shared.pop()
            result.append(merge(stored[element], wanted[element], schema.items) if element in stored
                          else wanted[element])
    return result


def remove(doc: Any, path: FieldPath, schema: Schema | None) -> Any:
    """The document without what stands at the path; a copy along the path, or the same if there is nothing."""
    if not path:
        return doc
    element, rest = path[0], path[1:]
    if isinstance(doc, dict) and element.startswith("f:"):
        name = element[2:]
        if name not in doc:
            return doc
        if not rest:
            return {key: value for key, value in doc.items() if key != name}
        return {**doc, name: remove(doc[name], rest, schema.child(name) if schema is not None else None)}
    if isinstance(doc, list) and schema is not None and list_kind(schema) != "atomic":
        if not rest:
            return [item for item in doc if element_of(item, schema) != element]
        return [remove(item, rest, schema.items) if element_of(item, schema) == element else item for item in doc]
    return doc


def look(doc: Any, path: FieldPath, schema: Schema | None) -> Any:
    """What stands at the path, or None."""
    for element in path:
        if isinstance(doc, dict) and element.startswith("f:"):
            doc = doc.get(element[2:])
            schema = schema.child(element[2:]) if schema is not None else None
        elif isinstance(doc, list) and schema is not None:
            doc = next((item for item in doc if element_of(item, schema) == element), None)
            schema = schema.items
        else:
            return None
    return doc
