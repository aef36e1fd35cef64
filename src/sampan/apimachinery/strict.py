"""What strict validation has to say of a body: fields that the kind does not have, and keys that are written twice.

The schema names unknown fields while it decodes. Keys written twice are gone by then, so they are looked for in the
body itself, in a second pass that only requests pay who ask for validation by name. `complaints` brings both into the
order and the words of upstream's decoders: in JSON as they are met while reading, in YAML one complaint for all keys,
with their lines, and then the unknown fields by name.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

from sampan.apimachinery.decode import YAML_TYPES, media_type_of


def complaints(body: bytes, content_type: str, unknown: list[str], *, typed: bool) -> list[str]:
    """Everything, in order. Not `typed` are custom resources, whose unknown fields are only found afterwards."""
    media_type = media_type_of(content_type)
    if media_type in YAML_TYPES:
        twice = yaml_duplicates(body)
        return ([twice] if twice else []) + (sorted(unknown) if typed else unknown)
    if b'"' not in body or media_type.endswith("protobuf") or (not unknown and _each_key_once(body)):
        return unknown
    found = _Reader(unknown if typed else []).read(body)
    return found if typed else found + unknown


def json_duplicates(body: bytes) -> list[str]:
    """`duplicate field "spec.replicas"`, each once, for keys of a JSON body that are written twice."""
    return [] if _each_key_once(body) else _Reader([]).read(body)


def _each_key_once(body: bytes) -> bool:
    """Whether it is plain that no key is written twice: as many are written as the document has.

    A quote before a colon ends a key, unless it is escaped; where a string ends in a backslash it is not plain.
    """
    if b'\\\\"' in body:
        return False
    try:
        waiting = [orjson.loads(body)]
    except orjson.JSONDecodeError:
        return False
    count = 0
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            count += len(node)
            waiting += [item for item in node.values() if isinstance(item, dict | list)]
        elif isinstance(node, list):
            waiting += [item for item in node if isinstance(item, dict | list)]
    return count == len(_KEY_END.findall(body))


def yaml_duplicates(body: bytes) -> str:
    """All keys of a YAML body that are written twice, in one text; empty if there are none."""
    from sampan.apimachinery.yaml_body import duplicates

    lines = [f"  line {line}: key {json.dumps(key, ensure_ascii=False)} already set in map"
             for line, key in duplicates(body)]
    return "\n".join(["yaml: unmarshal errors:", *lines]) if lines else ""


_KEY_END: Final = re.compile(rb'(?<!\\)"\s*:')


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its members in the order written."""


class _Reader:
    """Walks a body in the order written. What is unknown is named where it stands, and not looked into."""

    def __init__(self, unknown: list[str]) -> None:
        self._unknown = frozenset(unknown)
        self._found: dict[str, None] = {}

    def read(self, body: bytes) -> list[str]:
        try:
            self._walk(json.loads(body, object_pairs_hook=_Pairs), "")
        except (ValueError, RecursionError):
            pass  # no document at all: `decode` is the one to say so
        left = [complaint for complaint in sorted(self._unknown) if complaint not in self._found]
        return [*self._found, *left]

    def _walk(self, node: Any, path: str) -> None:
        if isinstance(node, _Pairs):
            self._object(node, path)
        elif isinstance(node, list):
            for position, value in enumerate(node):
                self._walk(value, f"{path}[{position}]")

    def _object(self, node: _Pairs, path: str) -> None:
        seen: set[str] = set()
        for key, value in node:
            at = f"{path}.{key}" if path else key
            complaint = f'unknown field "{at}"'
            if complaint in self._unknown:
                self._found[complaint] = None
                continue
            if key in seen:
                self._found[f'duplicate field "{at}"'] = None
            seen.add(key)
            if isinstance(value, list):
                self._walk(value, at)
