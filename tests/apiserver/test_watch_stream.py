"""Watches over sockets: events go straight from the dispatch to the connection, slow readers hold nothing up."""

import asyncio
import contextlib
import gc
import socket

import orjson
from tests.apiserver.serving import config_map, serving

from sampan.api.resources import CONFIG_MAPS
from sampan.apiserver.listener import serve
from sampan.apiserver.stream_sink import StreamSink


@contextlib.asynccontextmanager
async def listening(**config):
    async with serving(**config) as (server, client):
        listener = socket.create_server(("127.0.0.1", 0))
        running = await serve(server, [listener], None)
        try:
            yield server, client, listener.getsockname()[1]
        finally:
            await running.close()


async def watching(port, query="", limit=2**16):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    path = f"/api/v1/namespaces/default/configmaps?watch=true{query}"
    writer.write(f"GET {path} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    assert b"200 OK" in head and b"transfer-encoding: chunked" in head
    return reader, writer


async def chunk(reader):
    size = int(await asyncio.wait_for(reader.readline(), 60), 16)
    data = await asyncio.wait_for(reader.readexactly(size + 2), 60)
    return data[:-2]


async def events(reader, count):
    found = []
    while len(found) < count:
        found += [orjson.loads(line) for line in (await chunk(reader)).splitlines()]
    return found


async def attached(server, count):
    async with asyncio.timeout(60):
        while server.hub.cache(CONFIG_MAPS).watchers != count:
            await asyncio.sleep(0.01)


async def test_what_is_there_and_what_comes_arrive_in_order_at_every_watcher():
    async with listening() as (server, client, port):
        await client.create(CONFIG_MAPS, config_map("first"))
        readers = [await watching(port, query) for query in ("", "", "&labelSelector=!none")]
        await attached(server, 3)
        for number in range(20):
            await client.create(CONFIG_MAPS, config_map(f"c{number:02}"))
        for reader, writer in readers:
            seen = await events(reader, 21)
            assert [e["object"]["metadata"]["name"] for e in seen] == ["first"] + [f"c{n:02}" for n in range(20)]
            writer.close()
        await attached(server, 0)


async def test_bookmarks_and_the_end_come_over_the_same_way():
    async with listening(bookmark_interval_s=0.005) as (server, _, port):
        version = server.hub.revision
        reader, writer = await watching(
            port, f"&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion={version}"
        )
        seen = []
        while data := await chunk(reader):
            seen += [orjson.loads(line) for line in data.splitlines()]
        assert len(seen) > 2 and {event["type"] for event in seen} == {"BOOKMARK"}
        writer.write(b"GET /version HTTP/1.1\r\nhost: h\r\n\r\n")  # the connection is still good
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        writer.close()


async def test_a_reader_that_stops_is_cut_off_and_others_go_on():
    async with listening(watch_queue_events=20) as (server, client, port):
        version = server.hub.revision
        lively, lively_writer = await watching(port, f"&resourceVersion={version}")
        _, stopped_writer = await watching(port, f"&resourceVersion={version}&labelSelector=!none", limit=1024)
        stopped_writer.transport.pause_reading()
        await attached(server, 2)
        total, last = 0, {}
        async with asyncio.timeout(60):
            while server.hub.cache(CONFIG_MAPS).watchers == 2:
                await client.create(CONFIG_MAPS, config_map(f"c{total:04}", k="v" * 200_000))
                (last,) = await events(lively, 1)
                total += 1
        assert last["object"]["metadata"]["name"] == f"c{total - 1:04}" and total > 20
        for writer in (lively_writer, stopped_writer):
            writer.close()


async def test_a_reader_that_pauses_gets_everything_later():
    async with listening() as (server, client, port):
        reader, writer = await watching(port, f"&resourceVersion={server.hub.revision}", limit=1024)
        writer.transport.pause_reading()
        await attached(server, 1)
        for number in range(60):
            await client.create(CONFIG_MAPS, config_map(f"c{number:02}", k="v" * 100_000))
        writer.transport.resume_reading()
        seen = await events(reader, 60)
        assert [event["object"]["metadata"]["name"] for event in seen] == [f"c{n:02}" for n in range(60)]
        writer.close()


async def test_a_watch_whose_client_is_gone_leaves_nothing_for_the_collector():
    async with listening() as (server, _, port):
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                _, writer = await watching(port, f"&resourceVersion={server.hub.revision}")
                await attached(server, 1)
                writer.transport.abort()
                await attached(server, 0)
            async with asyncio.timeout(60):
                while [one for one in gc.get_objects() if isinstance(one, StreamSink)]:
                    await asyncio.sleep(0.05)
        finally:
            gc.enable()
