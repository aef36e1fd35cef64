"""What a control loop counts and measures of its own, under the names that upstream's loop has for it.

A `Tally` only grows: the loop adds to it, usually for a write that the executor has tried (`Wiring.observe`, or
`Plan.tell` for all of a plan). A `Spread` is a histogram of what it observes. A `Reading` is taken from the loop's
copies when somebody scrapes, and costs nothing until then. All begin anew when the loop does, as Prometheus expects of
a process that was started again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # loaded by the first scrape
    from prometheus_client.core import Metric

Values: TypeAlias = Mapping[tuple[str, ...], float]
"""A figure for each combination of the labels' values, in the labels' order."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A count, by `labels`."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    counts: dict[tuple[str, ...], float] = field(default_factory=dict)

    def add(self, *values: str, amount: float = 1.0) -> None:
        """Count `amount` more under these values of the labels."""
        assert len(values) == len(self.labels), self.name
        self.counts[values] = self.counts.get(values, 0.0) + amount

    def read(self) -> Values:
        return self.counts if self.labels else {(): self.counts.get((), 0.0)}


@dataclass(frozen=True, slots=True)
class Reading:
    """A state, by `labels`, as `read` tells it."""

    name: str
    text: str
    labels: tuple[str, ...]
    read: Callable[[], Values]


@dataclass(frozen=True, slots=True)
class Spread:
    """How often a value was within each of `bounds`, by `labels`; and their sum."""

    name: str
    text: str
    bounds: tuple[float, ...]
    labels: tuple[str, ...] = ()
    counts: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    sums: dict[tuple[str, ...], float] = field(default_factory=dict)

    def observe(self, value: float, *values: str) -> None:
        """Count `value` under these values of the labels."""
        assert len(values) == len(self.labels), self.name
        counts = self.counts.setdefault(values, [0] * (len(self.bounds) + 1))
        counts[bisect_left(self.bounds, value)] += 1
        self.sums[values] = self.sums.get(values, 0.0) + value

    def family(self) -> Metric:
        from prometheus_client.core import HistogramMetricFamily

        found = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        for values, counts in sorted(self.counts.items()):
            bounds = (*map(repr, self.bounds), "+Inf")
            found.add_metric(values, list(zip(bounds, accumulate(map(float, counts)), strict=True)), self.sums[values])
        return found


def exponential(start: float, factor: float, count: int) -> tuple[float, ...]:
    """`count` bounds, each `factor` times the one before."""
    return tuple(start * factor ** power for power in range(count))


Measure: TypeAlias = Tally | Reading | Spread


def families(measures: Iterable[Measure]) -> Iterator[Metric]:
    """As Prometheus' registry asks. A count whose name does not end in `_total` keeps it, without a type."""
    from prometheus_client.core import Metric

    for one in measures:
        if isinstance(one, Spread):
            yield one.family()
            continue
        is_total = isinstance(one, Tally) and one.name.endswith("_total")
        kind = "gauge" if isinstance(one, Reading) else "counter" if is_total else "unknown"
        family = Metric(one.name.removesuffix("_total") if is_total else one.name, one.text, kind)
        for values, figure in sorted(one.read().items()):
            family.add_sample(one.name, dict(zip(one.labels, values, strict=True)), figure)
        yield family
