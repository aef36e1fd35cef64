"""YAML as a body of requests and answers: libyaml's events composed under a budget, into JSON data only.

Each alias counts as many nodes as the anchor it stands for, and their sum is bounded; depth is bounded; tags that would
make anything but JSON data are refused. Keys are strings, as in JSON; a number or a boolean as a key becomes its text,
as sigs.k8s.io/yaml does. Timestamps stay text.
"""

from __future__ import annotations

import copy
import math
import re
from typing import Any, Final

import yaml

from sampan.apimachinery.errors import BadRequest

MAX_NODES: Final = 500_000
MAX_DEPTH: Final = 200

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)|[-+]?0[xX][0-9a-fA-F_]+|[-+]?0[bB][01_]+|[-+]?0[oO]?[0-7_]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?")
_CONSTANTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_TAGS: Final = frozenset({
    "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:null", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:binary",
    "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge",
})
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(body: bytes) -> Any:
    """The first document. Raises BadRequest."""
    return _Reader(body).document


def dump(document: Any) -> bytes:
    """JSON data as YAML, in blocks, with sorted keys, so that `load` gives the same data again."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=True, allow_unicode=True)
    return text.encode()


def duplicates(body: bytes) -> list[tuple[int, str]]:
    """Keys that are written twice in their mapping, each with its line. Raises BadRequest."""
    return _Reader(body).duplicates


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Quotes texts that would be read as something else: YAML 1.1, which the library writes, has fewer numbers."""


def _represent_text(dumper: Any, text: str) -> Any:
    is_other = text in _CONSTANTS or _INT.fullmatch(text) or _FLOAT.fullmatch(text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if is_other else None)


_Dumper.add_representer(str, _represent_text)


class _Reader:
    """Builds the document from events; no recursion deeper than MAX_DEPTH."""

    def __init__(self, body: bytes) -> None:
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0
        self.duplicates: list[tuple[int, str]] = []
        self.document: Any = None
        loader = _LOADER(body)
        try:
            self._loader = loader
            loader.get_event()
            if loader.check_event(yaml.DocumentStartEvent):
                loader.get_event()
                self.document = self._node(0)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise BadRequest(f"error converting YAML to JSON: yaml: {_line(error)}") from None
        finally:
            loader.dispose()

    def _node(self, depth: int) -> Any:
        event = self._loader.get_event()
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._spend(1)
        if depth > MAX_DEPTH:
            raise BadRequest("error converting YAML to JSON: yaml: exceeded max depth")
        if event.tag is not None and event.tag not in _TAGS:
            raise BadRequest(f"error converting YAML to JSON: yaml: unknown tag {event.tag}")
        before = self._count
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(depth)
        else:
            value = self._mapping(depth)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._count - before + 1)
        return value

    def _sequence(self, depth: int) -> list[Any]:
        items: list[Any] = []
        while not self._loader.check_event(yaml.SequenceEndEvent):
            items.append(self._node(depth + 1))
        self._loader.get_event()
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        merged: list[Any] = []
        while not self._loader.check_event(yaml.MappingEndEvent):
            event = self._loader.peek_event()
            is_merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]
            key = _key(self._node(depth + 1))
            value = self._node(depth + 1)
            if is_merge:
                merged += value if isinstance(value, list) else [value]
                continue
            if key in members:
                self.duplicates.append((event.start_mark.line + 1, key))
            members[key] = value
        self._loader.get_event()
        for base in merged:
            for key, value in (base.items() if isinstance(base, dict) else ()):
                members.setdefault(key, value)
        return members

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise BadRequest(f"error converting YAML to JSON: yaml: unknown anchor '{event.anchor}' referenced")
        value, size = self._anchors[event.anchor]
        self._spend(size)
        return copy.deepcopy(value)  # two places of one document must not change together

    def _spend(self, nodes: int) -> None:
        self._count += nodes
        if self._count > MAX_NODES:
            raise BadRequest("error converting YAML to JSON: yaml: document contains excessive aliasing")


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.tag == "tag:yaml.org,2002:str" or (event.tag in (None, "!") and not event.implicit[0]):
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        number = float(text.replace("_", ""))
        return text if math.isinf(number) else number
    return text


def _integer(text: str) -> Any:
    plain = text.replace("_", "")
    digits = plain.lstrip("+-")
    base = 10
    if len(digits) > 1 and digits[0] == "0":
        base = {"x": 16, "b": 2, "o": 8}.get(digits[1].lower(), 8)
        digits = digits[2:] if digits[1].isalpha() else digits
    if len(digits) > 300:
        return text
    number = -int(digits, base) if plain.startswith("-") else int(digits, base)
    return number if -(2**63) <= number < 2**64 else float(number)


def _key(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise BadRequest("error converting YAML to JSON: yaml: invalid map key")


def _line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)
