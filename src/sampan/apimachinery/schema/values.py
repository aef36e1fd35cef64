"""Validation of values against the structural schema of a CustomResourceDefinition, in upstream's words.

`compile_values` turns a schema into a tree of `Node`s once; `Node.errors(value, path, old)` walks a value. Where the
old value of an update is the same, nothing is said: what a client did not touch may stay invalid (ratcheting), so that
a schema can be tightened without breaking what exists.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from sampan.apimachinery.field import ErrorType, FieldError, Path, invalid, required
from sampan.apimachinery.object import Object
from sampan.apimachinery.regex import compile_regex
from sampan.apimachinery.schema.formats import FORMATS

MISSING: Final = object()
"""No old value: the field is new, or everything is."""
_NUMBERS: Final = (int, float)
_IMPLICIT: Final = ("apiVersion", "kind", "metadata")


class Node:
    """One place of the schema."""

    __slots__ = (
        "_checks", "_composed", "fields", "int_or_string", "items", "keys", "list_type", "nullable", "required", "type",
        "values",
    )

    def __init__(self, raw: Object) -> None:
        self.type: str = raw.get("type") or ""
        self.int_or_string = bool(raw.get("x-kubernetes-int-or-string"))
        self.nullable = bool(raw.get("nullable"))
        self.required: tuple[str, ...] = tuple(raw.get("required") or ())
        self.fields = {name: Node(body) for name, body in (raw.get("properties") or {}).items()}
        self.items = Node(raw["items"]) if isinstance(raw.get("items"), dict) else None
        more = raw.get("additionalProperties")
        self.values = Node(more) if isinstance(more, dict) else None
        self.list_type: str = raw.get("x-kubernetes-list-type") or ""
        self.keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys") or ())
        self._checks = tuple(_checks(raw))
        self._composed = tuple(_composed(raw))

    def errors(self, value: Any, path: Path, old: Any = MISSING) -> list[FieldError]:
        """Everything wrong with a value; `old` is what stood there before an update."""
        if old is not MISSING and _same(old, value):
            return []
        if value is None and (self.nullable or not (self.type or self.int_or_string)):
            return []
        if (wrong := self._wrong_type(value, path)) is not None:
            return [wrong]
        found: list[FieldError] = []
        for check in (*self._checks, *self._composed):
            found += check(value, path)
        if isinstance(value, dict):
            found += self._object(value, path, old)
        elif isinstance(value, list):
            found += self._list(value, path, old)
        return found

    def _wrong_type(self, value: Any, path: Path) -> FieldError | None:
        if self.int_or_string:
            if isinstance(value, str) or type(value) is int:
                return None
            return _mistyped(path, "integer,string", value)
        if not self.type or _TYPES[self.type](value):
            return None
        return _mistyped(path, self.type, value)

    def root_errors(self, obj: Object, old: Any = MISSING) -> list[FieldError]:
        """As `errors`, for a whole resource: what its metadata must be is not the schema's to say."""
        body = {name: value for name, value in obj.items() if name not in _IMPLICIT}
        before = {name: value for name, value in old.items() if name not in _IMPLICIT} if old is not MISSING else old
        found = self.errors(body, Path(), before)
        return [error for error in found if not (error.type is ErrorType.REQUIRED and error.field in _IMPLICIT)]

    def _object(self, value: Object, path: Path, old: Any) -> Iterator[FieldError]:
        before = old if isinstance(old, dict) else {}
        for name in self.required:
            if name not in value:
                yield required(path.child(name))
        for name, item in value.items():
            node = self.fields.get(name)
            if node is not None:
                yield from node.errors(item, path.child(name), before.get(name, MISSING))
            elif self.values is not None:
                yield from self.values.errors(item, path.child(name), before.get(name, MISSING))

    def _list(self, value: list[Any], path: Path, old: Any) -> Iterator[FieldError]:
        if self.list_type in ("set", "map"):
            yield from self._unique(value, path)
        if self.items is None:
            return
        before = self.correlated(value, old)
        for position, item in enumerate(value):
            yield from self.items.errors(item, path.index(position), before[position])

    def correlated(self, value: list[Any], old: Any) -> list[Any]:
        """For each item, what it was before: by key in a map list, by equality in a set; else by nothing."""
        if not isinstance(old, list):
            return [MISSING] * len(value)
        if self.list_type == "map":
            by_key = {key_of(item, self.keys): item for item in old}
            return [by_key.get(key_of(item, self.keys), MISSING) for item in value]
        if self.list_type == "set":
            return [next((one for one in old if one == item), MISSING) for item in value]
        return [MISSING] * len(value)

    def _unique(self, value: list[Any], path: Path) -> Iterator[FieldError]:
        seen: set[str] = set()
        for position, item in enumerate(value):
            shown: Any = item
            if self.list_type == "map":
                if not isinstance(item, dict):
                    continue
                shown = {key: item[key] for key in self.keys if key in item}
            text = _text(shown)
            if text in seen:
                yield FieldError(ErrorType.DUPLICATE, str(path.index(position)), shown)
            seen.add(text)


def key_of(item: Any, keys: tuple[str, ...]) -> str:
    """An item of a map list by its keys."""
    return _text([item.get(key) for key in keys]) if isinstance(item, dict) else _text(item)


def compile_values(raw: Object) -> Node:
    """From `openAPIV3Schema`. Patterns must be valid."""
    return Node(raw)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _same(old: Any, new: Any) -> bool:
    return type(old) is type(new) and bool(old == new)


_TYPES: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: type(value) is str, "boolean": lambda value: type(value) is bool,
    "integer": lambda value: type(value) is int or (type(value) is float and value.is_integer()),
    "number": lambda value: type(value) in _NUMBERS, "object": lambda value: type(value) is dict,
    "array": lambda value: type(value) is list,
}


def json_type(value: Any) -> str:
    """The type's name in JSON schema."""
    if value is None:
        return "null"
    return next((name for name, check in _TYPES.items() if check(value)), "object")


def _mistyped(path: Path, wanted: str, value: Any) -> FieldError:
    found = json_type(value)
    return FieldError(ErrorType.TYPE_INVALID, str(path), found, f'{path} in body must be of type {wanted}: "{found}"')


Check = Callable[[Any, Path], list[FieldError]]


def _checks(raw: Object) -> Iterator[Check]:
    """The value validations of one place; each looks only at values of the type it is for."""
    for keyword, make in _KEYWORDS.items():
        if raw.get(keyword) is not None:
            yield make(raw[keyword], raw)


def _when(type_: type | tuple[type, ...], fails: Callable[[Any], bool], report: Check) -> Check:
    def check(value: Any, path: Path) -> list[FieldError]:
        if not isinstance(value, type_) or isinstance(value, bool) or not fails(value):
            return []
        return report(value, path)

    return check


def _says(words: str) -> Check:
    return lambda value, path: [invalid(path, value, f"{path} in body {words}")]


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)


def _maximum(limit: float, raw: Object) -> Check:
    if raw.get("exclusiveMaximum"):
        return _when(_NUMBERS, lambda value: value >= limit, _says(f"should be less than {_number(limit)}"))
    return _when(_NUMBERS, lambda value: value > limit, _says(f"should be less than or equal to {_number(limit)}"))


def _minimum(limit: float, raw: Object) -> Check:
    if raw.get("exclusiveMinimum"):
        return _when(_NUMBERS, lambda value: value <= limit, _says(f"should be greater than {_number(limit)}"))
    return _when(_NUMBERS, lambda value: value < limit, _says(f"should be greater than or equal to {_number(limit)}"))


def _multiple(step: float, raw: Object) -> Check:
    def fails(value: float) -> bool:
        times = value / step
        return abs(times - round(times)) > 1e-9

    return _when(_NUMBERS, fails, _says(f"should be a multiple of {_number(step)}"))


def _max_length(limit: int, raw: Object) -> Check:
    detail = f"may not be more than {limit} bytes"
    return _when(str, lambda value: len(value) > limit, lambda value, path: [
        FieldError(ErrorType.TOO_LONG, str(path), value, detail)
    ])


def _min_length(limit: int, raw: Object) -> Check:
    return _when(str, lambda value: len(value) < limit, _says(f"should be at least {limit} chars long"))


def _pattern(text: str, raw: Object) -> Check:
    pattern = compile_regex(text)
    return _when(str, lambda value: pattern.search(value) is None, _says(f"should match '{text}'"))


def _too_many(limit: int) -> Check:
    return lambda value, path: [
        FieldError(ErrorType.TOO_MANY, str(path), len(value), f"must have at most {limit} items")
    ]


def _max_items(limit: int, raw: Object) -> Check:
    return _when(list, lambda value: len(value) > limit, _too_many(limit))


def _min_items(limit: int, raw: Object) -> Check:
    return _when(list, lambda value: len(value) < limit, _says(f"should have at least {limit} items"))


def _max_properties(limit: int, raw: Object) -> Check:
    return _when(dict, lambda value: len(value) > limit, _too_many(limit))


def _min_properties(limit: int, raw: Object) -> Check:
    return _when(dict, lambda value: len(value) < limit, _says(f"should have at least {limit} properties"))


def _enum(allowed: list[Any], raw: Object) -> Check:
    shown = ", ".join(json.dumps(item if isinstance(item, str) else _text(item)) for item in allowed)

    def check(value: Any, path: Path) -> list[FieldError]:
        if any(_same(item, value) for item in allowed):
            return []
        return [FieldError(ErrorType.NOT_SUPPORTED, str(path), value, f"supported values: {shown}")]

    return check


def _format(name: str, raw: Object) -> Check:
    if name in ("int32", "int64"):
        bits = 2 ** (int(name[3:]) - 1)
        words = f"should be a valid {name}"
        return _when(int, lambda value: not -bits <= value < bits, _says(words))
    valid = FORMATS.get(name)
    if valid is None:
        return lambda value, path: []
    is_valid = valid

    def report(value: Any, path: Path) -> list[FieldError]:
        detail = f"{path} in body must be of type {name}: {json.dumps(value)}"
        return [FieldError(ErrorType.TYPE_INVALID, str(path), value, detail)]

    return _when(str, lambda value: not is_valid(value), report)


_KEYWORDS: Final[dict[str, Callable[[Any, Object], Check]]] = {
    "maximum": _maximum, "minimum": _minimum, "multipleOf": _multiple, "maxLength": _max_length,
    "minLength": _min_length, "pattern": _pattern, "maxItems": _max_items, "minItems": _min_items,
    "maxProperties": _max_properties, "minProperties": _min_properties, "enum": _enum, "format": _format,
}


def _composed(raw: Object) -> Iterator[Check]:
    """allOf, anyOf, oneOf and not; upstream reports what they have to say without a field."""
    if raw.get("x-kubernetes-int-or-string"):
        raw = {**raw, "anyOf": None} if _is_int_or_string(raw.get("anyOf")) else raw
    nodes = {key: [Node(body) for body in raw.get(key) or []] for key in ("allOf", "anyOf", "oneOf")}
    if nodes["anyOf"]:
        yield _any_of(nodes["anyOf"])
    if nodes["oneOf"]:
        yield _one_of(nodes["oneOf"])
    if nodes["allOf"]:
        yield lambda value, path: [error for node in nodes["allOf"] for error in node.errors(value, path)]
    if isinstance(raw.get("not"), dict):
        refused = Node(raw["not"])
        yield lambda value, path: [] if refused.errors(value, path) else [
            _loose(f'"{path}" must not validate the schema (not)')
        ]


def _is_int_or_string(any_of: Any) -> bool:
    return isinstance(any_of, list) and {item.get("type") for item in any_of} == {"integer", "string"}


def _any_of(nodes: list[Node]) -> Check:
    def check(value: Any, path: Path) -> list[FieldError]:
        results = [node.errors(value, path) for node in nodes]
        if not all(results):
            return []
        return [_loose(f'"{path}" must validate at least one schema (anyOf)'), *min(results, key=len)]

    return check


def _one_of(nodes: list[Node]) -> Check:
    def check(value: Any, path: Path) -> list[FieldError]:
        results = [node.errors(value, path) for node in nodes]
        valid = sum(not result for result in results)
        if valid == 1:
            return []
        if valid:
            text = f"must validate one and only one schema (oneOf). Found {valid} valid alternatives"
            return [_loose(f'"{path}" {text}')]
        text = "must validate one and only one schema (oneOf). Found none valid"
        return [_loose(f'"{path}" {text}'), *min(results, key=len)]

    return check


def _loose(detail: str) -> FieldError:
    return FieldError(ErrorType.INVALID, "<nil>", "", detail)
