"""Counts of requests, for `/metrics`: how many, how long, by verb and resource, under upstream's names.

A request pays for two additions in a dictionary; the Prometheus text is made when someone scrapes. Watches and streams
count as open, not by their duration.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from sampan import effects
from sampan.apimachinery.release import BuildInfo
from sampan.apiserver.context import RequestContext
from sampan.apiserver.flowcontrol.limit_metrics import LimitMetrics
from sampan.apiserver.registry.hub import Hub
from sampan.apiserver.registry.watcher import Change
from sampan.apiserver.seams import Reader

if TYPE_CHECKING:  # loaded by the first scrape, not while the server starts
    from prometheus_client.core import Metric

Labels: TypeAlias = tuple[str, ...]
_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_REQUEST: Final = ("verb", "group", "version", "resource", "subresource")

_VERBS: Final = frozenset({
    "create", "delete", "deletecollection", "get", "head", "list", "options", "patch", "post", "put", "update", "watch",
})
_METHODS: Final = {"create": "POST", "update": "PUT"}
"""Verbs that are counted by the method of HTTP, as upstream counts."""
_SUBRESOURCES: Final = frozenset({
    "", "approval", "attach", "binding", "ephemeralcontainers", "eviction", "exec", "finalize", "log", "portforward",
    "proxy", "resize", "scale", "status", "token",
})


class RequestMetrics:
    """Is told of every answer, and is a Prometheus collector of what it was told. `hub` adds the caches' figures."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._counts: dict[Labels, int] = {}
        self._durations: dict[Labels, list[float]] = {}

    def note(self, ctx: RequestContext, status: int) -> None:
        """One answered request."""
        labels = _labels(ctx, status)
        counted = (*labels, str(status))
        self._counts[counted] = self._counts.get(counted, 0) + 1
        if ctx.long_running:
            return
        seconds = effects.monotonic() - ctx.received_s
        found = self._durations.get(labels)
        if found is None:
            found = self._durations[labels] = [0.0] * (len(_BUCKETS_S) + 2)
        found[bisect_left(_BUCKETS_S, seconds)] += 1
        found[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        """As Prometheus' registry asks."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        total = CounterMetricFamily("apiserver_request", "Requests answered.", labels=(*_REQUEST, "code"))
        for counted, count in self._counts.items():
            total.add_metric(counted, count)
        yield total
        yield self._histogram()
        objects = GaugeMetricFamily("apiserver_storage_objects", "Objects stored.", labels=("resource",))
        watchers = GaugeMetricFamily("apiserver_longrunning_requests", "Open watches.", labels=("resource",))
        for cache in self._hub.caches():
            name = cache.kind.resource.qualified
            objects.add_metric((name,), len(cache))
            watchers.add_metric((name,), cache.watchers)
        encoded = CounterMetricFamily("apiserver_watch_events_encoded", "Watch events encoded, each for all watchers.")
        encoded.add_metric((), Change.encoded)
        yield encoded
        yield objects
        yield watchers

    def _histogram(self) -> Metric:
        from prometheus_client.core import HistogramMetricFamily

        name = "apiserver_request_duration_seconds"
        histogram = HistogramMetricFamily(name, "Seconds to answer.", labels=_REQUEST)
        for labels, found in self._durations.items():
            *counts, seconds = found
            cumulative, buckets = 0.0, []
            for limit, count in zip((*map(str, _BUCKETS_S), "+Inf"), counts, strict=True):
                cumulative += count
                buckets.append((limit, cumulative))
            histogram.add_metric(labels, buckets, seconds)
        return histogram


def _labels(ctx: RequestContext, status: int) -> Labels:
    """A refused request may name anything, also before it is known who asks; only what exists gets a row of its own."""
    verb = _METHODS.get(ctx.verb) or (ctx.verb.upper() if ctx.verb in _VERBS else "other")
    if status >= 400 and ctx.kind is None:
        return (verb, "", "", "", "")
    known = status < 400 or ctx.subresource in _SUBRESOURCES
    return (verb, ctx.group, ctx.version, ctx.resource, ctx.subresource if known else "")


def exposition(metrics: RequestMetrics, reader: Reader) -> Callable[[], bytes]:
    """What makes the whole text; the process's own figures (memory, CPU, garbage collection) are in it."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.gc_collector import GCCollector
    from prometheus_client.process_collector import ProcessCollector

    registry = CollectorRegistry()
    registry.register(BuildInfo())
    registry.register(metrics)
    registry.register(LimitMetrics(reader))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return lambda: generate_latest(registry)
