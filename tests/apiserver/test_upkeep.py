"""Metrics, the compaction of history, the expiry of Events."""

import asyncio
from datetime import timedelta

import pytest
from tests.apiserver.serving import call, config_map, serving

from sampan import effects
from sampan.api.core.configmap import CONFIG_MAP
from sampan.api.resources import CONFIG_MAPS, CORE_EVENTS
from sampan.apiserver.registry import hub as hub_module
from sampan.apiserver.registry.compaction import Compaction
from sampan.effects.seeded import SeededSource
from sampan.storage.memory import MemoryStore
from sampan.storage.store import Compacted


async def test_requests_are_counted():
    async with serving() as (server, _):
        for _ in range(3):
            await call(server, "GET", "/api/v1/namespaces/default")
        text = (await call(server, "GET", "/metrics")).body.decode()
        labels = 'code="200",group="",resource="namespaces",subresource="",verb="GET",version="v1"'
        line = next(line for line in text.splitlines() if line.startswith("apiserver_request_total{" + labels))
        assert float(line.rpartition(" ")[2]) == 3
        await call(server, "POST", "/api/v1/namespaces", {"metadata": {"name": "made"}})
        text = (await call(server, "GET", "/metrics")).body.decode()
        assert 'resource="namespaces",subresource="",verb="POST"' in text
        assert "process_resident_memory_bytes" in text


async def test_what_no_kind_is_called_makes_no_figure_of_its_own():
    async with serving() as (server, _):
        for number in range(3):
            await call(server, "GET", f"/api/v1/namespaces/default/made-up-{number}")
            await call(server, "GET", f"/apis/made-up-{number}/v1/things")
            await call(server, "GET", f"/api/v1/namespaces/default/pods/p/made-up-{number}")
        assert "made-up" not in (await call(server, "GET", "/metrics")).body.decode()


async def test_history_is_forgotten_after_its_time():
    store = MemoryStore()
    compaction = Compaction(store, 100.0)
    for number in range(5):
        await store.create(f"/k{number}", b"v")
    await compaction._step(0.0)
    await store.create("/later", b"v")
    await compaction._step(99.0)
    assert (await store.get("/k0", revision=3)) is not None
    await compaction._step(100.0)
    with pytest.raises(Compacted):
        await store.get("/k0", revision=3)
    assert (await store.get("/k0", revision=5)) is not None


class BreakingStore(MemoryStore):
    """Its first watch ends in an error, as if the store had been compacted under it."""

    broken = 0

    def watch(self, prefix, *, after):
        if not self.broken:
            self.broken += 1
            raise Compacted(after + 1)
        return super().watch(prefix, after=after)


async def test_caches_load_again_when_the_watch_of_the_store_breaks(monkeypatch):
    monkeypatch.setattr(hub_module, "RETRY_S", 0)
    store = BreakingStore()
    hub = hub_module.Hub(store, [CONFIG_MAP], 10)
    await hub.start()
    try:
        stored = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c","namespace":"n"}}'
        revision = await store.create("/registry/core/configmaps/n/c", stored)
        async with asyncio.timeout(60):
            assert await hub.fresh() == revision
        cache = hub.cache(CONFIG_MAPS)
        assert cache is not None and cache.get("n/c") is not None and store.broken == 1
    finally:
        await hub.stop()


def happened(name, first, last):
    return {
        "kind": "Event", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"}, "reason": "R",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "type": "Normal",
        "firstTimestamp": first, "lastTimestamp": last,
    }


async def test_events_are_forgotten_after_their_time():
    source = SeededSource(1, lambda: 0.0)
    with effects.use(source):
        clock = effects.now()
        async with serving(event_ttl_s=3600.0) as (server, client):
            later = (clock + timedelta(minutes=50)).isoformat().replace("+00:00", "Z")
            await client.create(CORE_EVENTS, happened("once", effects.timestamp(), effects.timestamp()))
            await client.create(CORE_EVENTS, happened("again", effects.timestamp(), later))
            await client.create(CORE_EVENTS, happened("liar", effects.timestamp(), "2999-01-01T00:00:00Z"))
            await server.hub.fresh()
            expiry = server._upkeep[1]
            await expiry.step()
            assert len((await client.list(CORE_EVENTS))["items"]) == 3
            source.clock_offset = timedelta(minutes=61)
            await expiry.step()
            await server.hub.fresh()
            left = (await client.list(CORE_EVENTS))["items"]
            assert [event["metadata"]["name"] for event in left] == ["again"]


async def test_who_waits_in_vain_for_a_revision_is_forgotten():
    async with serving() as (server, client):
        assert not await server.hub.reach(10**9, 0.01)
        await client.create(CONFIG_MAPS, config_map("c"))
        await server.hub.fresh()
        assert server.hub._waiters == []
