"""Sets of fields, as `managedFields` keeps them (FieldsV1 of sigs.k8s.io/structured-merge-diff).

A field is a path of elements, each as FieldsV1 writes it: `f:name` a field or map key, `k:{"name":"a"}` an item of a
map list by its keys, `v:"a"` an item of a set by its value. A set is a frozenset of paths, so the algebra is Python's.
On the wire the paths share their beginnings: a nested object (here a *trie*) in which `.` marks a path that itself is a
member. Most writes touch few fields of few managers, so a trie can be asked and changed without being unpacked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import orjson

FieldPath: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = frozenset[FieldPath]
Trie: TypeAlias = dict[str, Any]

EMPTY: Final[FieldSet] = frozenset()
_MAX_DEPTH: Final = 200


def keyed(keys: dict[str, Any]) -> str:
    return "k:" + orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()


def valued(value: Any) -> str:
    return "v:" + orjson.dumps(value).decode()


def decode(document: Any) -> FieldSet:
    """From `fieldsV1`. Raises ValueError if it is none."""
    found: set[FieldPath] = set()
    waiting: list[tuple[Any, FieldPath]] = [(document or {}, ())]
    while waiting:
        node, path = waiting.pop()
        if not isinstance(node, dict) or len(path) > _MAX_DEPTH:
            raise ValueError("fieldsV1 is not an object of objects")
        if path and (not node or "." in node):
            found.add(path)
        for element, child in node.items():
            if element == ".":
                continue
            if element[:2] not in ("f:", "k:", "v:", "i:"):
                raise ValueError(f"unknown path element {element!r}")
            waiting.append((child, (*path, element)))
    return frozenset(found)


def has(trie: Trie, path: FieldPath) -> bool:
    """Whether the path is a member."""
    node = trie
    for element in path:
        if element not in node:
            return False
        node = node[element]
    return not node or "." in node


def changed(trie: Trie, *, add: Iterable[FieldPath] = (), remove: Iterable[FieldPath] = ()) -> Trie:
    """Another trie with some members more or less."""
    copied: Trie = orjson.loads(orjson.dumps(trie))
    for path in remove:
        _remove(copied, path)
    _add(copied, sorted(add))
    return copied


def _add(trie: Trie, paths: list[FieldPath]) -> None:
    """Sorted paths: each begins where the one before it went another way."""
    nodes, before = [trie], FieldPath()
    for path in paths:
        depth = min(len(path), len(nodes)) - 1
        while before[:depth] != path[:depth]:
            depth -= 1
        del nodes[depth + 1 :]
        node, is_new = nodes[depth], False
        for element in path[depth:]:
            if not node and not is_new and node is not trie:
                node["."] = {}  # it was a leaf, and now has something below it
            found = node.get(element)
            is_new = found is None
            if found is None:
                found = node[element] = {}
            node = found
            nodes.append(node)
        if node and not is_new:
            node["."] = {}
        before = path


def _remove(trie: Trie, path: FieldPath) -> None:
    nodes = [trie]
    for element in path:
        if element not in nodes[-1]:
            return
        nodes.append(nodes[-1][element])
    last = nodes.pop()
    if last:
        last.pop(".", None)
        return
    for element in reversed(path):
        node = nodes.pop()
        del node[element]
        if len(node) == 1 and "." in node:
            node.clear()
            return
        if node:
            return


def prefixes(fields: Iterable[FieldPath]) -> set[FieldPath]:
    """Every path that leads to a member, members included."""
    return {path[:length] for path in fields for length in range(1, len(path) + 1)}


def display(path: FieldPath) -> str:
    """As conflicts name it: `.spec.template.spec.containers[name="nginx"].image`."""
    text = ""
    for element in path:
        kind, rest = element[:2], element[2:]
        if kind == "f:":
            text += f".{rest}"
        elif kind == "k:":
            keys = json.loads(rest)
            shown = ",".join(f"{key}={json.dumps(value)}" for key, value in keys.items())
            text += f"[{shown}]"
        else:
            text += f"[={rest}]" if kind == "v:" else f"[{rest}]"
    return text
