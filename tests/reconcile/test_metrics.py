from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry

from sampan import effects
from sampan.reconcile.metrics import Collector, Histogram
from sampan.reconcile.workqueue import Workqueue
from sampan.sim.loop import VirtualLoop, run
from sampan.sim.source import SeededSource


def test_a_histogram_counts_up_to_each_bound() -> None:
    histogram = Histogram()
    for seconds in (0.005, 0.5, 0.6, 5000.0):
        histogram.observe(seconds)
    shown = dict(histogram.cumulative())
    assert (shown["0.01"], shown["1.0"], shown["1000.0"], shown["+Inf"]) == (1, 3, 3, 4)


def test_a_queue_tells_what_waits_what_is_worked_on_and_for_how_long() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        with effects.use(SeededSource(1, loop)):
            await observed()

    async def observed() -> None:
        queue = Workqueue()
        registry = CollectorRegistry()
        registry.register(Collector(lambda: [("deployment", queue.metrics)], effects.monotonic))

        def value(name: str) -> float | None:
            return registry.get_sample_value(name, {"name": "deployment"})

        for key in ("a", "a", "b"):
            queue.add(key)
        assert (value("workqueue_adds_total"), value("workqueue_depth")) == (2, 2)
        await asyncio.sleep(3)
        assert await queue.get() == "a"
        await asyncio.sleep(2)
        assert value("workqueue_depth") == 1
        assert value("workqueue_queue_duration_seconds_sum") == 3
        assert value("workqueue_unfinished_work_seconds") == value("workqueue_longest_running_processor_seconds") == 2
        queue.add_rate_limited("a")
        queue.done("a")
        assert (value("workqueue_retries_total"), value("workqueue_work_duration_seconds_count")) == (1, 1)
        assert value("workqueue_unfinished_work_seconds") == 0

    run(scenario())
