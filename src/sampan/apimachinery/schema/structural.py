"""The structural schema of a CustomResourceDefinition, as a Schema.

Decoding prunes what the schema does not know, unless `x-kubernetes-preserve-unknown-fields` keeps it, and names it for
strict validation; types are left to validation, as upstream does. `apiVersion`, `kind` and `metadata` are always known
at the root and in embedded resources, and metadata is decoded as the built-in ObjectMeta.
"""

from __future__ import annotations

from typing import Any

from sampan.apimachinery.object import Object
from sampan.apimachinery.schema.compile import Json, Place, Schema, granularity
from sampan.apimachinery.schema.loader import definition

_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def compile_structural(raw: Json, group: str = "", version: str = "", kind: str = "") -> Schema:
    """From `openAPIV3Schema`; group, version and kind are those the custom resource is served as."""
    served = [{"group": group, "version": version, "kind": kind}] if kind else []
    return StructuralSchema({**raw, "x-kubernetes-group-version-kind": served}, is_resource=True)


class StructuralSchema(Schema):
    """A node of a structural schema. Values of the wrong type pass through untouched."""

    __slots__ = ("is_resource", "keeps_maps")

    def __init__(self, raw: Json, *, is_resource: bool = False) -> None:
        super().__init__(_without_refs(raw), _no_references, "")
        self.is_resource = is_resource or bool(raw.get("x-kubernetes-embedded-resource"))
        if raw.get("x-kubernetes-int-or-string"):
            self.kind = "int-or-string"
        elif self.is_resource or "properties" in raw:
            self.kind = "object"
        self.keeps_maps = raw.get("additionalProperties") is True
        self.plain = None
        self.decode = {"object": self._prune_object, "map": self._prune_map, "list": self._prune_list}.get(
            self.kind, self._any
        )
        self.granular = granularity(self)
        self._own = self._own_other  # pruning has its own rules

    @property
    def admits_unknown(self) -> bool:
        return self.preserves_unknown or self.keeps_maps

    def key_default(self, key: str) -> Any:
        found = self.items.child(key) if self.items is not None else None
        return found._raw.get("default") if found is not None else None

    def child(self, field: str) -> Schema | None:
        found = self._children.get(field)
        if found is not None:
            return found
        if self.is_resource and field == "metadata":
            found = definition(_OBJECT_META)
        elif self.is_resource and field in ("apiVersion", "kind"):
            found = StructuralSchema({"type": "string"})
        elif isinstance(self._fields.get(field), dict):
            found = StructuralSchema(self._fields[field])
        if found is not None:
            self._children[field] = found
            return found
        return self.values if self.kind == "map" else None

    @property
    def items(self) -> Schema | None:
        if self._items is None and isinstance(self._raw.get("items"), dict):
            self._items = StructuralSchema(self._raw["items"])
        return self._items

    @property
    def values(self) -> Schema | None:
        if self._values is None and isinstance(self._raw.get("additionalProperties"), dict):
            self._values = StructuralSchema(self._raw["additionalProperties"])
        return self._values

    def _prune_object(self, value: Any, place: Place | None, unknown: list[str]) -> Any:
        if type(value) is not dict:
            return value
        decoded: Object = {}
        for key, item in value.items():
            schema = self.child(key) or (self.values if not self.preserves_unknown else None)
            if schema is not None:
                if item is not None or isinstance(schema, StructuralSchema):
                    decoded[key] = schema.decode(item, Place(place, key, "_"), unknown)
            elif self.preserves_unknown or self.keeps_maps:
                decoded[key] = item
            else:
                unknown.append(f'unknown field "{Place(place, key, "_")}"')
        return decoded

    def _prune_map(self, value: Any, place: Place | None, unknown: list[str]) -> Any:
        schema = self.values
        if type(value) is not dict or schema is None:
            return value
        return {key: schema.decode(item, Place(place, key, ""), unknown) for key, item in value.items()}

    def _prune_list(self, value: Any, place: Place | None, unknown: list[str]) -> Any:
        schema = self.items
        if type(value) is not list or schema is None:
            return value
        return [schema.decode(item, Place(place, i, ""), unknown) for i, item in enumerate(value)]


def _without_refs(raw: Json) -> Json:
    """Structural schemas know no references; one that slipped in is as good as nothing."""
    return {key: value for key, value in raw.items() if key != "$ref"}


def _no_references(name: str) -> Schema:
    raise LookupError(name)


def has_rules(raw: Any) -> bool:
    """Whether there is a rule in CEL anywhere; most schemas have none, and then CEL is never loaded."""
    if isinstance(raw, dict):
        return bool(raw.get("x-kubernetes-validations")) or any(has_rules(item) for item in raw.values())
    return isinstance(raw, list) and any(has_rules(item) for item in raw)
