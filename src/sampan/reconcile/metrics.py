"""What a work queue has done, under the names by which every Kubernetes controller reports it (`workqueue_*`).

A queue pays for two clock readings and a few additions a key; the Prometheus text is made when someone scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # loaded by the first scrape
    from prometheus_client.core import Metric

BUCKETS_S: Final = tuple(10.0 ** exponent for exponent in range(-8, 4))


@dataclass(slots=True)
class Histogram:
    """How often a duration was in each bucket (the last: longer than all), and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    sum_s: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """As the exposition format has it."""
        total, shown = 0, []
        for bound, count in zip((*map(repr, BUCKETS_S), "+Inf"), self.counts, strict=True):
            total += count
            shown.append((bound, float(total)))
        return shown


@dataclass(slots=True)
class QueueMetrics:
    """One queue's figures. `running` are the keys that are worked on and since when."""

    adds: int = 0
    retries: int = 0
    depth: int = 0
    queued: Histogram = field(default_factory=Histogram)
    worked: Histogram = field(default_factory=Histogram)
    running: dict[str, float] = field(default_factory=dict)


class Collector:
    """A Prometheus collector of the queues that exist when it is asked, by name."""

    def __init__(self, queues: Callable[[], Iterable[tuple[str, QueueMetrics]]], now: Callable[[], float]) -> None:
        self._queues = queues
        self._now = now

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        found = sorted(self._queues(), key=lambda one: one[0])
        now = self._now()
        counters: Sequence[tuple[str, str, Callable[[QueueMetrics], float]]] = (
            ("workqueue_adds", "Total number of adds handled by workqueue", lambda one: one.adds),
            ("workqueue_retries", "Total number of retries handled by workqueue", lambda one: one.retries),
        )
        for name, text, value in counters:
            counter = CounterMetricFamily(name, text, labels=("name",))
            for label, queue in found:
                counter.add_metric((label,), value(queue))
            yield counter
        gauges: Sequence[tuple[str, str, Callable[[QueueMetrics], float]]] = (
            ("workqueue_depth", "Current depth of workqueue", lambda one: one.depth),
            ("workqueue_unfinished_work_seconds", "How many seconds of work are in progress and not yet observed by "
             "work_duration", lambda one: sum(now - since for since in one.running.values())),
            ("workqueue_longest_running_processor_seconds", "How many seconds the longest running processor has been "
             "running", lambda one: max((now - since for since in one.running.values()), default=0.0)),
        )
        for name, text, value in gauges:
            gauge = GaugeMetricFamily(name, text, labels=("name",))
            for label, queue in found:
                gauge.add_metric((label,), value(queue))
            yield gauge
        histograms: Sequence[tuple[str, str, Callable[[QueueMetrics], Histogram]]] = (
            ("workqueue_queue_duration_seconds",
             "How long in seconds an item stays in workqueue before being requested", lambda one: one.queued),
            ("workqueue_work_duration_seconds", "How long in seconds processing an item from workqueue takes.",
             lambda one: one.worked),
        )
        for name, text, part in histograms:
            histogram = HistogramMetricFamily(name, text, labels=("name",))
            for label, queue in found:
                histogram.add_metric((label,), part(queue).cumulative(), part(queue).sum_s)
            yield histogram
