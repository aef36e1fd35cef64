"""What upstream's tests of sig-api-machinery ask of definitions, where tests/apiserver/extensions does not."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from tests.apiserver.extensions.definitions import crontab, definition, establish, of, schema, until, version
from tests.apiserver.serving import call, document, serving

from sampan.api.resources import CUSTOM_RESOURCE_DEFINITIONS as CRDS
from sampan.apimachinery.resource import Resource

GROUP, PATH = "stable.example.com", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"content-type": "application/merge-patch+json"}
AGGREGATED = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
CONDITION = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}


async def test_the_status_of_a_definition_is_read_updated_and_patched() -> None:
    async with serving() as (server, client):
        await establish(client)
        path = f"{PATH}/crontabs.{GROUP}/status"
        found = document(await call(server, "GET", path))
        found["status"]["conditions"].append(CONDITION)
        updated = document(await call(server, "PUT", path, found))
        assert CONDITION in [{key: one.get(key) for key in CONDITION} for one in updated["status"]["conditions"]]
        conditions = [*updated["status"]["conditions"], {**CONDITION, "type": "StatusPatched"}]
        patched = await call(server, "PATCH", path, {"status": {"conditions": conditions}}, headers=MERGE)
        assert patched.status == 200
        await asyncio.sleep(0)
        kinds = [one["type"] for one in document(await call(server, "GET", path))["status"]["conditions"]]
        assert {"Established", "NamesAccepted", "StatusUpdate", "StatusPatched"} <= set(kinds)


async def test_definitions_are_listed_and_deleted_by_label() -> None:
    async with serving() as (server, client):
        for number in range(10):
            one = definition(plural=f"things{number}", kind=f"Thing{number}")
            one["metadata"]["labels"] = {"run": "mine"}
            await client.create(CRDS, one)
        await establish(client)
        listed = await client.list(CRDS, label_selector="run=mine")
        assert len(listed["items"]) == 10
        await call(server, "DELETE", f"{PATH}?labelSelector=run=mine")

        async def gone() -> bool:
            return [one["metadata"]["name"] for one in (await client.list(CRDS))["items"]] == [f"crontabs.{GROUP}"]

        await until(gone)


async def test_definitions_are_in_the_documents_of_discovery() -> None:
    async with serving() as (server, _):
        groups = {one["name"]: one for one in document(await call(server, "GET", "/apis"))["groups"]}
        assert groups["apiextensions.k8s.io"]["versions"] == [
            {"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"}
        ]
        resources = document(await call(server, "GET", "/apis/apiextensions.k8s.io/v1"))["resources"]
        [found] = [one for one in resources if one["name"] == "customresourcedefinitions"]
        assert (found["kind"], found["namespaced"]) == ("CustomResourceDefinition", False)


async def test_custom_resources_are_in_aggregated_discovery() -> None:
    async with serving() as (server, client):
        await establish(client, version(subresources={"status": {}}), names={"shortNames": ["ct"]})
        items = document(await call(server, "GET", "/apis", headers=AGGREGATED))["items"]
        [group] = [one for one in items if one["metadata"]["name"] == GROUP]
        [shown] = group["versions"][0]["resources"]
        shown["verbs"].sort()
        assert shown == {
            "resource": "crontabs", "responseKind": {"group": GROUP, "version": "v1", "kind": "CronTab"},
            "scope": "Namespaced", "singularResource": "crontab", "shortNames": ["ct"],
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            "subresources": [{
                "subresource": "status", "responseKind": {"group": GROUP, "version": "v1", "kind": "CronTab"},
                "verbs": ["get", "patch", "update"],
            }],
        }


async def _published(server: Any) -> tuple[set[str], set[str]]:
    """The names of custom kinds' schemas in OpenAPI v2, and the custom group versions of v3."""
    second = document(await call(server, "GET", "/openapi/v2"))
    third = document(await call(server, "GET", "/openapi/v3"))
    return (
        {name for name in second["definitions"] if name.startswith("com.example.")},
        {path.removeprefix("apis/") for path in third["paths"] if GROUP in path or "other.example.com" in path},
    )


async def test_openapi_follows_versions_that_are_served_renamed_and_not_served_any_more() -> None:
    async with serving() as (server, client):
        await establish(client, version("v2"), version("v3", storage=False))
        names, groups = await _published(server)
        assert {"com.example.stable.v2.CronTab", "com.example.stable.v3.CronTab"} <= names
        assert {f"{GROUP}/v2", f"{GROUP}/v3"} <= groups
        renamed = [version("v2"), version("v4", storage=False)]
        await client.patch(CRDS, f"crontabs.{GROUP}", {"spec": {"versions": renamed}})

        async def until_renamed() -> bool:
            names, groups = await _published(server)
            return (
                "com.example.stable.v4.CronTab" in names and "com.example.stable.v3.CronTab" not in names
                and f"{GROUP}/v4" in groups and f"{GROUP}/v3" not in groups
            )

        await until(until_renamed)
        hidden = [version("v2"), version("v4", storage=False, served=False)]
        await client.patch(CRDS, f"crontabs.{GROUP}", {"spec": {"versions": hidden}})

        async def until_hidden() -> bool:
            names, groups = await _published(server)
            return "com.example.stable.v4.CronTab" not in names and f"{GROUP}/v4" not in groups

        await until(until_hidden)
        names, _ = await _published(server)
        assert "com.example.stable.v2.CronTab" in names


async def test_openapi_has_definitions_of_several_groups_and_kinds_at_once() -> None:
    async with serving() as (server, client):
        await establish(client)
        await establish(client, plural="foos", kind="Foo")
        other = definition(plural="bars", kind="Bar")
        other["metadata"]["name"], other["spec"]["group"] = "bars.other.example.com", "other.example.com"
        await client.create(CRDS, other)

        async def both() -> bool:
            names, groups = await _published(server)
            return {
                "com.example.stable.v1.CronTab", "com.example.stable.v1.Foo", "com.example.other.v1.Bar",
            } <= names and groups == {f"{GROUP}/v1", "other.example.com/v1"}

        await until(both)


async def test_published_schemas_say_what_clients_may_check() -> None:
    """Unknown fields are allowed where they are kept, and only there; metadata and the kind are added."""
    kept = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    described = {"type": "object", "description": "Specification of CronTab", "required": ["bars"], "properties": {
        "bars": {"type": "array", "description": "List of Bars", "items": {
            "type": "object", "required": ["name"], "properties": {"name": {"type": "string", "description": "N"}},
        }},
    }}
    async with serving() as (server, client):
        await establish(client, of(described))
        await establish(client, version(schema={"openAPIV3Schema": kept}), plural="roots", kind="Root")
        await establish(client, of(kept), plural="nesteds", kind="Nested")
        definitions = document(await call(server, "GET", "/openapi/v2"))["definitions"]
        typed = definitions["com.example.stable.v1.CronTab"]
        assert typed["properties"]["spec"]["description"] == "Specification of CronTab"
        assert typed["properties"]["spec"]["properties"]["bars"]["items"]["required"] == ["name"]
        assert typed["x-kubernetes-group-version-kind"] == [{"group": GROUP, "version": "v1", "kind": "CronTab"}]
        assert "ObjectMeta" in orjson.dumps(typed["properties"]["metadata"]).decode()
        root = definitions["com.example.stable.v1.Root"]
        assert root["x-kubernetes-preserve-unknown-fields"] is True
        nested = definitions["com.example.stable.v1.Nested"]["properties"]["spec"]
        assert nested.get("x-kubernetes-preserve-unknown-fields") is True


async def test_custom_resources_are_watched_by_name_and_version() -> None:
    tabs = Resource(GROUP, "v1", "crontabs", "CronTab")
    async with serving() as (server, client):
        await establish(client)
        path = f"/apis/{GROUP}/v1/crontabs?watch=true&fieldSelector=metadata.name=a&resourceVersion="
        response = await call(server, "GET", path + (await client.list(tabs))["metadata"]["resourceVersion"])
        assert response.stream is not None
        await client.create(tabs, crontab("b"))
        await client.create(tabs, crontab("a", image="x"))
        await client.patch(tabs, "a", {"metadata": {"labels": {"seen": "yes"}}}, "default", type="merge")
        await client.delete(tabs, "a", "default")
        lines: list[bytes] = []
        while len(lines) < 3:
            lines += (await anext(response.stream)).splitlines()
        events = [orjson.loads(line) for line in lines]
        assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
        assert {event["object"]["metadata"]["name"] for event in events} == {"a"}


async def test_a_list_of_mixed_versions_is_of_the_version_that_is_asked_for() -> None:
    """Stored in v1 and then, after the storage version changed, in v2."""
    one, two = Resource(GROUP, "v1", "crontabs", "CronTab"), Resource(GROUP, "v2", "crontabs", "CronTab")
    async with serving() as (_, client):
        await establish(client, version("v1"), version("v2", storage=False))
        await client.create(one, crontab("a", image="x"))
        await client.patch(CRDS, f"crontabs.{GROUP}", {"spec": {"versions": [
            version("v1", storage=False), version("v2"),
        ]}})

        async def stored() -> bool:
            status = (await client.get(CRDS, f"crontabs.{GROUP}"))["status"]
            return status["storedVersions"] == ["v1", "v2"]

        await until(stored)
        await client.create(one, crontab("b", image="x"))
        for resource in (one, two):
            found = (await client.list(resource, "default"))["items"]
            assert [item["metadata"]["name"] for item in found] == ["a", "b"]
            assert {item.get("apiVersion", resource.api_version) for item in found} == {resource.api_version}


async def test_a_default_comes_and_goes_with_the_schema_and_what_is_stored_stays() -> None:
    tabs = Resource(GROUP, "v1", "crontabs", "CronTab")

    def fields(**more: Any) -> dict[str, Any]:
        return of({"type": "object", "properties": {
            "a": {"type": "string", **more.get("a", {})}, "b": {"type": "string", **more.get("b", {})},
        }})

    async with serving() as (_, client):
        await establish(client, fields())
        await client.create(tabs, crontab("first"))
        await client.patch(CRDS, f"crontabs.{GROUP}", {"spec": {"versions": [fields(a={"default": "A"})]}})

        async def shows(**wanted: str) -> bool:
            return bool((await client.get(tabs, "first", "default")).get("spec") == wanted)

        await until(lambda: shows(a="A"))
        await client.create(tabs, crontab("second"))
        await client.patch(CRDS, f"crontabs.{GROUP}", {"spec": {"versions": [fields(b={"default": "B"})]}})
        await until(lambda: shows(b="B"))
        assert (await client.get(tabs, "second", "default"))["spec"] == {"a": "A", "b": "B"}


async def test_a_schema_that_changes_is_published_in_its_new_form() -> None:
    async with serving() as (server, client):
        await establish(client, version())
        more = {"type": "object", "properties": {"fresh": {"type": "string"}}}
        changed = version(schema={"openAPIV3Schema": schema(more)})
        await client.patch(CRDS, f"crontabs.{GROUP}", {"spec": {"versions": [changed]}})

        async def fresh() -> bool:
            found = document(await call(server, "GET", "/openapi/v2"))["definitions"]["com.example.stable.v1.CronTab"]
            return "fresh" in found["properties"]["spec"]["properties"]

        await until(fresh)
