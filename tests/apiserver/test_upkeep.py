"""Metrics and the compaction of history."""

import asyncio

import pytest
from tests.apiserver.serving import call, serving

from sampan.api.core.configmap import CONFIG_MAP
from sampan.api.resources import CONFIG_MAPS
from sampan.apiserver.registry import hub as hub_module
from sampan.apiserver.registry.compaction import Compaction
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
        assert "process_resident_memory_bytes" in text


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
        async with asyncio.timeout(5):
            assert await hub.fresh() == revision
        cache = hub.cache(CONFIG_MAPS)
        assert cache is not None and cache.get("n/c") is not None and store.broken == 1
    finally:
        await hub.stop()
