"""A large store and many watchers: `python -m bench.large [OBJECTS]`.

300,000 ConfigMaps of 1 KB: how long the server takes to be ready, what memory it then has, what lists with selectors
cost that match nothing or ten. Then one event to 1,000 watchers: how often it was encoded, and when the last of them
had it. CPU is given as multiples of the bare responder's GET.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import uvloop

from bench import api, load, machine
from sampan.storage.database import Database
from sampan.storage.snapshot import Header, Version
from sampan.storage.store import KeyValue

OBJECTS, WATCHERS, EVENTS = 300_000, 1_000, 30
PREFIX = "/registry/core/configmaps/bench/"


def stored(number: int) -> bytes:
    """A ConfigMap as the server keeps it, about 1 KB."""
    return orjson.dumps({
        "kind": "ConfigMap", "apiVersion": "v1", "metadata": {
            "name": f"c{number:06}", "namespace": "bench", "uid": f"00000000-0000-4000-8000-{number:012}",
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": f"a{number % 100}", "n": f"n{number // 10}"},
        }, "data": {"k": "v" * 760},
    })


def fill(directory: Path, count: int) -> None:
    def versions() -> Iterator[Version]:
        for number in range(1, count + 1):
            yield Version(KeyValue(f"{PREFIX}c{number:06}", stored(number), number, number), deleted=False)

    database = Database.open(directory / "store.db", create=True)
    database.load(Header(count, 0), versions())
    database.close()


async def lists(server: api.Server, bare_us: float) -> None:
    selectors = {
        "none, a label's value": "labelSelector=app%3Dnone", "none, a set": "labelSelector=app+in+(x,y)",
        "none, an unknown label": "labelSelector=unknown", "none, a name": "fieldSelector=metadata.name%3Dnone",
        "ten of all, by label": "labelSelector=n%3Dn77",
    }
    for what, query in selectors.items():
        request = load.request("GET", f"/api/v1/configmaps?{query}")
        first = await server.send([request])
        measured = await server.send([request] * 20)
        print(
            f"LIST {what:<25} p50 {measured.p50_ms:7.2f} ms   first {first.p50_ms:7.1f} ms"
            f"   {measured.cpu_us:9.1f} µs   × {measured.cpu_us / bare_us:8.2f}", flush=True,
        )


async def encoded(server: api.Server) -> int:
    """The server's own count of the events it has encoded."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=server.tls)
    writer.write(load.request("GET", "/metrics").replace(b"user-agent", b"connection: close\r\nuser-agent"))
    text = (await reader.read()).decode()
    writer.close()
    found = re.search(r"^apiserver_watch_events_encoded_total (\S+)$", text, re.MULTILINE)
    assert found is not None, "the server does not count what it encodes"
    return int(float(found[1]))


async def fan_out(server: api.Server, bare_us: float) -> None:
    path = "/api/v1/namespaces/bench/configmaps"
    streams = [await asyncio.open_connection("127.0.0.1", server.port, ssl=server.tls) for _ in range(WATCHERS)]
    for _, writer in streams:
        writer.write(load.request("GET", f"{path}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dw"))

    async def next_event(reader: asyncio.StreamReader) -> None:
        await reader.readuntil(b'"type":')

    def document(number: int) -> dict[str, object]:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "w"}, "data": {"n": str(number)}}

    await server.send([load.request("POST", path, document(0))])
    await asyncio.wait_for(asyncio.gather(*(next_event(reader) for reader, _ in streams)), 60)
    before, took, used = await encoded(server), [], server.cpu_s()
    for number in range(1, EVENTS + 1):
        waiting = asyncio.gather(*(next_event(reader) for reader, _ in streams))
        await asyncio.sleep(0)
        began = time.perf_counter()
        await server.send([load.request("PUT", f"{path}/w", document(number))])
        await asyncio.wait_for(waiting, 60)
        took.append((time.perf_counter() - began) * 1e3)
    used_us = (server.cpu_s() - used) / (EVENTS * WATCHERS) * 1e6
    print(
        f"{EVENTS} events to {WATCHERS} watchers: encoded {await encoded(server) - before} times; the last had it after"
        f" {statistics.median(took):.0f} ms, at worst {max(took):.0f} ms; {used_us:.1f} µs a delivery, write and"
        f" connection included   × {used_us / bare_us:.2f}"
    )
    for _, writer in streams:
        writer.close()


async def main(count: int = OBJECTS) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        directory = Path(name)
        pki, tls = api.credentials(directory)
        fill(directory, count)
        with api.serving("bare", directory) as (bare_pid, bare_port):
            bare = await api.Server(bare_pid, bare_port, tls).send([load.request("GET", "/")] * 4000)
        began = time.perf_counter()
        with api.serving("api", directory) as (pid, port):
            server = api.Server(pid, port, tls)
            print(
                f"{count} ConfigMaps: ready after {time.perf_counter() - began:.1f} s, {server.cpu_s():.1f} s CPU;"
                f" {machine.pss_mib(pid):.0f} MiB", flush=True,
            )
            await api.prepare(directory, pki, port, pods=0)
            await lists(server, bare.cpu_us)
            await fan_out(server, bare.cpu_us)
            print(f"memory at the end {machine.pss_mib(pid):.0f} MiB")


if __name__ == "__main__":
    uvloop.run(main(*map(int, sys.argv[1:])))
