"""What makes an `openAPIV3Schema` structural: types everywhere, value rules apart from structure, nothing ambiguous.

Only of a structural schema can the server tell what to prune, to default and how to merge. Words are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.object import Object
from sampan.apimachinery.regex import RegexError, compile_regex
from sampan.apimachinery.schema.structural import compile_structural
from sampan.apimachinery.schema.values import compile_values

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED: Final = ("$ref", "definitions", "dependencies", "id", "patternProperties", "additionalItems")
_STRUCTURE: Final = ("default", "nullable", "additionalProperties", "x-kubernetes-preserve-unknown-fields",
                     "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "description", "title",
                     "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type")
_JUNCTORS: Final = ("allOf", "anyOf", "oneOf")
_ROOT, _FIELD, _ITEM = "at the root", "for specified object fields", "for specified array items"


def validate_schema(raw: Object, path: Path) -> list[FieldError]:
    """Everything that is wrong with a version's schema, but for its rules in CEL, which the server compiles."""
    found = list(_node(raw, path, _ROOT))
    if not found:
        found += _defaults(raw, path)
    return found


def _node(raw: Object, path: Path, level: str) -> Iterator[FieldError]:
    int_or_string = bool(raw.get("x-kubernetes-int-or-string"))
    preserves = raw.get("x-kubernetes-preserve-unknown-fields")
    yield from _type(raw, path, level)
    if preserves is False:
        yield invalid(path.child("x-kubernetes-preserve-unknown-fields"), False, "must be true or undefined")
    for key in _UNSUPPORTED:
        if raw.get(key) is not None:
            yield forbidden(path.child(key), f"{key} is not supported")
    if raw.get("uniqueItems"):
        yield forbidden(path.child("uniqueItems"), "uniqueItems cannot be set to true since the runtime complexity "
                        "becomes quadratic")
    yield from _additional(raw, path)
    yield from _embedded(raw, path)
    yield from _lists_and_maps(raw, path)
    yield from _value_rules(raw, path)
    for name, body in (raw.get("properties") or {}).items():
        where = path.child("properties").key(name)
        if name == "metadata" and (level == _ROOT or raw.get("x-kubernetes-embedded-resource")):
            yield from _metadata(body, where)
        yield from _node(body, where, _FIELD)
    items = raw.get("items")
    if isinstance(items, list):
        yield forbidden(path.child("items"), "items must be a schema object and not an array")
    elif isinstance(items, dict):
        yield from _node(items, path.child("items"), _ITEM)
    elif raw.get("type") == "array" and not preserves:
        yield required(path.child("items"), "must be specified")
    if isinstance(raw.get("additionalProperties"), dict):
        yield from _node(raw["additionalProperties"], path.child("additionalProperties"), _FIELD)
    for key in _JUNCTORS:
        for position, body in enumerate(raw.get(key) or []):
            yield from _nested(body, raw, path.child(key).index(position), int_or_string=int_or_string)
    if isinstance(raw.get("not"), dict):
        yield from _nested(raw["not"], raw, path.child("not"), int_or_string=int_or_string)


def _type(raw: Object, path: Path, level: str) -> Iterator[FieldError]:
    type, where = raw.get("type") or "", path.child("type")
    if level == _ROOT and type and type != "object":
        yield invalid(where, type, "must be object at the root")
        return
    if raw.get("x-kubernetes-int-or-string"):
        if type:
            yield invalid(where, type, "must be empty if x-kubernetes-int-or-string is true")
    elif not type:
        if level == _ROOT or not raw.get("x-kubernetes-preserve-unknown-fields"):
            yield required(where, f"must not be empty {level}")
    elif type not in _TYPES:
        yield not_supported(where, type, _TYPES)
    if raw.get("x-kubernetes-embedded-resource") and type != "object":
        yield invalid(where, type, "must be object if x-kubernetes-embedded-resource is true")


def _additional(raw: Object, path: Path) -> Iterator[FieldError]:
    where, more = path.child("additionalProperties"), raw.get("additionalProperties")
    if more is False:
        yield forbidden(where, "additionalProperties cannot be set to false")
    elif more is not None and raw.get("properties"):
        yield forbidden(where, "additionalProperties and properties are mutual exclusive")


def _embedded(raw: Object, path: Path) -> Iterator[FieldError]:
    if raw.get("x-kubernetes-embedded-resource") and not (
        raw.get("x-kubernetes-preserve-unknown-fields") or raw.get("properties")
    ):
        yield required(path.child("properties"), "must not be empty if x-kubernetes-embedded-resource is true "
                       "without x-kubernetes-preserve-unknown-fields")


def _metadata(body: Object, path: Path) -> Iterator[FieldError]:
    known = {"type", "description", "properties"}
    fields = set(body.get("properties") or {})
    if body.get("type") not in (None, "object") or set(body) - known or fields - {"name", "generateName"}:
        yield forbidden(path, "must not specify anything other than name and generateName, but metadata is "
                        "implicitly specified")


def _lists_and_maps(raw: Object, path: Path) -> Iterator[FieldError]:
    kind, where = raw.get("x-kubernetes-list-type"), path.child("x-kubernetes-list-type")
    keys, keys_at = raw.get("x-kubernetes-list-map-keys") or [], path.child("x-kubernetes-list-map-keys")
    items = raw.get("items") if isinstance(raw.get("items"), dict) else {}
    assert isinstance(items, dict)
    if kind is not None:
        if raw.get("type") != "array":
            yield invalid(path.child("type"), raw.get("type") or "", "must be array if x-kubernetes-list-type is "
                          "specified")
        if kind not in ("atomic", "set", "map"):
            yield not_supported(where, kind, ("atomic", "set", "map"))
    if keys and kind != "map":
        yield invalid(where, kind or "", "must be map if x-kubernetes-list-map-keys is non-empty")
    if kind == "map":
        if not keys:
            yield required(keys_at, "must not be empty if x-kubernetes-list-type is map")
        if items.get("type") != "object":
            yield invalid(path.child("items").child("type"), items.get("type") or "",
                          "must be object if parent array's x-kubernetes-list-type is map")
        for position, key in enumerate(keys):
            body = (items.get("properties") or {}).get(key)
            if body is None:
                yield invalid(keys_at.index(position), key, "entries must all be names of item properties")
            elif key not in (items.get("required") or []) and "default" not in body:
                yield required(path.child("items").child("properties").key(key).child("default"),
                               "this property is in x-kubernetes-list-map-keys, so it must have a default or be a "
                               "required property")
    elif kind == "set" and items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        yield forbidden(path.child("items").child("x-kubernetes-map-type"),
                        "must be atomic as item of a list with x-kubernetes-list-type=set")
    if raw.get("x-kubernetes-map-type") not in (None, "atomic", "granular"):
        yield not_supported(path.child("x-kubernetes-map-type"), raw["x-kubernetes-map-type"], ("atomic", "granular"))


def _value_rules(raw: Object, path: Path) -> Iterator[FieldError]:
    pattern = raw.get("pattern")
    if pattern:
        try:
            compile_regex(pattern)
        except RegexError as error:
            yield invalid(path.child("pattern"), pattern, f"must be a valid regular expression, but isn't: {error}")
    if raw.get("multipleOf") is not None and raw["multipleOf"] <= 0:
        yield invalid(path.child("multipleOf"), raw["multipleOf"], "must be greater than 0")


def _nested(body: Object, parent: Object, path: Path, *, int_or_string: bool) -> Iterator[FieldError]:
    """Below allOf and its like there are value rules only, and only for what the structure has."""
    for key in _STRUCTURE:
        if body.get(key):
            yield forbidden(path.child(key), "must be empty to be structural")
    if body.get("type") and not (int_or_string and body["type"] in ("integer", "string")):
        yield forbidden(path.child("type"), "must be empty to be structural")
    yield from _value_rules(body, path)
    outer = parent.get("properties") or {}
    for name, inner in (body.get("properties") or {}).items():
        where = path.child("properties").key(name)
        if name not in outer and not parent.get("x-kubernetes-preserve-unknown-fields"):
            yield required(Path(str(path).rpartition(".")[0]).child("properties").key(name),
                           f"because it is defined in {where}")
        else:
            yield from _nested(inner, outer.get(name, {}), where, int_or_string=bool(
                outer.get(name, {}).get("x-kubernetes-int-or-string")))
    if isinstance(body.get("items"), dict):
        items = parent.get("items") if isinstance(parent.get("items"), dict) else {}
        yield from _nested(body["items"], items or {}, path.child("items"), int_or_string=False)
    for key in _JUNCTORS:
        for position, inner in enumerate(body.get(key) or []):
            yield from _nested(inner, parent, path.child(key).index(position), int_or_string=int_or_string)
    if isinstance(body.get("not"), dict):
        yield from _nested(body["not"], parent, path.child("not"), int_or_string=int_or_string)


def _defaults(raw: Object, path: Path) -> list[FieldError]:
    """A default must be what the schema would let through, unchanged."""
    found: list[FieldError] = []
    if "default" in raw:
        where, value = path.child("default"), raw["default"]
        found += compile_values(raw).errors(value, where)
        if not found and isinstance(value, dict | list):
            unknown: list[str] = []
            compile_structural({"type": "object", "properties": {"x": raw}}).decode({"x": value}, None, unknown)
            if unknown:
                found.append(invalid(where, value, "must not have unknown fields"))
    for name, body in (raw.get("properties") or {}).items():
        found += _defaults(body, path.child("properties").key(name))
    for key in ("items", "additionalProperties"):
        if isinstance(raw.get(key), dict):
            found += _defaults(raw[key], path.child(key))
    return found
