"""Documents seen as fields: which fields differ, merging and taking out by path.

The schema says what is one field: scalars, atomic lists and atomic maps are; granular objects and maps are walked into,
map lists by their keys and sets by their values. What no schema describes is walked as maps, with atomic lists.
"""

from __future__ import annotations

from typing import Any, Final

from sampan.apimachinery.apply.fieldset import FieldPath, keyed, valued
from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.object import Object
from sampan.apimachinery.schema.compile import Element, Schema

_ABSENT: Final = object()
Paths = set[FieldPath]


def element(schema: Schema | None, key: str) -> Element:
    """A field of an object or a map, whether a schema describes it or not."""
    return schema.element(key) if schema is not None else (f"f:{key}", None, False, False)


def is_walked(value: Any, schema: Schema | None) -> bool:
    """Whether a value is more than one field: a granular container that holds anything."""
    if not value:
        return False
    if isinstance(value, dict):
        return schema is None or schema.granular in ("object", "map")
    return isinstance(value, list) and schema is not None and schema.granular in ("items", "set")


class Difference:
    """What one document has that another has not. Equal parts are skipped, so it costs what differs.

    `changed` are fields that were added or have another value, `removed` those that are no more. A container that only
    one side has is a field itself, beside all that it holds; one that was emptied or filled is not. What Go has in
    every object (see `schema.go_structs`) is never missing. As structured-merge-diff's `Compare`.
    """

    def __init__(self, before: Object, after: Object, schema: Schema | None) -> None:
        self._added: Paths = set()
        self._removed: Paths = set()
        self._objects(before, after, schema, ())
        self.changed = frozenset(self._added)
        self.removed = frozenset(self._removed - self._added)

    def _objects(self, before: Object, after: Object, schema: Schema | None, path: FieldPath) -> None:
        for key, item in after.items():
            known = before.get(key, _ABSENT)
            if known is not item and known != item:
                self._field(element(schema, key), path, known, item)
        for key, item in before.items():
            if key not in after:
                self._field(element(schema, key), path, item, _ABSENT)

    def _field(self, field: Element, path: FieldPath, before: Any, after: Any) -> None:
        name, schema, is_leaf, there = field
        at = (*path, name)
        if before is _ABSENT or after is _ABSENT:
            value, found = (after, self._added) if before is _ABSENT else (before, self._removed)
            if not (there and isinstance(value, dict | list)):
                _whole(value, schema, at, found)
                return
            nothing: Any = type(value)()
            before, after = (nothing, value) if before is _ABSENT else (value, nothing)
            if before == after:
                return
        if not is_leaf and isinstance(before, dict) and isinstance(after, dict):
            self._objects(before, after, schema, at)
        elif schema is not None and schema.granular in ("items", "set") and (
            isinstance(before, list) and isinstance(after, list)
        ):
            self._lists(before, after, schema, at)
        else:
            self._replaced(before, after, schema, at)

    def _replaced(self, before: Any, after: Any, schema: Schema | None, path: FieldPath) -> None:
        """Another value of what is one field, or a value of another type."""
        for value, found in ((before, self._removed), (after, self._added)):
            if is_walked(value, schema):
                _below(value, schema, path, found)
            else:
                found.add(path)

    def _lists(self, before: list[Any], after: list[Any], schema: Schema, path: FieldPath) -> None:
        old, new = items_of(before, schema, path), items_of(after, schema, path)
        for name, item in new.items():
            known = old.get(name, _ABSENT)
            if known is _ABSENT:
                _whole(item, schema.items, (*path, name), self._added)
            elif known != item:
                if isinstance(known, dict) and isinstance(item, dict):
                    self._objects(known, item, schema.items, (*path, name))
                else:
                    self._added.add((*path, name))
        for name, item in old.items():
            if name not in new:
                _whole(item, schema.items, (*path, name), self._removed)


def _whole(value: Any, schema: Schema | None, path: FieldPath, found: Paths) -> None:
    """A value that only one side has: it and all below."""
    found.add(path)
    if is_walked(value, schema):
        _below(value, schema, path, found)


def _below(value: Any, schema: Schema | None, path: FieldPath, found: Paths) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            name, child, is_leaf, _ = element(schema, key)
            at = (*path, name)
            found.add(at)
            if not is_leaf and is_walked(item, child):
                _below(item, child, at, found)
    else:
        assert schema is not None  # only a schema makes a list anything but atomic
        for name, item in items_of(value, schema, path).items():
            _whole(item, schema.items, (*path, name), found)


def items_of(items: list[Any], schema: Schema, path: FieldPath = ()) -> dict[str, Any]:
    """A granular list's items by their path elements. Raises BadRequest for one without its keys.

    Some kinds allow several items with the same keys (`env`): these, as a tuple, are one field.
    """
    found: dict[str, Any] = {}
    for item in items:
        name = element_of(item, schema, path)
        if name in found:
            known = found[name]
            found[name] = (*known, item) if isinstance(known, tuple) else (known, item)
        else:
            found[name] = item
    return found


def element_of(item: Any, schema: Schema, path: FieldPath = ()) -> str:
    """The path element of a list's item. Raises BadRequest when it lacks a key."""
    if schema.granular != "items":
        return valued(item)
    keys: dict[str, Any] = {}
    for key in schema.list_map_keys:
        value = item.get(key) if isinstance(item, dict) else None
        if value is None:
            value = schema.key_default(key)
        if value is None:
            where = ".".join(element[2:] for element in path)
            raise BadRequest(
                f'{where}: associative list with keys has an element that omits key field "{key}" '
                "(and doesn't have default value)"
            )
        keys[key] = value
    return keyed(keys)


def merge(live: Any, applied: Any, schema: Schema | None) -> Any:
    """`applied` laid over `live`: what it says wins, what it does not mention stays."""
    if isinstance(applied, dict) and isinstance(live, dict) and (schema is None or schema.granular):
        merged = dict(live)
        for key, value in applied.items():
            if isinstance(value, dict | list) and key in live:
                value = merge(live[key], value, schema.child(key) if schema is not None else None)
            merged[key] = value
        return merged
    if isinstance(applied, list) and isinstance(live, list) and schema is not None and schema.granular:
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
    if isinstance(doc, list) and schema is not None and schema.granular:
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
