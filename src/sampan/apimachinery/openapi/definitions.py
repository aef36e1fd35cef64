"""Definitions as OpenAPI publishes them: upstream's structure with its prose put back, in the dialect of v2 or v3.

Only what is reachable from the definitions asked for is read, and the prose is let go again: it is of no use outside a
document that is being built.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from sampan.apimachinery.openapi.served import ServedResource
from sampan.apimachinery.schema.loader import Definitions, definitions, descriptions

Json: TypeAlias = dict[str, Any]

_LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized "
    "schemas to the latest internal value, and may reject unrecognized values."
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the "
    "endpoint the client submits requests to. Cannot be updated. In CamelCase."
)


class Publisher:
    """Collects definitions in one dialect; `version` is 2 or 3."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._prefix = "#/definitions/" if version == 2 else "#/components/schemas/"
        self._structures = definitions()
        self._prose: Definitions = descriptions()

    def reference(self, name: str) -> Json:
        return {"$ref": f"{self._prefix}{name}"}

    def publish(self, names: Iterable[str], resources: Iterable[ServedResource] = ()) -> Json:
        """All definitions reachable from `names`, and those of custom resources, by name, sorted."""
        published: Json = {}
        for resource in resources:
            if resource.schema is not None:
                published[resource.definition] = self._custom(resource)
                published[resource.list_definition] = self._custom_list(resource)
        waiting = [_OBJECT_META, _LIST_META, *names] if published else list(names)
        while waiting:
            name = waiting.pop()
            if name in published or name not in self._structures:
                continue
            raw = self._structures.raw(name)
            published[name] = self._definition(name, raw)
            waiting += _references(raw)
        return dict(sorted(published.items()))

    def _definition(self, name: str, raw: Json) -> Json:
        prose = self._prose.raw(name) if name in self._prose else {}
        special = self._special(raw)
        if special is not None:
            return {"description": prose[""], **special} if prose.get("") else special
        return self._node(raw, prose)

    def _special(self, raw: Json) -> Json | None:
        """Quantities and int-or-strings, which the two dialects say differently."""
        if raw.get("format") == "quantity":
            return {"type": "string"} if self._version == 2 else {"oneOf": [{"type": "string"}, {"type": "number"}]}
        if raw.get("format") == "int-or-string":
            if self._version == 2:
                return {"type": "string", "format": "int-or-string"}
            return {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
        return None

    def _node(self, raw: Json, prose: Mapping[str, str]) -> Json:
        node: Json = {}
        if prose.get(""):
            node["description"] = prose[""]
        for key, value in raw.items():
            if key == "$ref":
                node.update(self._pointer(value))
            elif key == "properties":
                node[key] = {
                    field: self._node(body, {"": prose.get(field, "")}) for field, body in sorted(value.items())
                }
            elif key in ("items", "additionalProperties") and isinstance(value, dict):
                node[key] = self._node(value, {})
            elif key == "x-kubernetes-group-version-kind" and not value:
                continue
            else:
                node[key] = value
        return node

    def _pointer(self, name: str) -> Json:
        """v3 allows nothing beside a `$ref`, so it goes into an `allOf`; structs default to being empty."""
        if self._version == 2:
            return self.reference(name)
        pointer: Json = {"allOf": [self.reference(name)]}
        if name in self._structures and self._structures.raw(name).get("type") == "object":
            pointer["default"] = {}
        return pointer

    def _custom(self, resource: ServedResource) -> Json:
        schema = dict(resource.schema or {})
        properties = dict(schema.get("properties") or {})
        properties.setdefault("apiVersion", {"type": "string", "description": _API_VERSION})
        properties.setdefault("kind", {"type": "string", "description": _KIND})
        properties["metadata"] = {"description": "Standard object's metadata.", **self._pointer(_OBJECT_META)}
        schema["properties"] = properties
        schema["type"] = "object"
        schema["x-kubernetes-group-version-kind"] = [_gvk(resource, resource.kind)]
        return schema if self._version == 3 else _for_v2(schema)

    def _custom_list(self, resource: ServedResource) -> Json:
        return {
            "description": f"{resource.kind}List is a list of {resource.kind}", "type": "object", "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string", "description": _API_VERSION},
                "kind": {"type": "string", "description": _KIND},
                "metadata": {"description": "Standard list metadata.", **self._pointer(_LIST_META)},
                "items": {
                    "type": "array", "description": f"List of {resource.resource}.",
                    "items": self._pointer(resource.definition),
                },
            },
            "x-kubernetes-group-version-kind": [_gvk(resource, f"{resource.kind}List")],
        }


def _gvk(resource: ServedResource, kind: str) -> Json:
    return {"group": resource.group, "kind": kind, "version": resource.version}


def _references(raw: Any) -> list[str]:
    if isinstance(raw, list):
        return [name for item in raw for name in _references(item)]
    if not isinstance(raw, dict):
        return []
    found = [raw["$ref"]] if isinstance(raw.get("$ref"), str) else []
    return found + [name for value in raw.values() for name in _references(value)]


_V3_ONLY = frozenset({"oneOf", "anyOf", "allOf", "not", "nullable", "default", "x-kubernetes-validations"})


def _for_v2(schema: Any) -> Any:
    """A custom resource's schema without what swagger 2.0 does not have."""
    if isinstance(schema, list):
        return [_for_v2(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string"):
        return {key: value for key, value in schema.items() if key == "description" or key.startswith("x-kubernetes-")}
    plain = {key: _for_v2(value) for key, value in schema.items() if key not in _V3_ONLY}
    if isinstance(schema.get("properties"), dict):
        plain["properties"] = {name: _for_v2(body) for name, body in schema["properties"].items()}
    return plain
