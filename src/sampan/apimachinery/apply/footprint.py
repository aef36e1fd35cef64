"""Which fields a whole document has, as FieldsV1, in one pass over it.

`applied` is what an applier owns: every leaf, the items of map lists and the entries of maps. `created` is what a
writer owns who made all of it: the same, and each container that was not there before (see `values.Difference`, of
which this is the case that there was nothing). What is the server's own is left out of both, and what the endpoint does
not write.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from sampan.apimachinery.apply.fieldset import FieldPath, FieldSet, Trie
from sampan.apimachinery.apply.values import element, is_walked, items_of
from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.object import Object
from sampan.apimachinery.recent import Recent, digest_of
from sampan.apimachinery.schema.compile import Schema

LEAF: Final[Trie] = {}
"""Shared by all tries that are made here: tries are never changed in place."""
_SPECS: Final[Recent[Trie]] = Recent(128)
_REMEMBERED_BYTES: Final = 8192
SERVERS_METADATA: Final = frozenset({
    "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields",
    "resourceVersion",
})
SERVERS_OWN: Final[FieldSet] = frozenset({
    ("f:apiVersion",), ("f:kind",), ("f:metadata",), *(("f:metadata", f"f:{name}") for name in SERVERS_METADATA),
})
"""Fields that no manager owns."""


def applied(document: Object, schema: Schema | None, resets: FieldSet) -> Trie:
    """Without the fields `resets` of the root. Raises BadRequest for items without their keys or twice the same."""
    return _unmarked(_walk(_owned(document, resets), schema, (), False))


def created(document: Object, schema: Schema | None, resets: FieldSet) -> Trie:
    """Without the fields `resets` of the root. Raises BadRequest for items without their keys."""
    return _unmarked(_filled(_owned(document, resets), schema, ()))


def _owned(document: Object, resets: FieldSet) -> Object:
    """What anybody can own of a document."""
    found = {key: item for key, item in document.items() if key != "apiVersion" and key != "kind"}
    for path in resets:
        assert len(path) == 1, "endpoints leave out whole fields of the root"
        found.pop(path[0][2:], None)
    metadata = {key: item for key, item in (found.pop("metadata", None) or {}).items() if key not in SERVERS_METADATA}
    if metadata:
        found["metadata"] = metadata
    return found


def _unmarked(trie: Trie) -> Trie:
    """Metadata itself belongs to nobody."""
    if "f:metadata" in trie:
        trie["f:metadata"].pop(".", None)
    return trie


def _filled(value: Object, schema: Schema | None, path: FieldPath) -> Trie:
    """An object that was there, with nothing in it."""
    found: Trie = {}
    for key, item in value.items():
        name, child, is_leaf, there = element(schema, key)
        at = (*path, name)
        if is_leaf or not is_walked(item, child):
            if item or not there or not isinstance(item, dict | list):
                found[name] = LEAF
        elif not there:
            found[name] = _walk(item, child, at, True)
        else:
            below = _remembered(item, child, at, None) if isinstance(item, dict) else _list(item, child, at, True)
            if below:
                found[name] = below
    return found


def _remembered(value: Object, schema: Schema | None, path: FieldPath, marks: bool | None) -> Trie:
    """`_walk`, or without `marks` `_filled`. The spec of a pod is by far the largest part of most objects that have
    one, and many are made from one template, so what it comes to is remembered."""
    if schema is not None and schema.struct == "PodSpec":
        data = orjson.dumps((marks, value))
        if len(data) <= _REMEMBERED_BYTES:
            key = digest_of(data)
            found = _SPECS.get(key)
            if found is None:
                found = _walk(value, schema, path, marks) if marks is not None else _filled(value, schema, path)
                _SPECS.put(key, found)
            return found
    return _walk(value, schema, path, marks) if marks is not None else _filled(value, schema, path)


def _walk(value: Any, schema: Schema | None, path: FieldPath, marks: bool) -> Trie:
    """All below a container; with `marks`, each container is a member itself."""
    if not isinstance(value, dict):
        found = _list(value, schema, path, marks)
    else:
        found = {}
        is_map = schema is None or schema.granular == "map"
        for key, item in value.items():
            name, child, is_leaf, _ = element(schema, key)
            if is_leaf or item.__class__ is str or not is_walked(item, child):
                found[name] = LEAF
                continue
            at = (*path, name)
            if is_map or not isinstance(item, dict):
                found[name] = below = _walk(item, child, at, marks)
                if is_map:
                    below["."] = LEAF
            else:
                found[name] = _remembered(item, child, at, marks)
    if marks:
        found["."] = LEAF
    return found


def _list(items: list[Any], schema: Schema | None, path: FieldPath, marks: bool) -> Trie:
    assert schema is not None  # only a schema makes a list anything but atomic
    found: Trie = {}
    for name, item in items_of(items, schema, path).items():
        if isinstance(item, tuple) and not marks:
            raise BadRequest(f"{'.'.join(path)}: duplicate entries for key {name[2:]}")
        if is_walked(item, schema.items):
            found[name] = below = _walk(item, schema.items, (*path, name), marks)
            below["."] = LEAF
        else:
            found[name] = LEAF
    return found
