"""Watches: order, selectors, resumption, initial events, bookmarks, slow readers."""

import asyncio

import orjson
import pytest
from tests.apiserver.serving import call, config_map, pod, serving

from sampan.api.resources import CONFIG_MAPS, PODS
from sampan.apiserver.registry.watcher import Change


async def events(response, count):
    """The next events of a stream."""
    found, rest = [], b""
    async with asyncio.timeout(5):
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
        async with asyncio.timeout(5):
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
        async with asyncio.timeout(5):
            assert [chunk async for chunk in response.stream] == []


async def test_the_last_bookmark_comes_after_what_a_slow_reader_has_yet_to_get():
    async with serving() as (server, client):
        start = server.hub.revision
        target = "/api/v1/namespaces/default/configmaps?watch=true&allowWatchBookmarks=true&timeoutSeconds=1"
        response = await call(server, "GET", f"{target}&resourceVersion={start}")
        await client.create(CONFIG_MAPS, config_map("first"))
        (first,) = await events(response, 1)
        loop = asyncio.get_running_loop()
        await client.create(CONFIG_MAPS, config_map("second"))
        await server.hub.fresh()
        with pytest.MonkeyPatch.context() as patch:  # the reader comes back when the watch is over
            now = loop.time()
            patch.setattr(loop, "time", lambda: now + 5)
            second, bookmark = await events(response, 2)
        assert [first["object"]["metadata"]["name"], second["object"]["metadata"]["name"]] == ["first", "second"]
        assert bookmark["type"] == "BOOKMARK"
        assert int(bookmark["object"]["metadata"]["resourceVersion"]) >= server.hub.revision
