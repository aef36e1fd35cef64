"""fieldValidation: what unknown fields and keys written twice are called, in bodies and in patches.

The words are those that upstream's conformance tests look for.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.extensions.definitions import establish, of
from tests.apiserver.serving import call, document, serving

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
DEPLOYMENT = """{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": {"a": "b"}},
  "spec": {"unknownField": "foo", "replicas": 2, "replicas": 3, "selector": {"matchLabels": {"a": "b"}},
           "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}"""
APPLY = {"content-type": "application/apply-patch+yaml"}
THING = b"""
apiVersion: stable.example.com/v1
kind: Thing
metadata:
  name: t
  finalizers:
  - test-finalizer
spec:
  unknown: uk1
  foo: foo1
  foo: foo2
"""
EMBEDDED = b"""apiVersion: stable.example.com/v1
kind: Thing
metadata: {name: t, unknownMeta: unknown}
spec:
  template: {apiVersion: foo/v1, kind: Sub, metadata: {unknownSubMeta: unknown, name: sub, namespace: default}}
"""
SPEC: dict[str, Any] = {
    "type": "object", "x-kubernetes-preserve-unknown-fields": True,
    "properties": {
        "foo": {"type": "string"},
        "template": {
            "type": "object", "x-kubernetes-embedded-resource": True,
            "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
                           "spec": {"type": "object"}},
        },
    },
}


async def test_a_typed_object_is_told_what_is_unknown_and_what_is_twice() -> None:
    async with serving() as (server, _):
        strict = await call(server, "POST", f"{DEPLOYMENTS}?fieldValidation=Strict", DEPLOYMENT.encode())
        words = 'strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"'
        assert strict.status == 400 and document(strict)["message"].endswith(words)
        warned = await call(server, "POST", f"{DEPLOYMENTS}?fieldValidation=Warn", DEPLOYMENT.encode())
        assert warned.status == 201 and warned.headers["warning"] == (
            '299 - "unknown field \\"spec.unknownField\\"", 299 - "duplicate field \\"spec.replicas\\""'
        )


@pytest.mark.parametrize(("media", "patch", "shown", "twice"), [
    ("strategic-merge-patch", b'{"spec":{"replicas":1,"replicas":2,"foo":1}}', "map[spec:map[foo:1 replicas:2]]",
     "spec.replicas"),
    ("merge-patch", b'{"spec":{"replicas":1,"replicas":2,"foo":1}}', '{\\"kind\\":\\"Deployment\\"', "spec.replicas"),
    ("json-patch", b'[{"op":"add","path":"/spec/foo","value":2,"value":1}]', '{\\"kind\\":\\"Deployment\\"',
     "[0].value"),
])
async def test_a_patch_is_told_too(media: str, patch: bytes, shown: str, twice: str) -> None:
    headers = {"content-type": f"application/{media}+json"}
    async with serving() as (server, _):
        await call(server, "POST", DEPLOYMENTS, DEPLOYMENT.encode())
        target = f"{DEPLOYMENTS}/d?fieldValidation="
        strict = await call(server, "PATCH", target + "Strict", patch, headers=headers)
        message = document(strict)["message"]
        assert strict.status == 422 and message.startswith(f' "" is invalid: patch: Invalid value: "{shown}')
        assert message.endswith(f'strict decoding error: duplicate field "{twice}", unknown field "spec.foo"')
        warned = await call(server, "PATCH", target + "Warn", patch, headers=headers)
        assert warned.status == 200 and f'duplicate field \\"{twice}\\"' in warned.headers["warning"]
        ignored = await call(server, "PATCH", target + "Ignore", patch, headers=headers)
        assert ignored.status == 200 and "warning" not in ignored.headers


async def test_an_apply_must_have_the_kinds_shape() -> None:
    body = b"""apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: default}
spec:
  replicas: lots
  foo: 1
  template: {spec: {containers: [{name: c, image: 1, imagee: i}, {name: c, env: x}]}}
"""
    async with serving() as (server, _):
        target = f"{DEPLOYMENTS}/d?fieldManager=m&fieldValidation=Ignore"
        answer = await call(server, "PATCH", target, body, headers=APPLY)
        assert answer.status == 400 and document(answer)["message"] == (
            "failed to create typed patch object (default/d; apps/v1, Kind=Deployment): errors:\n"
            "  .spec.replicas: expected numeric (int or float), got string\n"
            "  .spec.foo: field not declared in schema\n"
            '  .spec.template.spec.containers[name="c"].image: expected string, got '
            "&value.valueUnstructured{Value:1}\n"
            '  .spec.template.spec.containers[name="c"].imagee: field not declared in schema\n'
            '  .spec.template.spec.containers: duplicate entries for key [name="c"]\n'
            '  .spec.template.spec.containers[name="c"].env: expected list, got &{x}'
        )


async def test_a_custom_resource_that_keeps_what_is_unknown_refuses_what_is_twice() -> None:
    async with serving() as (server, client):
        await establish(client, of(SPEC), plural="things", kind="Thing")
        things = "/apis/stable.example.com/v1/namespaces/default/things"
        applied = await call(
            server, "PATCH", f"{things}/t?fieldManager=m&fieldValidation=Strict", THING, headers=APPLY
        )
        assert applied.status == 400 and 'line 11: key "foo" already set in map' in document(applied)["message"]
        posted = await call(
            server, "POST", f"{things}?fieldValidation=Strict", THING, headers={"content-type": "application/yaml"}
        )
        assert posted.status == 400 and 'line 11: key "foo" already set in map' in document(posted)["message"]
        target = f"{things}/t?fieldManager=m&fieldValidation=Warn"
        warned = await call(server, "PATCH", target, THING, headers=APPLY)
        assert warned.status == 201 and "already set in map" in warned.headers["warning"]


async def test_metadata_of_a_custom_resource_and_of_what_it_embeds_has_a_shape() -> None:
    async with serving() as (server, client):
        await establish(client, of(SPEC), plural="things", kind="Thing")
        target = "/apis/stable.example.com/v1/namespaces/default/things/t?fieldManager=m&fieldValidation=Strict"
        answer = await call(server, "PATCH", target, EMBEDDED, headers=APPLY)
        assert answer.status == 400 and document(answer)["message"].endswith(
            "\n  .metadata.unknownMeta: field not declared in schema"
            "\n  .spec.template.metadata.unknownSubMeta: field not declared in schema"
        )


async def test_an_apply_says_which_version_it_means() -> None:
    async with serving() as (server, _):
        target = "/api/v1/namespaces/default/configmaps/c?fieldManager=m"
        answer = await call(server, "PATCH", target, b"data: {a: b}", headers=APPLY)
        assert answer.status == 400 and document(answer)["message"] == (
            "Incorrect version specified in apply patch. Specified patch version: , expected: v1"
        )
