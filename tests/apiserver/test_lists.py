"""Lists: pages, the past, selectors, tables."""

import pytest
from tests.apiserver.serving import call, config_map, document, pod, serving

from sampan.api.resources import CONFIG_MAPS, PODS
from sampan.apimachinery import errors


def names(found):
    return [item["metadata"]["name"] for item in found["items"]]


async def test_pages_show_one_moment():
    async with serving() as (_, client):
        for number in range(5):
            await client.create(CONFIG_MAPS, config_map(f"c{number}"))
        first = await client.list(CONFIG_MAPS, "default", limit=2)
        assert names(first) == ["c0", "c1"] and first["metadata"]["remainingItemCount"] == 3
        await client.delete(CONFIG_MAPS, "c3", "default")
        await client.create(CONFIG_MAPS, config_map("c9"))
        token = first["metadata"]["continue"]
        rest = await client.list(CONFIG_MAPS, "default", limit=2, continue_token=token)
        assert names(rest) == ["c2", "c3"]
        assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        last = await client.list(CONFIG_MAPS, "default", limit=2, continue_token=rest["metadata"]["continue"])
        assert names(last) == ["c4"] and "continue" not in last["metadata"]


async def test_the_past_is_served_exactly():
    async with serving() as (_, client):
        then = (await client.create(CONFIG_MAPS, config_map("a")))["metadata"]["resourceVersion"]
        await client.create(CONFIG_MAPS, config_map("b"))
        past = await client.list(CONFIG_MAPS, "default", resource_version=then, resource_version_match="Exact")
        assert names(past) == ["a"] and past["metadata"]["resourceVersion"] == then


async def test_a_list_sees_what_was_written_just_before():
    async with serving() as (_, client):
        for number in range(20):
            await client.create(CONFIG_MAPS, config_map(f"c{number:02}"))
            assert len(names(await client.list(CONFIG_MAPS, "default"))) == number + 1


async def test_label_and_field_selectors():
    async with serving() as (_, client):
        for name, color in (("a", "red"), ("b", "red"), ("c", "blue")):
            await client.create(PODS, pod(name, color=color))
        assert names(await client.list(PODS, label_selector="color in (red)")) == ["a", "b"]
        assert names(await client.list(PODS, field_selector="metadata.name=b")) == ["b"]
        assert names(await client.list(PODS, field_selector="status.phase=Pending,metadata.name!=a")) == ["b", "c"]
        with pytest.raises(errors.BadRequest, match=r"field label not supported: spec\.nothing"):
            await client.list(PODS, field_selector="spec.nothing=1")


async def test_impossible_options_are_refused():
    async with serving() as (_, client):
        with pytest.raises(errors.Invalid, match="is forbidden unless resourceVersion is provided"):
            await client.list(CONFIG_MAPS, resource_version_match="Exact")


async def test_a_table_has_the_columns_of_the_kind():
    async with serving() as (server, client):
        await client.create(CONFIG_MAPS, config_map("c", a="1"))
        accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
        table = document(await call(server, "GET", "/api/v1/namespaces/default/configmaps", headers=accept))
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert table["rows"][0]["cells"][:2] == ["c", 1]
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def test_metadata_only():
    async with serving() as (server, client):
        await client.create(CONFIG_MAPS, config_map("c", a="1"))
        accept = {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"}
        found = document(await call(server, "GET", "/api/v1/namespaces/default/configmaps", headers=accept))
        assert found["kind"] == "PartialObjectMetadataList" and "data" not in found["items"][0]


async def test_yaml_and_unacceptable():
    async with serving() as (server, _):
        answer = await call(server, "GET", "/api/v1/namespaces/default", headers={"accept": "application/yaml"})
        assert answer.headers["content-type"] == "application/yaml" and b"kind: Namespace" in answer.body
        refused = await call(server, "GET", "/api/v1/namespaces/default", headers={"accept": "text/html"})
        assert refused.status == 406
