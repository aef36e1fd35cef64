"""Watches: order, selectors, resumption, initial events, bookmarks, slow readers."""

import asyncio

import orjson
import pytest
from tests.apiserver.serving import call, config_map, document, pod, serving

from sampan.api.resources import CONFIG_MAPS, PODS
from sampan.apiserver.registry.watcher import Change
from sampan.apiserver.registry.window_aging import WINDOW_S, WindowAging


async def events(response, count):
    """The next events of a stream."""
    found, rest = [], b""
    async with asyncio.timeout(60):
        while len(found) < count:
            rest += await anext(response.stream)
            *lines, rest = rest.split(b"\n")
            found += [orjson.loads(line) for line in lines]
    return found


async def test_a_watch_shows_every_change_in_order():
    async with serving() as (server, client):
        start = server.hub.revision
        first = await call(server, "GET", f"/api/v1/namespaces/default/configmaps?watch=true&resourceVersion={start}")
        await client.create(CONFIG_MAPS, config_map("c", a="1"))
        await client.patch(CONFIG_MAPS, "c", {"data": {"a": "2"}}, "default")
        await client.delete(CONFIG_MAPS, "c", "default")
        seen = await events(first, 3)
        assert [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
        versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
        assert versions == sorted(set(versions))
        again = await call(
            server, "GET", f"/api/v1/namespaces/default/configmaps?watch=true&resourceVersion={versions[0]}"
        )
        assert [event["type"] for event in await events(again, 2)] == ["MODIFIED", "DELETED"]


async def test_selectors_turn_changes_into_additions_and_deletions():
    async with serving() as (server, client):
        await client.create(PODS, pod("p", color="red"))
        response = await call(server, "GET", "/api/v1/pods?watch=true&labelSelector=color=blue")
        await client.patch(PODS, "p", {"metadata": {"labels": {"color": "blue"}}}, "default")
        await client.patch(PODS, "p", {"metadata": {"labels": {"color": "green"}}}, "default")
        seen = await events(response, 2)
        assert [event["type"] for event in seen] == ["ADDED", "DELETED"]
        assert seen[1]["object"]["metadata"]["labels"] == {"color": "blue"}


async def test_a_version_that_is_forgotten_is_410():
    async with serving(watch_window_events=2) as (server, client):
        start = server.hub.revision
        for number in range(5):
            await client.create(CONFIG_MAPS, config_map(f"c{number}"))
        await server.hub.fresh()
        response = await call(server, "GET", f"/api/v1/configmaps?watch=true&resourceVersion={start}")
        (event,) = await events(response, 1)
        assert event["type"] == "ERROR" and event["object"]["code"] == 410
        assert event["object"]["message"].startswith("too old resource version")


async def test_initial_events_end_with_a_marked_bookmark():
    async with serving() as (server, client):
        await client.create(CONFIG_MAPS, config_map("c"))
        response = await call(
            server, "GET", "/api/v1/namespaces/default/configmaps?watch=true&sendInitialEvents=true"
            "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
        )
        seen = await events(response, 2)
        assert [event["type"] for event in seen] == ["ADDED", "BOOKMARK"]
        assert seen[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_bookmarks_come_when_nothing_else_does():
    async with serving(bookmark_interval_s=0.01) as (server, _):
        version = server.hub.revision
        response = await call(
            server, "GET", f"/api/v1/configmaps?watch=true&allowWatchBookmarks=true&resourceVersion={version}"
        )
        (event,) = await events(response, 1)
        assert event["type"] == "BOOKMARK" and event["object"]["metadata"]["resourceVersion"] == str(version)


async def test_a_reader_that_is_too_slow_is_cut_off():
    async with serving(watch_queue_events=3) as (server, client):
        response = await call(server, "GET", f"/api/v1/configmaps?watch=true&resourceVersion={server.hub.revision}")
        for number in range(6):
            await client.create(CONFIG_MAPS, config_map(f"c{number}"))
        await server.hub.fresh()
        async with asyncio.timeout(60):
            chunks = [chunk async for chunk in response.stream]
        assert b"".join(chunks).count(b"\n") <= 3


async def test_an_event_is_encoded_once_for_all_watchers():
    async with serving() as (server, client):
        version = server.hub.revision
        responses = [
            await call(server, "GET", f"/api/v1/configmaps?watch=true&resourceVersion={version}") for _ in range(50)
        ]
        before = Change.encoded
        await client.create(CONFIG_MAPS, config_map("c"))
        for response in responses:
            await events(response, 1)
        assert Change.encoded == before + 1


async def test_a_watch_ends_after_its_timeout():
    async with serving() as (server, _):
        response = await call(
            server, "GET", f"/api/v1/configmaps?watch=true&timeoutSeconds=1&resourceVersion={server.hub.revision}"
        )
        async with asyncio.timeout(60):
            assert [chunk async for chunk in response.stream] == []


async def test_a_bookmark_never_names_less_than_its_reader_came_with():
    async with serving(bookmark_interval_s=0.01) as (server, _):
        ahead = server.hub.revision + 100  # as another server told, whose cache is newer
        response = await call(
            server, "GET", f"/api/v1/configmaps?watch=true&allowWatchBookmarks=true&resourceVersion={ahead}"
        )
        (bookmark,) = await events(response, 1)
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["metadata"]["resourceVersion"] == str(ahead)


async def test_the_last_bookmark_comes_after_what_a_slow_reader_has_yet_to_get():
    async with serving() as (server, client):
        start = server.hub.revision
        target = "/api/v1/namespaces/default/configmaps?watch=true&allowWatchBookmarks=true&timeoutSeconds=600"
        response = await call(server, "GET", f"{target}&resourceVersion={start}")
        await client.create(CONFIG_MAPS, config_map("first"))
        (first,) = await events(response, 1)
        loop = asyncio.get_running_loop()
        await client.create(CONFIG_MAPS, config_map("second"))
        await server.hub.fresh()
        with pytest.MonkeyPatch.context() as patch:  # the reader comes back when the watch is over
            now = loop.time()
            patch.setattr(loop, "time", lambda: now + 605)
            second, bookmark = await events(response, 2)
        assert [first["object"]["metadata"]["name"], second["object"]["metadata"]["name"]] == ["first", "second"]
        assert bookmark["type"] == "BOOKMARK"
        assert int(bookmark["object"]["metadata"]["resourceVersion"]) >= server.hub.revision


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
STREAMED = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


async def test_a_streamed_list_is_no_table():
    async with serving() as (server, client):
        await client.create(CONFIG_MAPS, config_map("c"))
        path = f"/api/v1/namespaces/default/configmaps?{STREAMED}"
        assert (await call(server, "GET", path, headers={"accept": TABLE})).status == 406
        other = await call(server, "GET", path, headers={"accept": f"{TABLE},application/json"})
        assert [event["object"]["kind"] for event in await events(other, 2)] == ["ConfigMap", "ConfigMap"]


async def test_only_the_first_table_of_a_watch_has_columns():
    async with serving() as (server, client):
        await client.create(CONFIG_MAPS, config_map("a"))
        await client.create(CONFIG_MAPS, config_map("b"))
        path = "/api/v1/namespaces/default/configmaps?watch=true"
        with_state = await call(server, "GET", path, headers={"accept": TABLE})
        version = server.hub.revision
        without = await call(server, "GET", f"{path}&resourceVersion={version}", headers={"accept": TABLE})
        await client.create(CONFIG_MAPS, config_map("c"))
        await client.create(CONFIG_MAPS, config_map("d"))
        for response, expected in ((with_state, "abcd"), (without, "cd")):
            tables = [event["object"] for event in await events(response, len(expected))]
            assert [table["rows"][0]["cells"][0] for table in tables] == list(expected)
            assert [bool(table["columnDefinitions"]) for table in tables] == [True] + [False] * (len(expected) - 1)


async def test_metadata_alone_is_watched():
    async with serving() as (server, client):
        accept = {"accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
        path = f"/api/v1/configmaps?watch=true&allowWatchBookmarks=true&resourceVersion={server.hub.revision}"
        response = await call(server, "GET", path, headers=accept)
        await client.create(CONFIG_MAPS, config_map("c", k="v"))
        (event,) = await events(response, 1)
        assert event["object"]["kind"] == "PartialObjectMetadata" and "data" not in event["object"]


@pytest.mark.parametrize("name", ["plain", "with}brace"])
async def test_the_metadata_of_each_change_is_what_the_whole_object_says(name):
    async with serving() as (server, client):
        path = f"/api/v1/configmaps?watch=true&resourceVersion={server.hub.revision}"
        partial = {"accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
        whole, metadata = await call(server, "GET", path), await call(server, "GET", path, headers=partial)
        obj = config_map("c", k='{"metadata":{}}')
        obj["metadata"] |= {"annotations": {"a": f'"{name}"}},\\'}, "finalizers": ["example.com/held"]}
        created = await client.create(CONFIG_MAPS, obj)
        del created["data"]  # what has no rest
        await client.update(CONFIG_MAPS, created)
        await client.delete(CONFIG_MAPS, "c", "default")
        await client.patch(CONFIG_MAPS, "c", {"metadata": {"finalizers": None}}, "default")
        told = [(event["type"], event["object"]["metadata"]) for event in await events(whole, 4)]
        assert [type for type, _ in told] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]
        assert [(event["type"], event["object"]["metadata"]) for event in await events(metadata, 4)] == told


async def test_a_watch_in_protobuf_is_framed_by_length():
    async with serving() as (server, client):
        accept = {"accept": "application/vnd.kubernetes.protobuf;stream=watch"}
        path = f"/api/v1/configmaps?watch=true&resourceVersion={server.hub.revision}"
        response = await call(server, "GET", path, headers=accept)
        assert response.headers["content-type"] == "application/vnd.kubernetes.protobuf;stream=watch"
        await client.create(CONFIG_MAPS, config_map("c"))
        async with asyncio.timeout(60):
            frame = await anext(response.stream)
        assert int.from_bytes(frame[:4], "big") == len(frame) - 4
        assert b"ADDED" in frame and b"k8s\x00" in frame


@pytest.mark.parametrize("value", ["", "true", "1", "yes", "True"])
async def test_anything_but_false_and_0_watches(value):
    async with serving() as (server, _):
        response = await call(server, "GET", f"/api/v1/configmaps?watch={value}&timeoutSeconds=1")
        assert response.stream is not None
        assert (await call(server, "GET", "/api/v1/configmaps?watch=False")).stream is None


async def test_one_object_is_read_not_watched_but_at_the_old_paths():
    async with serving() as (server, client):
        await client.create(CONFIG_MAPS, config_map("a"))
        path = "namespaces/default/configmaps/a"
        response = await call(server, "GET", f"/api/v1/{path}?watch=true")
        assert response.stream is None and document(response)["metadata"]["name"] == "a"
        old = await call(server, "GET", f"/api/v1/watch/{path}?timeoutSeconds=1")
        assert old.stream is not None
        event = orjson.loads(await anext(old.stream))
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")


async def test_a_name_and_a_selector_of_another_contradict_each_other():
    async with serving() as (server, _):
        path = "/api/v1/watch/namespaces/default/configmaps/a?fieldSelector=metadata.name"
        assert (await call(server, "GET", f"{path}=b")).status == 400
        assert (await call(server, "GET", f"{path}=a")).status == 200


async def test_a_version_that_does_not_come_ends_a_streamed_list(monkeypatch):
    monkeypatch.setattr("sampan.apiserver.registry.reading.FUTURE_WAIT_S", 0.01)
    async with serving() as (server, _):
        path = f"/api/v1/configmaps?{STREAMED}&resourceVersion={server.hub.revision + 99}"
        response = await call(server, "GET", path)
        (event,) = await events(response, 1)
        assert event["type"] == "ERROR" and event["object"]["reason"] == "Timeout"
        assert event["object"]["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_no_initial_events_means_from_now_on():
    async with serving() as (server, client):
        await client.create(CONFIG_MAPS, config_map("before"))
        path = "/api/v1/namespaces/default/configmaps?watch=true&sendInitialEvents=false"
        response = await call(server, "GET", f"{path}&resourceVersionMatch=NotOlderThan")
        await client.create(CONFIG_MAPS, config_map("after"))
        (event,) = await events(response, 1)
        assert event["object"]["metadata"]["name"] == "after"


async def test_what_a_watch_begins_with_is_encoded_as_it_is_read():
    async with serving() as (server, client):
        for number in range(60):
            await client.create(CONFIG_MAPS, config_map(f"c{number:02}", k="v" * 4000))
        await server.hub.fresh()
        before = Change.encoded
        response = await call(server, "GET", "/api/v1/namespaces/default/configmaps?watch=true")
        assert Change.encoded == before
        await client.create(CONFIG_MAPS, config_map("later"))
        seen = await events(response, 61)
        assert [event["object"]["metadata"]["name"] for event in seen] == [f"c{n:02}" for n in range(60)] + ["later"]


async def test_a_reader_that_owes_too_many_bytes_is_cut_off(monkeypatch):
    monkeypatch.setattr("sampan.apiserver.registry.watcher.MAX_WAITING_BYTES", 20_000)
    async with serving() as (server, client):
        response = await call(server, "GET", f"/api/v1/configmaps?watch=true&resourceVersion={server.hub.revision}")
        for number in range(4):
            await client.create(CONFIG_MAPS, config_map(f"c{number}", k="v" * 8000))
        await server.hub.fresh()
        cache = server.hub.cache(CONFIG_MAPS)
        assert cache.watchers == 0
        async with asyncio.timeout(60):
            assert sum([len(chunk) async for chunk in response.stream]) < 20_000


async def test_pods_are_watched_by_their_node():
    async with serving() as (server, client):
        version = server.hub.revision
        watches = {
            node: await call(
                server, "GET", f"/api/v1/pods?watch=true&resourceVersion={version}&fieldSelector=spec.nodeName={node}"
            ) for node in ("n1", "n2")
        }
        for name, node in (("a", "n1"), ("b", "n2"), ("c", "n1")):
            await client.create(PODS, {**pod(name), "spec": {**pod(name)["spec"], "nodeName": node}})
        await call(server, "DELETE", "/api/v1/namespaces/default/pods/a?gracePeriodSeconds=0")
        seen = [(e["type"], e["object"]["metadata"]["name"]) for e in await events(watches["n1"], 3)]
        assert seen == [("ADDED", "a"), ("ADDED", "c"), ("DELETED", "a")]
        assert [e["object"]["metadata"]["name"] for e in await events(watches["n2"], 1)] == ["b"]


async def test_concurrent_watches_see_the_same_order():
    async with serving() as (server, client):
        version = server.hub.revision
        path = f"/api/v1/configmaps?watch=true&resourceVersion={version}"
        selectors = ("labelSelector=!none", "labelSelector=app notin (x)", "fieldSelector=metadata.namespace=default")
        watches = [await call(server, "GET", f"{path}&{selector}") for selector in ("", *selectors)]
        await asyncio.gather(*(client.create(CONFIG_MAPS, config_map(f"c{number}")) for number in range(30)))
        orders = [
            [event["object"]["metadata"]["resourceVersion"] for event in await events(watch, 30)] for watch in watches
        ]
        assert all(order == orders[0] for order in orders) and orders[0] == sorted(orders[0], key=int)


async def test_changes_that_no_watch_will_ask_for_are_forgotten(monkeypatch):
    monkeypatch.setattr("sampan.apiserver.registry.window_aging.MINIMUM", 2)
    async with serving() as (server, client):
        aging = WindowAging(server.hub)
        before = server.hub.revision
        for number in range(5):
            await client.create(CONFIG_MAPS, config_map(f"c{number}"))
        await server.hub.fresh()
        aging.step(0.0)
        recent = server.hub.revision
        await client.create(CONFIG_MAPS, config_map("c9"))
        await server.hub.fresh()
        path = "/api/v1/namespaces/default/configmaps?watch=true"
        for now_s, expected in ((60.0, "ADDED"), (WINDOW_S, "ERROR")):
            aging.step(now_s)
            first, *_ = await events(await call(server, "GET", f"{path}&resourceVersion={before}"), 1)
            assert first["type"] == expected
        (event,) = await events(await call(server, "GET", f"{path}&resourceVersion={recent}"), 1)
        assert event["object"]["metadata"]["name"] == "c9"
