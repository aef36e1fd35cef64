"""The proxy's figures, under kube-proxy's names: how long syncs take, how many failed, what changed.

Served at 127.0.0.1:10249 of the node as kube-proxy does, beside /healthz and /proxyMode. Numbers are kept here; the
library that prints them is loaded when somebody asks.
"""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from sampan import effects
from sampan.apimachinery.release import BuildInfo

if TYPE_CHECKING:
    from aiohttp import web

MODE = "nftables"
BUCKETS_S = tuple(0.001 * 2**power for power in range(15))
_PREFIX = "kubeproxy_sync_proxy_rules"


class Figures:
    """Told by the proxy; a collector for prometheus_client."""

    def __init__(self) -> None:
        self._buckets = [0] * (len(BUCKETS_S) + 1)
        self._sum_s = 0.0
        self._synced_at = 0.0
        self._queued_at = 0.0
        self._failures = 0
        self._changes = {"service": 0, "endpoint": 0}
        self._pending = {"service": 0, "endpoint": 0}

    def changed(self, what: str, count: int) -> None:
        """Services or endpoints changed; they wait for the next sync."""
        self._changes[what] += count
        self._pending[what] += count
        self._queued_at = effects.now().timestamp()

    def synced(self, took_s: float) -> None:
        self._buckets[bisect.bisect_left(BUCKETS_S, took_s)] += 1
        self._sum_s += took_s
        self._synced_at = effects.now().timestamp()
        self._pending = dict.fromkeys(self._pending, 0)

    def failed(self) -> None:
        self._failures += 1

    def collect(self) -> Iterator[Any]:
        """Families in prometheus_client's terms."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        total, rows = 0, []
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self._buckets, strict=True):
            total += count
            rows.append((bound, float(total)))
        yield HistogramMetricFamily(
            f"{_PREFIX}_duration_seconds", "How long a sync took", buckets=rows, sum_value=self._sum_s
        )
        yield CounterMetricFamily(f"{_PREFIX}_nftables_sync_failures", "Syncs that failed", value=self._failures)
        yield GaugeMetricFamily(f"{_PREFIX}_last_timestamp_seconds", "The last sync", value=self._synced_at)
        yield GaugeMetricFamily(f"{_PREFIX}_last_queued_timestamp_seconds", "The last change", value=self._queued_at)
        for what in self._changes:
            yield CounterMetricFamily(f"{_PREFIX}_{what}_changes", f"{what} changes", value=self._changes[what])
            yield GaugeMetricFamily(f"{_PREFIX}_{what}_changes_pending", "Not synced yet", value=self._pending[what])


@contextlib.asynccontextmanager
async def serving(figures: Figures, address: str, port: int) -> AsyncIterator[None]:
    """Serve /metrics, /healthz and /proxyMode at this address while the block runs."""
    from aiohttp import web

    async def metrics(_: web.Request) -> web.Response:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest

        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(BuildInfo())
        registry.register(figures)
        return web.Response(body=generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def mode(_: web.Request) -> web.Response:
        return web.Response(text=MODE)

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/proxyMode", mode)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port).start()
        yield
    finally:
        await runner.cleanup()
