"""Whatever a client sends as a schema, or as an object of one, the answer is never a server error."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.apiserver.extensions.definitions import CRONTABS, NAME, crontab, definition, establish, gone, of, version
from tests.apiserver.serving import call, document, serving

from sampan.api.resources import CUSTOM_RESOURCE_DEFINITIONS as CRDS

WORDS = st.sampled_from(["", "a", "object"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(-2, 2), WORDS)
JSON = st.recursive(SCALARS, lambda inner: st.one_of(
    st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["a", "type", "items"]), inner, max_size=2),
), max_leaves=5)
KEYWORDS = [
    "type", "properties", "items", "additionalProperties", "required", "enum", "default", "pattern", "format",
    "minimum", "maxLength", "multipleOf", "nullable", "allOf", "anyOf", "oneOf", "not", "uniqueItems",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-int-or-string",
    "x-kubernetes-embedded-resource", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
]
TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "x"])
NAMES = st.lists(st.sampled_from("abc"), max_size=2)


def schemas(inner):
    body = {
        "type": TYPES, "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2), "items": inner,
        "additionalProperties": st.one_of(inner, st.booleans()), "required": NAMES,
        "default": JSON, "enum": st.lists(JSON, max_size=2), "pattern": st.sampled_from(["a", "(", "^a+$"]),
        "x-kubernetes-list-type": st.sampled_from(["map", "set", "atomic"]),
        "x-kubernetes-list-map-keys": NAMES, "anyOf": st.lists(inner, max_size=2),
        "x-kubernetes-validations": st.just([{"rule": "self == oldSelf"}]), "format": st.sampled_from(["date", "json"]),
    }
    wild = st.dictionaries(st.sampled_from(KEYWORDS), JSON, max_size=2)
    return st.one_of(st.fixed_dictionaries({}, optional=body), wild, JSON)


SCHEMAS = st.recursive(st.fixed_dictionaries({"type": TYPES}), schemas, max_leaves=6)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SCHEMAS, min_size=10, max_size=10))
def test_any_schema_is_taken_or_refused(found):
    async def run():
        async with serving() as (server, client):
            for schema in found:
                response = await call(server, "POST", CRDS.path(), definition(of(schema)))
                assert response.status in (201, 400, 422), document(response)
                if response.status == 201:
                    await client.delete(CRDS, NAME)
                    await gone(client)

    asyncio.run(run())


FULL = {"type": "object", "properties": {
    "text": {"type": "string", "pattern": "^a", "maxLength": 3}, "any": {"x-kubernetes-int-or-string": True},
    "when": {"type": "string", "format": "date-time"}, "number": {"type": "number", "multipleOf": 0.5},
    "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"], "items": {
        "type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "n": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "!has(self.n) || self.n > 0"}]}},
    "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
    "map": {"type": "object", "additionalProperties": {"type": "string", "enum": ["a", "b"]}},
    "pod": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
}}
VALUES = st.dictionaries(st.sampled_from(list(FULL["properties"])), st.one_of(JSON, st.lists(
    st.dictionaries(st.sampled_from("an"), SCALARS), max_size=2)), max_size=3)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(VALUES, min_size=30, max_size=30))
def test_any_object_is_taken_or_refused(found):
    async def run():
        async with serving() as (server, client):
            selectable = [{"jsonPath": ".spec.text"}]
            await establish(client, of(FULL, selectableFields=selectable), version("v2", storage=False))
            path = CRONTABS.path("default")
            for position, spec in enumerate(found):
                response = await call(server, "POST", path, crontab(f"c{position}", **spec))
                assert response.status in (201, 400, 422), document(response)
                for media in ("merge-patch+json", "apply-patch+yaml"):
                    headers = {"content-type": f"application/{media}"}
                    target = f"{path}/c{position - 1}?fieldManager=m"
                    patch = crontab(f"c{position - 1}", **spec)
                    response = await call(server, "PATCH", target, patch, headers=headers)
                    assert response.status < 500, document(response)
            wanted = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
            listed = await call(server, "GET", path, headers=wanted)
            assert listed.status == 200

    asyncio.run(run())
