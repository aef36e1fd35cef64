"""What upstream's tests of server-side apply ask, scenario by scenario."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from tests.apiserver.extensions.definitions import CRON_SPEC, establish, of, until
from tests.apiserver.serving import call, document, serving

from sampan.api.resources import CUSTOM_RESOURCE_DEFINITIONS as CRDS
from sampan.api.resources import DEPLOYMENTS, PODS
from sampan.apiserver.server import APIServer

APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
CORE = "/api/v1/namespaces/default"
WEB = "/apis/apps/v1/namespaces/default/deployments/web"


async def patch(server: APIServer, path: str, body: Any, manager: str = "", media: str = APPLY, **query: str) -> Any:
    """The object, or the Status of a refusal."""
    asked = {"fieldManager": manager, **query}
    text = "&".join(f"{key}={value}" for key, value in asked.items() if value)
    return document(await call(server, "PATCH", f"{path}?{text}", body, headers={"content-type": media}))


def owned(obj: Any, manager: str) -> Any:
    return next(one["fieldsV1"] for one in obj["metadata"]["managedFields"] if one["manager"] == manager)


def deployment(ports: bool = False, **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "nginx", "image": "nginx:1"}
    if ports:
        container["ports"] = [{"containerPort": 80, "protocol": "TCP"}]
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "nginx"}},
        "spec": {
            "selector": {"matchLabels": {"app": "nginx"}},
            "template": {"metadata": {"labels": {"app": "nginx"}}, "spec": {"containers": [container]}}, **spec,
        },
    }


@pytest.mark.parametrize(("plural", "body", "fields"), [
    ("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [
        {"name": "test-container", "image": "test-image"},
    ]}}, {"f:spec": {"f:containers": {'k:{"name":"test-container"}': {".": {}, "f:image": {}, "f:name": {}}}}}),
    ("services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {
        "ports": [{"port": 8080, "protocol": "UDP"}],
    }}, {"f:spec": {"f:ports": {'k:{"port":8080,"protocol":"UDP"}': {".": {}, "f:port": {}, "f:protocol": {}}}}}),
])
async def test_an_object_that_is_not_there_is_created_and_two_may_own_it(plural: str, body: Any, fields: Any) -> None:
    async with serving() as (server, _):
        await patch(server, f"{CORE}/{plural}/x", body, "apply_test")
        assert (await call(server, "GET", f"{CORE}/{plural}/x")).status == 200
        again = await patch(server, f"{CORE}/{plural}/x", body, "apply_test_2")
        for manager in ("apply_test", "apply_test_2"):
            assert orjson.dumps(owned(again, manager), option=orjson.OPT_SORT_KEYS) == orjson.dumps(
                fields, option=orjson.OPT_SORT_KEYS
            )


async def test_a_status_is_applied_at_its_own_endpoint_only() -> None:
    async with serving() as (server, client):
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [
            {"name": "nginx", "image": "nginx:1"},
        ]}}
        await patch(server, f"{CORE}/pods/x", body, "apply_test")
        status = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"},
                  "status": {"conditions": [{"type": "MyStatus", "status": "True"}]}}
        await patch(server, f"{CORE}/pods/x", status, "apply_test2")

        async def kinds() -> set[str]:
            found = await client.get(PODS, "x", "default")
            return {one["type"] for one in found["status"].get("conditions", ())}

        assert "MyStatus" not in await kinds()
        await patch(server, f"{CORE}/pods/x/status", status, "apply_test2")
        assert "MyStatus" in await kinds()


async def test_a_field_that_is_not_applied_any_more_goes_unless_another_owns_it() -> None:
    async with serving() as (server, _):
        await patch(server, WEB, deployment(ports=True, replicas=3), "apply_test")
        gone = await patch(server, WEB, deployment(replicas=3), "apply_test")
        assert "ports" not in gone["spec"]["template"]["spec"]["containers"][0]
        shared = deployment(replicas=3)
        shared["spec"]["template"]["spec"]["hostname"] = "test-hostname"
        for manager in ("apply_test", "shared_owner"):
            await patch(server, WEB, copy.deepcopy(shared), manager)
        left = await patch(server, WEB, deployment(), "apply_test")
        assert left["spec"]["replicas"] == 3
        assert left["spec"]["template"]["spec"]["hostname"] == "test-hostname"


async def test_conflicts_are_causes_and_force_overrules_them() -> None:
    async with serving() as (server, _):
        await patch(server, WEB, deployment(replicas=3), "apply_test")
        await patch(server, WEB, {"spec": {"replicas": 5}}, "other", MERGE)
        refused = await patch(server, WEB, deployment(replicas=3), "apply_test")
        assert (refused["code"], refused["reason"]) == (409, "Conflict")
        [cause] = refused["details"]["causes"]
        assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".spec.replicas")
        forced = await patch(server, WEB, deployment(replicas=3), "apply_test", force="true")
        assert forced["spec"]["replicas"] == 3


async def test_what_an_update_took_over_stays_as_it_is() -> None:
    async with serving() as (server, client):
        await patch(server, WEB, deployment(replicas=3), "test_applier")
        found = await client.get(DEPLOYMENTS, "web", "default")
        await client.update(DEPLOYMENTS, {**found, "spec": {**found["spec"], "replicas": 4}})
        applied = await patch(server, WEB, deployment(), "test_applier")
        assert applied["spec"]["replicas"] == 4


PORT = {"type": "object", "required": ["containerPort", "protocol"], "properties": {
    "containerPort": {"type": "integer", "format": "int32"}, "hostIP": {"type": "string"},
    "hostPort": {"type": "integer", "format": "int32"}, "name": {"type": "string"}, "protocol": {"type": "string"},
}}
SPEC = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {
    "cronSpec": CRON_SPEC, "ports": {
        "type": "array", "items": PORT, "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
    },
    "atomicList": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"},
}}


def tab(text: str, version: str = "v1") -> bytes:
    return f"apiVersion: stable.example.com/{version}\nkind: CronTab\nmetadata:\n  name: mytest\n{text}".encode()


PORTS = """spec:
  cronSpec: "* * * * */5"
  replicas: 1
  ports:
  - name: x
    containerPort: 80
    protocol: TCP
"""


async def test_custom_resources_are_applied_in_every_version_and_list_type() -> None:
    first, second = (f"/apis/stable.example.com/{name}/crontabs/mytest" for name in ("v1", "v2"))
    async with serving() as (server, client):
        await establish(client, of(SPEC), of(SPEC, name="v2", storage=False), scope="Cluster")
        held = tab("  finalizers:\n  - test-finalizer\n" + PORTS)
        made = await patch(server, first, held, "apply_test")
        assert made["metadata"]["finalizers"] == ["test-finalizer"] and len(made["spec"]["ports"]) == 1
        other = await patch(server, second, tab(PORTS, "v2"), "apply_test")
        assert (other["apiVersion"], other["spec"]["replicas"]) == ("stable.example.com/v2", 1)
        both = {"metadata": {"finalizers": ["test-finalizer", "another-one"]}}
        assert len((await patch(server, first, both, media=MERGE))["metadata"]["finalizers"]) == 2
        again = await patch(server, first, held, "apply_test")
        assert again["metadata"]["finalizers"] == ["test-finalizer", "another-one"], "finalizers are a set"
        await patch(server, first, {"spec": {"replicas": 5}}, media=MERGE)
        refused = await patch(server, first, held, "apply_test")
        assert refused["code"] == 409 and len(refused["details"]["causes"]) == 1
        assert (await patch(server, first, held, "apply_test", force="true"))["spec"]["replicas"] == 1
        item = "spec:\n  ports:\n  - name: \"y\"\n    containerPort: {}\n    protocol: TCP\n"
        refused = await patch(server, first, tab(item.format(80)), "apply_test_2")
        assert refused["code"] == 409 and len(refused["details"]["causes"]) == 1
        assert len((await patch(server, first, tab(item.format(8080)), "apply_test_2"))["spec"]["ports"]) == 2
        for manager, value in (("apply_test", "item1"), ("apply_test_2", "item2")):
            found = await patch(
                server, first, tab(f"spec:\n  atomicList:\n  - {value}\n"), manager, force="true"
            )
            assert found["spec"]["atomicList"] == [value]
        put = await call(server, "PUT", first.replace("mytest", "should-not-exist"), {
            "apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": "should-not-exist"},
        })
        assert (put.status, document(put)["reason"]) == (404, "NotFound")


async def test_a_key_may_be_left_out_where_the_schema_has_a_default_for_it() -> None:
    path = "/apis/stable.example.com/v1/crontabs/mytest"
    body = tab("spec:\n  ports:\n  - name: x\n    containerPort: 80\n")
    async with serving() as (server, client):
        await establish(client, of(SPEC), scope="Cluster")
        refused = await patch(server, path, body, "apply_test")
        assert refused["code"] == 400 and refused["message"].endswith(
            '.spec.ports: element 0: associative list with keys has an element that omits key field "protocol" '
            "(and doesn't have default value)"
        )
        defaulted = copy.deepcopy(SPEC)
        defaulted["properties"]["ports"]["items"]["properties"]["protocol"]["default"] = "UDP"  # type: ignore[index]
        await client.patch(CRDS, "crontabs.stable.example.com", {"spec": {"versions": [of(defaulted)]}})

        async def taken() -> Any:
            found = await patch(server, path, body, "apply_test")
            return found if found["kind"] == "CronTab" else None

        made = await until(taken)
        assert made["spec"]["ports"][0]["protocol"] == "UDP"
        assert 'k:{"containerPort":80,"protocol":"UDP"}' in owned(made, "apply_test")["f:spec"]["f:ports"]


async def test_who_applies_a_status_owns_neither_the_metadata_nor_the_spec_of_a_custom_resource() -> None:
    path = "/apis/stable.example.com/v1/crontabs/mytest"
    body = {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "status": {"replicas": 1},
            "metadata": {"name": "mytest", "labels": {"a": "b"}}}
    async with serving() as (server, client):
        await establish(client, of(SPEC, subresources={"status": {}}), scope="Cluster")
        await patch(server, path, tab("spec: {}\n"), "apply_test")
        found = await patch(server, f"{path}/status", body, "status_test")
        assert "labels" not in found["metadata"] and found["status"] == {"replicas": 1}
        assert owned(found, "status_test") == {"f:status": {"f:replicas": {}}}
