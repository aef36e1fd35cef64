"""Custom resources, as a client of the API sees them."""

from __future__ import annotations

import asyncio

import pytest
from tests.apiserver.extensions.definitions import (
    CRON_SPEC,
    CRONTABS,
    NAME,
    crontab,
    definition,
    establish,
    of,
    schema,
    until,
    version,
)
from tests.apiserver.serving import call, document, serving
from tests.meanwhile import meanwhile

from sampan.api.resources import CUSTOM_RESOURCE_DEFINITIONS as CRDS
from sampan.apimachinery import errors
from sampan.apimachinery.resource import Resource
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.server import ITSELF, APIServer
from sampan.client.client import Client
from sampan.storage.memory import MemoryStore

PATH = "/apis/stable.example.com/v1/namespaces/default/crontabs"
GOOD = "* * * * */5"
OLD = Resource("stable.example.com", "v1beta1", "crontabs", "CronTab")


async def test_objects_are_defaulted_and_pruned():
    async with serving() as (server, client):
        await establish(client)
        response = await call(server, "POST", PATH, crontab(cronSpec=GOOD, bogus=1))
        created = document(response)
        assert created["spec"] == {"cronSpec": GOOD, "replicas": 1} and created["metadata"]["generation"] == 1
        assert response.headers["warning"] == '299 - "unknown field \\"spec.bogus\\""'
        assert await client.get(CRONTABS, "a", "default") == created
        strict = await call(server, "POST", f"{PATH}?fieldValidation=Strict", crontab("b", bogus=1))
        assert strict.status == 400
        assert 'strict decoding error: unknown field "spec.bogus"' in document(strict)["message"]


async def test_unknown_fields_stay_where_the_schema_says_so():
    spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {
        "closed": {"type": "object", "properties": {"a": {"type": "string"}}}, "any": {
            "x-kubernetes-int-or-string": True}}}
    async with serving() as (_, client):
        await establish(client, of(spec))
        created = await client.create(CRONTABS, crontab(x={"y": 1}, closed={"a": "b", "c": 1}, any=3))
        assert created["spec"] == {"x": {"y": 1}, "closed": {"a": "b"}, "any": 3}
        with pytest.raises(errors.Invalid, match=r"spec.any in body must be of type integer,string"):
            await client.create(CRONTABS, crontab("b", any=True))


async def test_the_documented_messages_of_an_invalid_crontab():
    async with serving() as (_, client):
        await establish(client)
        with pytest.raises(errors.Invalid) as refused:
            await client.create(CRONTABS, crontab(cronSpec="* * * *", replicas=15))
        assert [cause["message"] for cause in refused.value.details["causes"]] == [
            f"Invalid value: \"* * * *\": spec.cronSpec in body should match '{CRON_SPEC['pattern']}'",
            "Invalid value: 15: spec.replicas in body should be less than or equal to 10",
        ]


async def test_an_embedded_resource_keeps_what_every_object_has():
    spec = {"type": "object", "properties": {"template": {
        "type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {
            "type": "object", "properties": {"a": {"type": "string"}}}}}}}
    async with serving() as (_, client):
        await establish(client, of(spec))
        inner = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"a": "b", "c": "d"}}
        created = await client.create(CRONTABS, crontab(template=inner))
        assert created["spec"]["template"] == {**inner, "spec": {"a": "b"}}
        with pytest.raises(errors.Invalid, match=r"spec.template.kind: Required value: must not be empty"):
            await client.create(CRONTABS, crontab("b", template={"apiVersion": "v1"}))


async def test_status_is_an_endpoint_of_its_own():
    async with serving() as (_, client):
        await establish(client, version(subresources={"status": {}}))
        created = await client.create(CRONTABS, {**crontab(cronSpec=GOOD), "status": {"replicas": 3}})
        assert "status" not in created
        changed = {**created, "status": {"replicas": 2}, "spec": {**created["spec"], "image": "x"}}
        updated = await client.update(CRONTABS, changed, subresource="status")
        assert updated["status"] == {"replicas": 2} and "image" not in updated["spec"]
        assert updated["metadata"]["generation"] == 1
        updated["spec"]["image"] = "y"
        updated["status"] = {}
        again = await client.update(CRONTABS, updated)
        assert again["status"] == {"replicas": 2} and again["metadata"]["generation"] == 2


async def test_scale_sees_the_paths_that_the_definition_names():
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
             "labelSelectorPath": ".status.selector"}
    async with serving() as (_, client):
        await establish(client, version(subresources={"status": {}, "scale": scale}))
        created = await client.create(CRONTABS, crontab(replicas=2))
        status = {**created, "status": {"replicas": 1, "selector": "a=b"}}
        await client.update(CRONTABS, status, subresource="status")
        view = await client.get(CRONTABS, "a", "default", subresource="scale")
        assert view["kind"] == "Scale" and view["spec"] == {"replicas": 2}
        assert view["status"] == {"replicas": 1, "selector": "a=b"}
        await client.patch(CRONTABS, "a", {"spec": {"replicas": 4}}, "default", subresource="scale")
        assert (await client.get(CRONTABS, "a", "default"))["spec"]["replicas"] == 4
        with pytest.raises(errors.Invalid, match="less than or equal to 10"):
            await client.patch(CRONTABS, "a", {"spec": {"replicas": 40}}, "default", subresource="scale")


async def test_tables_show_the_columns_of_the_definition():
    columns = [
        {"name": "Spec", "type": "string", "description": "When", "jsonPath": ".spec.cronSpec"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    ]
    async with serving() as (server, client):
        await establish(client, version(additionalPrinterColumns=columns))
        await client.create(CRONTABS, crontab(cronSpec=GOOD))
        wanted = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        table = document(await call(server, "GET", PATH, headers=wanted))
        assert [one["name"] for one in table["columnDefinitions"]] == ["Name", "Spec", "Replicas", "Ready"]
        assert table["columnDefinitions"][2]["description"] == (
            "Custom resource definition column (in JSONPath format): .spec.replicas")
        assert table["rows"][0]["cells"] == ["a", GOOD, 1, None]
        partial = {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
        assert document(await call(server, "GET", PATH, headers=partial))["kind"] == "PartialObjectMetadataList"


async def test_selectable_fields_select():
    async with serving() as (_, client):
        await establish(client, version(selectableFields=[{"jsonPath": ".spec.image"}]))
        for name in ("a", "b"):
            await client.create(CRONTABS, crontab(name, image=name))
        found = await client.list(CRONTABS, "default", field_selector="spec.image=b")
        assert [one["metadata"]["name"] for one in found["items"]] == ["b"]
        with pytest.raises(errors.BadRequest, match=r"field label not supported: spec.nope"):
            await client.list(CRONTABS, "default", field_selector="spec.nope=b")


async def test_patches_and_apply():
    lists = {"type": "object", "properties": {"tasks": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"}, "run": {"type": "string"}}}}}}
    async with serving() as (server, client):
        await establish(client, of(lists))
        other = Client(server.transport(ITSELF), field_manager="other")
        await client.patch(CRONTABS, "a", crontab(tasks=[{"name": "x", "run": "1"}]), "default", type="apply")
        both = await other.patch(CRONTABS, "a", crontab(tasks=[{"name": "y", "run": "2"}]), "default", type="apply")
        assert both["spec"]["tasks"] == [{"name": "x", "run": "1"}, {"name": "y", "run": "2"}]
        with pytest.raises(errors.Conflict, match="conflict with \"test\""):
            await other.patch(CRONTABS, "a", crontab(tasks=[{"name": "x", "run": "3"}]), "default", type="apply")
        merged = await client.patch(CRONTABS, "a", {"spec": {"tasks": None}}, "default", type="merge")
        assert "tasks" not in merged["spec"]
        with pytest.raises(errors.UnsupportedMediaType):
            await client.patch(CRONTABS, "a", {"spec": {}}, "default", type="strategic")
        with pytest.raises(errors.Invalid, match=r'spec.tasks\[1\]: Duplicate value: {"name":"x"}'):
            twice = {"spec": {"tasks": [{"name": "x"}, {"name": "x"}]}}
            await client.patch(CRONTABS, "a", twice, "default", type="merge")


async def test_versions_are_views_of_what_is_stored():
    async with serving() as (server, client):
        await establish(client, version("v1"), version("v1beta1", storage=False, deprecated=True))
        await client.create(OLD, crontab(api_version="stable.example.com/v1beta1", image="x"))
        assert (await client.get(CRONTABS, "a", "default"))["apiVersion"] == "stable.example.com/v1"
        old = await call(server, "GET", PATH.replace("v1", "v1beta1"))
        assert [one["apiVersion"] for one in document(old)["items"]] == ["stable.example.com/v1beta1"]
        assert old.headers["warning"] == '299 - "stable.example.com/v1beta1 CronTab is deprecated"'
        group = document(await call(server, "GET", "/apis/stable.example.com"))
        assert [one["version"] for one in group["versions"]] == ["v1", "v1beta1"]
        patched = await client.patch(OLD, "a", {"spec": {"image": "y"}}, "default", type="merge")
        assert patched["apiVersion"] == "stable.example.com/v1beta1"
        assert (await client.get(CRONTABS, "a", "default"))["spec"]["image"] == "y"


async def test_another_storage_version_serves_what_was_stored_before():
    async with serving() as (_, client):
        await establish(client, version("v1beta1"), version("v1", storage=False))
        await client.create(CRONTABS, crontab(image="x"))
        await client.patch(CRDS, NAME, {"spec": {"versions": [version("v1beta1", storage=False), version("v1")]}})
        for resource in (CRONTABS, OLD):
            found = await client.get(resource, "a", "default")
            assert found["apiVersion"] == resource.api_version and found["spec"]["image"] == "x"


async def test_what_is_stored_follows_a_new_schema():
    async with serving() as (_, client):
        await establish(client)
        await client.create(CRONTABS, crontab(image="x"))
        spec = {"type": "object", "properties": {"color": {"type": "string", "default": "red"}}}
        await client.patch(CRDS, NAME, {"spec": {"versions": [of(spec)]}})

        async def follows():
            return (await client.get(CRONTABS, "a", "default"))["spec"] == {"color": "red"}

        await until(follows)
        assert (await client.list(CRONTABS, "default"))["items"][0]["spec"] == {"color": "red"}


async def test_what_was_valid_before_may_stay_as_it_is():
    async with serving() as (_, client):
        await establish(client)
        await client.create(CRONTABS, crontab(image="far too long"))
        spec = schema()["properties"]["spec"]
        spec["properties"]["image"] = {"type": "string", "maxLength": 3}
        await client.patch(CRDS, NAME, {"spec": {"versions": [of(spec)]}})

        async def is_refused():
            try:
                await client.create(CRONTABS, crontab("b", image="long"))
            except errors.Invalid as error:
                return "spec.image: Too long: may not be more than 3 bytes" in error.message
            await client.delete(CRONTABS, "b", "default")
            return False

        await until(is_refused)
        patched = await client.patch(CRONTABS, "a", {"spec": {"replicas": 2}}, "default", type="merge")
        assert patched["spec"]["replicas"] == 2
        with pytest.raises(errors.Invalid, match="Too long"):
            await client.patch(CRONTABS, "a", {"spec": {"image": "longer"}}, "default", type="merge")


async def test_a_watch_sees_changes_and_ends_with_the_definition():
    async with serving() as (_, client):
        await establish(client)
        seen = []

        def note(event):
            seen.append((event.type, event.object["metadata"]["name"]))

        async def follow():
            async for event in client.watch(CRONTABS, "default"):
                note(event)

        async def saw(count):
            async def check():
                return len(seen) == count

            await until(check)

        async with meanwhile(follow()) as following:
            await client.create(CRONTABS, crontab("a"))
            await saw(1)
            await client.patch(CRONTABS, "a", {"spec": {"replicas": 3}}, "default", type="merge")
            await saw(2)
            await client.delete(CRONTABS, "a", "default")
            await saw(3)
            assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
            await client.delete(CRDS, NAME)
            async with asyncio.timeout(60):
                await following


async def test_a_server_that_starts_again_serves_custom_resources_at_once():
    store, config = MemoryStore(), APIServerConfig(authorization=False)
    first = APIServer(store, config)
    await first.start()
    client = Client(first.transport(ITSELF))
    await establish(client)
    await client.create(CRONTABS, crontab("a"))
    await first.stop()
    second = APIServer(store, config)
    await second.start()
    assert (await Client(second.transport(ITSELF)).get(CRONTABS, "a", "default"))["kind"] == "CronTab"
    await second.stop()


async def test_openapi_describes_custom_resources():
    async with serving() as (server, client):
        await establish(client)
        v3 = document(await call(server, "GET", "/openapi/v3/apis/stable.example.com/v1"))
        spec = v3["components"]["schemas"]["com.example.stable.v1.CronTab"]["properties"]["spec"]
        assert spec["properties"]["replicas"]["maximum"] == 10
        patch = v3["paths"][PATH.replace("default", "{namespace}") + "/{name}"]["patch"]
        assert "application/strategic-merge-patch+json" not in patch["requestBody"]["content"]
        v2 = document(await call(server, "GET", "/openapi/v2"))
        assert "com.example.stable.v1.CronTab" in v2["definitions"]
        listed = document(await call(server, "GET", "/apis", headers={
            "accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}))
        assert "stable.example.com" in [item["metadata"]["name"] for item in listed["items"]]


async def test_cluster_scoped_kinds():
    async with serving() as (server, client):
        crd = definition(scope="Cluster")
        await client.create(CRDS, crd)
        cluster = Resource("stable.example.com", "v1", "crontabs", "CronTab", namespaced=False)

        async def served():
            return (await call(server, "GET", "/apis/stable.example.com/v1/crontabs")).status == 200

        await until(served)
        made = {"metadata": {"name": "c"}, "spec": {}}
        assert "namespace" not in (await client.create(cluster, made))["metadata"]
        assert (await call(server, "POST", PATH, made)).status == 405
