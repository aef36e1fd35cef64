"""Lists: pages, the past, selectors, tables."""

import orjson
import pytest
from tests.apiserver.serving import call, config_map, document, pod, serving

from sampan.api.resources import CONFIG_MAPS, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.protobuf import decode_object


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


VERSION_MATCH = "resourceVersionMatch"


@pytest.mark.parametrize(("query", "field", "message"), [
    (f"{VERSION_MATCH}=NotOlderThan", VERSION_MATCH, "is forbidden unless resourceVersion is provided"),
    (f"{VERSION_MATCH}=Exact&resourceVersion=0", VERSION_MATCH, '"exact" is forbidden for resourceVersion "0"'),
    (f"{VERSION_MATCH}=Newest&resourceVersion=1", VERSION_MATCH, 'Unsupported value: "Newest": supported values: '),
    (f"{VERSION_MATCH}=Exact&resourceVersion=1&continue=x", VERSION_MATCH, "forbidden when continue is provided"),
    ("sendInitialEvents=true", "sendInitialEvents", "sendInitialEvents is forbidden for list"),
    ("sendInitialEvents=false", "sendInitialEvents", "sendInitialEvents is forbidden for list"),
    ("watch=1&sendInitialEvents=true", VERSION_MATCH, "requires setting resourceVersionMatch to NotOlderThan"),
    (f"watch=1&{VERSION_MATCH}=NotOlderThan", VERSION_MATCH, "forbidden for watch unless sendInitialEvents"),
    (f"watch=1&{VERSION_MATCH}=Exact", VERSION_MATCH, 'supported values: "NotOlderThan"'),
])
async def test_options_that_contradict_each_other_are_named(query, field, message):
    async with serving() as (server, _):
        status = document(await call(server, "GET", f"/api/v1/configmaps?{query}"))
        assert (status["code"], status["reason"], status["details"]["kind"]) == (422, "Invalid", "ListOptions")
        assert any(cause["field"] == field and message in cause["message"] for cause in status["details"]["causes"])


@pytest.mark.parametrize(("query", "message"), [
    ("resourceVersion=abc", 'resourceVersion: Invalid value: "abc"'), ("limit=x", 'parsing "x": invalid syntax'),
    ("continue=x", "invalid continue token: continue key is not valid"),
    ("watch=1&resourceVersion=abc", 'resourceVersion: Invalid value: "abc"'),
    ("watch=1&timeoutSeconds=x", 'parsing "x": invalid syntax'),
])
async def test_what_does_not_parse_is_a_bad_request(query, message):
    async with serving() as (server, _):
        status = document(await call(server, "GET", f"/api/v1/configmaps?{query}"))
        assert (status["code"], status["reason"]) == (400, "BadRequest") and message in status["message"]


async def test_a_token_whose_moment_is_forgotten_is_exchanged_for_one_that_goes_on():
    async with serving() as (server, client):
        for number in range(9):
            await client.create(CONFIG_MAPS, config_map(f"c{number}"))
        path = "/api/v1/namespaces/default/configmaps?limit=3"
        first = document(await call(server, "GET", path))
        assert first["metadata"]["remainingItemCount"] == 6
        await client.patch(CONFIG_MAPS, "c5", {"data": {"later": "yes"}}, "default")
        await server.hub._store.compact(await server.hub.fresh())
        expired = document(await call(server, "GET", f"{path}&continue={first['metadata']['continue']}"))
        assert (expired["code"], expired["reason"]) == (410, "Expired") and "inconsistent list" in expired["message"]
        second = document(await call(server, "GET", f"{path}&continue={expired['metadata']['continue']}"))
        assert names(second) == ["c3", "c4", "c5"] and second["items"][2]["data"] == {"later": "yes"}
        assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
        assert second["metadata"]["remainingItemCount"] == 3
        third = document(await call(server, "GET", f"{path}&continue={second['metadata']['continue']}"))
        assert names(third) == ["c6", "c7", "c8"] and "continue" not in third["metadata"]
        assert third["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


async def test_how_many_remain_is_not_said_of_selections():
    async with serving() as (server, client):
        for number in range(4):
            await client.create(PODS, pod(f"p{number}", app="a"))
        page = document(await call(server, "GET", "/api/v1/pods?limit=2&labelSelector=app"))
        assert page["metadata"]["continue"] and "remainingItemCount" not in page["metadata"]


async def test_a_version_that_does_not_come_is_too_large(monkeypatch):
    monkeypatch.setattr("sampan.apiserver.registry.reading.FUTURE_WAIT_S", 0.01)
    async with serving() as (server, _):
        ahead = server.hub.revision + 1000
        for query in (f"resourceVersion={ahead}", f"resourceVersion={ahead}&resourceVersionMatch=Exact"):
            status = document(await call(server, "GET", f"/api/v1/configmaps?{query}"))
            assert (status["code"], status["reason"]) == (504, "Timeout")
            assert status["message"].startswith(f"Too large resource version: {ahead}, current: ")
            assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
            assert status["details"]["retryAfterSeconds"] == 1


async def test_a_name_is_looked_up_in_every_namespace():
    async with serving() as (_, client):
        for name in ("a", "b"):
            await client.create(CONFIG_MAPS, config_map(name))
        other = {**config_map("a"), "metadata": {"name": "a", "namespace": "kube-system"}}
        await client.create(CONFIG_MAPS, other, "kube-system")
        found = await client.list(CONFIG_MAPS, field_selector="metadata.name=a")
        assert [item["metadata"]["namespace"] for item in found["items"]] == ["default", "kube-system"]
        assert names(await client.list(CONFIG_MAPS, field_selector="metadata.name=a,metadata.name!=a")) == []


async def test_metadata_of_a_list_is_asked_for_as_a_list():
    async with serving() as (server, client):
        await client.create(CONFIG_MAPS, config_map("c"))
        for path, kind, word in (
            ("configmaps", "PartialObjectMetadata", "is a list"),
            ("configmaps/c", "PartialObjectMetadataList", "not a list"),
        ):
            accept = {"accept": f"application/json;as={kind};v=v1;g=meta.k8s.io"}
            answer = await call(server, "GET", f"/api/v1/namespaces/default/{path}", headers=accept)
            assert answer.status == 406 and word in document(answer)["message"]


async def test_large_lists_are_the_same_in_pieces():
    async with serving() as (server, client):
        for number in range(40):
            await client.create(CONFIG_MAPS, config_map(f"c{number:02}", k="v" * 4000))
        for accept in ("application/json", "application/vnd.kubernetes.protobuf"):
            answer = await call(server, "GET", "/api/v1/configmaps", headers={"accept": accept})
            assert answer.pieces is not None
            chunks = list(answer.pieces)
            assert len(chunks) > 2 and sum(map(len, chunks)) == answer.pieces.size_bytes
            whole = b"".join(chunks)
            assert whole == answer.body
            found = decode_object(whole) if "protobuf" in accept else orjson.loads(whole)
            assert [name for name in names(found) if name.startswith("c")] == [f"c{number:02}" for number in range(40)]
