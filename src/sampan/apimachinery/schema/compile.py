"""A Schema: one definition (or one field of it), compiled into what the API server asks of it on every request.

`decode_strict` turns a document that came off the wire into one of the kind's shape: unknown fields are dropped and
named, nulls are dropped, numbers and quantities and times are checked, and a value of the wrong type is refused in the
words of Go's JSON decoder. `child`, `items`, `merge_key` and the rest are what patches and server-side apply ask.

A node is made when it is first reached, so only what is used takes memory. Built-in kinds come from the loader; the
structural schema of a CustomResourceDefinition is compiled by `schema.structural`, where unknown fields are pruned but
types are left to validation, as upstream does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.object import Object
from sampan.apimachinery.schema import go_structs, scalars
from sampan.apimachinery.schema.scalars import Mismatch, ScalarError

Json: TypeAlias = dict[str, Any]
Resolve: TypeAlias = Callable[[str], "Schema"]
Element: TypeAlias = "tuple[str, Schema | None, bool, bool]"
"""A field's path element, its schema, whether it is one field whatever it holds, whether Go always has it."""

_FREE_FORM: Final = frozenset({
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
})
_EXTENSIONS: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
_BY_NAME: Final = {
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "micro-time",
    f"{_EXTENSIONS}.JSONSchemaPropsOrBool": "schema-or-else",
    f"{_EXTENSIONS}.JSONSchemaPropsOrArray": "schema-or-else",
}
_ZERO: Final[Mapping[str, Any]] = {"string": "", "integer": 0, "number": 0, "boolean": False}


class DecodeError(BadRequest):
    """The document does not have the kind's shape. `why` is the message without the kind around it."""

    def __init__(self, why: str, schema: Schema) -> None:
        super().__init__(cannot_handle(schema, why))
        self.why = why


class _Irregular(Exception):
    """A document that `decode_own` cannot settle on its own: there is something to say about it."""


class Place:
    """Where in a document: a chain of steps up to the root, turned into text only when something is wrong there."""

    __slots__ = ("parent", "step", "struct")

    def __init__(self, parent: Place | None, step: str | int, struct: str) -> None:
        self.parent = parent
        self.step = step
        self.struct = struct

    def _steps(self) -> list[str | int]:
        steps: list[str | int] = []
        place: Place | None = self
        while place is not None:
            steps.append(place.step)
            place = place.parent
        return steps[::-1]

    def __str__(self) -> str:
        """As strict decoding names it: `spec.containers[0].name`."""
        text = ""
        for step in self._steps():
            if isinstance(step, int):
                text += f"[{step}]"
            else:
                text += f".{step}" if text else step
        return text

    def go_field(self) -> str:
        """As Go's decoder names it: the innermost struct, then the path without indexes and map keys."""
        names: list[str] = []
        place: Place | None = self
        while place is not None:
            if place.struct and isinstance(place.step, str):
                names.append(place.step)
            place = place.parent
        place = self
        while place is not None and not place.struct:
            place = place.parent
        return f"{place.struct if place else ''}.{'.'.join(reversed(names))}"


_KEY_DEFAULTS: Final = {"protocol": "TCP"}


class Schema:
    """The shape of a value. `kind` is object, map, list, string, integer, number, boolean, quantity, int-or-string,
    time, micro-time, bytes, schema-or-else or any; `granular` is how it is owned; the rest are the schema's extensions,
    empty where it has none."""

    __slots__ = (
        "_children", "_elements", "_fields", "_items", "_own", "_raw", "_resolve", "_target", "_values", "decode",
        "format", "granular", "kind", "list_map_keys", "list_type", "map_type", "merge_key", "name", "patch_strategy",
        "plain", "preserves_unknown", "struct",
    )

    decode: Callable[[Any, Place | None, list[str]], Any]
    _own: Callable[[Any], Any]

    def __init__(self, raw: Json, resolve: Resolve, name: str = "") -> None:
        target = resolve(raw["$ref"]) if "$ref" in raw else None
        self.name: str = target.name if target else name
        self._target = target
        self._raw = raw
        self._resolve = resolve
        self.format: str = raw.get("format", "") or (target.format if target else "")
        self.kind: str = target.kind if target else _kind(raw, name)
        self.struct = self.name.rpartition(".")[2]
        self.merge_key: str = raw.get("x-kubernetes-patch-merge-key", "")
        self.patch_strategy: tuple[str, ...] = tuple(
            part for part in raw.get("x-kubernetes-patch-strategy", "").split(",") if part
        )
        inherited = target or self
        self.list_type: str = raw.get("x-kubernetes-list-type", "")
        self.list_map_keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys", ()))
        self.map_type: str = raw.get("x-kubernetes-map-type", "") or (target.map_type if target else "")
        self.preserves_unknown: bool = bool(raw.get("x-kubernetes-preserve-unknown-fields", False))
        self._fields: Json = inherited._raw.get("properties", {}) if target is None else target._fields
        self._children: dict[str, Schema] = {} if target is None else target._children
        self._elements: dict[str, Element] = {} if target is None else target._elements
        self._items: Schema | None = None
        self._values: Schema | None = None
        self.plain: type | None = {"string": str, "boolean": bool}.get(self.kind)
        self.decode = getattr(self, _DECODERS.get(self.kind, "_scalar"))
        self._own = getattr(self, _OWN_DECODERS.get(self.kind, "_own_scalar"))
        self.granular = granularity(self)

    @property
    def group_version_kinds(self) -> tuple[Mapping[str, str], ...]:
        """`x-kubernetes-group-version-kind`: what this definition is served as."""
        raw = self._target._raw if self._target else self._raw
        return tuple(raw.get("x-kubernetes-group-version-kind", ()))

    @property
    def admits_unknown(self) -> bool:
        """Whether an object may have fields that the schema does not name."""
        return self.preserves_unknown

    def key_default(self, key: str) -> Any:
        """Of a list of keyed items: what a key is that an item leaves out, None if it may not. The published schema
        of the built-in kinds says it of `protocol` alone."""
        return _KEY_DEFAULTS.get(key)

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(self._fields)

    @property
    def required(self) -> tuple[str, ...]:
        """Fields that must be there; not enforced here for built-in kinds."""
        raw = self._target._raw if self._target else self._raw
        return tuple(raw.get("required", ()))

    def child(self, field: str) -> Schema | None:
        """The schema of a field, or of a map's values; None where nothing is known."""
        found = self._children.get(field)
        if found is not None:
            return found
        raw = self._fields.get(field)
        if raw is not None:
            found = self._children[field] = Schema(raw, self._resolve)
            return found
        return self.values if self.kind == "map" else None

    def element(self, field: str) -> Element:
        """A field as field ownership sees it."""
        found = self._elements.get(field)
        if found is None:
            child = self.child(field)
            there = self.kind == "object" and go_structs.always_there(self.struct, field)
            found = (f"f:{field}", child, child is not None and not child.granular, there)
            if field in self._fields:  # others have no end
                self._elements[field] = found
        return found

    @property
    def items(self) -> Schema | None:
        """The schema of a list's items."""
        if self._target is not None:
            return self._target.items
        if self._items is None and isinstance(self._raw.get("items"), dict):
            self._items = Schema(self._raw["items"], self._resolve)
        return self._items

    @property
    def values(self) -> Schema | None:
        """The schema of a map's values."""
        if self._target is not None:
            return self._target.values
        if self._values is None and isinstance(self._raw.get("additionalProperties"), dict):
            self._values = Schema(self._raw["additionalProperties"], self._resolve)
        return self._values

    def decode_strict(self, obj: Any) -> tuple[Object, list[str]]:
        """The document in this shape, and the strict warnings (`unknown field "spec.foo"`). Raises DecodeError."""
        unknown: list[str] = []
        try:
            decoded: Object = self.decode(obj, None, unknown)
        except Mismatch as error:
            raise DecodeError(str(error), self) from None
        return decoded, unknown

    def decode_own(self, obj: Any) -> tuple[Object, list[str]]:
        """As `decode_strict`, for a document that is the caller's alone and may be changed: it becomes the answer."""
        decoded = self.decode_regular(obj)
        return (decoded, []) if decoded is not None else self.decode_strict(obj)

    def decode_regular(self, obj: Any) -> Object | None:
        """As `decode_own`; None for a document that there is something to say about, or that nulls take the place of
        values in."""
        try:
            decoded: Object = self._own(obj)
            return decoded
        except _Irregular:
            return None

    def go_type(self) -> str:
        """What Go calls this type in a decoder's message."""
        if self.kind == "list":
            return f"[]{self.items.go_type() if self.items else 'interface {}'}"
        if self.kind == "map":
            if self.values is not None and self.values.kind == "quantity":
                return "v1.ResourceList"
            return f"map[string]{self.values.go_type() if self.values else 'interface {}'}"
        if self.kind == "object":
            return ".".join(self.name.split(".")[-2:])
        return scalars.GO_TYPES.get(self.kind, self.format or "string")

    def zero(self) -> Any:
        """What a null in a list or a map means to Go: the type's zero value."""
        if self.kind in ("object", "map"):
            return {}
        return _ZERO.get(self.kind)

    def _mismatch(self, value: Any, place: Place | None, *, shown: str = "") -> Mismatch:
        where = f"Go struct field {place.go_field()}" if place else "Go value"
        return Mismatch(f"json: cannot unmarshal {shown or scalars.json_type(value)} into {where} of type "
                        f"{self.go_type()}")

    def _object(self, value: Any, place: Place | None, unknown: list[str]) -> Any:
        if type(value) is not dict:
            raise self._mismatch(value, place)
        decoded: Object = {}
        children, struct = self._children, self.struct
        for key, item in value.items():
            schema = children.get(key) or self.child(key)
            if schema is None:
                unknown.append(f'unknown field "{Place(place, key, struct)}"')
            elif item is None:
                continue
            elif schema.plain is type(item):
                decoded[key] = item
            else:
                decoded[key] = schema.decode(item, Place(place, key, struct), unknown)
        return decoded

    def _map(self, value: Any, place: Place | None, unknown: list[str]) -> Any:
        if type(value) is not dict:
            raise self._mismatch(value, place)
        schema = self.values
        if schema is None:
            return value
        plain, decoded = schema.plain, {}
        for key, item in value.items():
            if plain is type(item):
                decoded[key] = item
            elif item is None:
                decoded[key] = schema.zero()
            else:
                decoded[key] = schema.decode(item, Place(place, key, ""), unknown)
        return decoded

    def _list(self, value: Any, place: Place | None, unknown: list[str]) -> Any:
        if type(value) is not list:
            raise self._mismatch(value, place)
        schema = self.items
        if schema is None:
            return value
        plain = schema.plain
        return [
            item if plain is type(item)
            else schema.zero() if item is None
            else schema.decode(item, Place(place, position, ""), unknown)
            for position, item in enumerate(value)
        ]

    def _scalar(self, value: Any, place: Place | None, unknown: list[str]) -> Any:
        try:
            return scalars.CHECKS[self.kind](value, self.format)
        except ScalarError as error:
            raise self._mismatch(value, place, shown=error.shown) from None

    def _own_object(self, value: Any) -> Any:
        if type(value) is not dict:
            raise _Irregular
        children, nulls = self._children, None
        for key, item in value.items():
            schema = children.get(key) or self.child(key)
            if schema is None:
                raise _Irregular
            if schema.plain is type(item):
                continue
            if item is None:
                nulls = [key] if nulls is None else [*nulls, key]
                continue
            own = schema._own(item)
            if own is not item:
                value[key] = own
        for key in nulls or ():
            del value[key]
        return value

    def _own_map(self, value: Any) -> Any:
        if type(value) is not dict:
            raise _Irregular
        schema = self.values
        if schema is None:
            return value
        plain = schema.plain
        for key, item in value.items():
            if plain is not type(item):
                value[key] = schema._own(item)
        return value

    def _own_list(self, value: Any) -> Any:
        if type(value) is not list:
            raise _Irregular
        schema = self.items
        if schema is None:
            return value
        plain = schema.plain
        for position, item in enumerate(value):
            if plain is not type(item):
                value[position] = schema._own(item)
        return value

    def _own_scalar(self, value: Any) -> Any:
        if value is None:
            raise _Irregular
        try:
            return scalars.CHECKS[self.kind](value, self.format)
        except (ScalarError, Mismatch):
            raise _Irregular from None

    def _own_any(self, value: Any) -> Any:
        return value

    def _own_other(self, value: Any) -> Any:
        raise _Irregular

    def _schema_or_else(self, value: Any, place: Place | None, unknown: list[str]) -> Any:
        """Within a custom resource's schema: another schema, a list of them, or a boolean."""
        if isinstance(value, dict):
            return self._resolve(f"{_EXTENSIONS}.JSONSchemaProps").decode(value, place, unknown)
        if isinstance(value, bool | list):
            return value
        raise self._mismatch(value, place)

    def _any(self, value: Any, place: Place | None, unknown: list[str]) -> Any:
        return value


_DECODERS: Final = {
    "object": "_object", "map": "_map", "list": "_list", "any": "_any", "schema-or-else": "_schema_or_else",
}


_OWN_DECODERS: Final = {
    "object": "_own_object", "map": "_own_map", "list": "_own_list", "any": "_own_any", "schema-or-else": "_own_other",
}


def _kind(raw: Json, name: str) -> str:
    if name in _FREE_FORM:
        return "any"
    if name in _BY_NAME:
        return _BY_NAME[name]
    kind, format = raw.get("type", ""), raw.get("format", "")
    if kind == "object":
        return "map" if "additionalProperties" in raw and "properties" not in raw else "object"
    if kind == "array":
        return "list"
    if kind == "string":
        return {"quantity": "quantity", "int-or-string": "int-or-string", "byte": "bytes"}.get(format, "string")
    return kind or "any"


def granularity(schema: Schema) -> str:
    """How fields below are told apart: `object`, `map`, `items` by their keys, `set`; empty: it is one field."""
    if schema.kind == "list":
        return {"map": "items", "set": "set"}.get(schema.list_type, "")
    if schema.kind in ("object", "map") and schema.map_type != "atomic":
        return schema.kind
    return ""


def cannot_handle(schema: Schema, why: str) -> str:
    """`Pod in version "v1" cannot be handled as a Pod: why`."""
    served = schema.group_version_kinds
    kind = served[0]["kind"] if served else schema.struct
    version = served[0]["version"] if served else ""
    return f'{kind} in version "{version}" cannot be handled as a {kind}: {why}'


def strict_error(schema: Schema, warnings: list[str]) -> DecodeError:
    """What `fieldValidation=Strict` makes of the warnings."""
    return DecodeError(f"strict decoding error: {', '.join(warnings)}", schema)
