"""What the scheduler has done, under kube-scheduler's names (`scheduler_*`), for `/metrics`.

An attempt pays for a few additions; Prometheus' text is made when someone scrapes. How long plugins take is measured in
one attempt of ten (`sampling`), as upstream does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sampan import effects
from sampan.scheduler.framework.status import Status

if TYPE_CHECKING:  # loaded by the first scrape
    from prometheus_client.core import Metric

SCHEDULED, UNSCHEDULABLE, ERROR = "scheduled", "unschedulable", "error"
SAMPLED_EVERY: Final = 10
_MOST_ATTEMPTS: Final = 15

Labels: TypeAlias = tuple[str, ...]
Bounds: TypeAlias = tuple[float, ...]


def exponential(start: float, factor: float, count: int) -> Bounds:
    return tuple(start * factor**power for power in range(count))


ATTEMPT_S: Final = exponential(0.001, 2, 15)
SLI_S: Final = exponential(0.01, 2, 20)
PLUGIN_S: Final = exponential(0.00001, 1.5, 20)
POINT_S: Final = exponential(0.0001, 2, 12)
VICTIMS: Final = exponential(1, 2, 7)
ATTEMPTS: Final = exponential(1, 2, 5)


@dataclass(slots=True)
class Histogram:
    """How often a value was in each bucket (the last: larger than all bounds), and their sum."""

    bounds: Bounds
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """As the exposition format has it."""
        so_far, shown = 0, []
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            shown.append((bound, float(so_far)))
        return shown


class Histograms(defaultdict[Labels, Histogram]):
    """One for each combination of labels."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(lambda: Histogram(bounds))


class SchedulerMetrics:
    """Counts and durations since the scheduler began. `sampling`: whether plugins are measured now."""

    def __init__(self) -> None:
        self.sampling = False
        self.incoming: Counter[tuple[str, str]] = Counter()
        self._attempts: Counter[Labels] = Counter()
        self._attempt_s = Histograms(ATTEMPT_S)
        self._algorithm_s = Histogram(ATTEMPT_S)
        self._sli_s = Histograms(SLI_S)
        self._tries = Histogram(ATTEMPTS)
        self._plugin_s = Histograms(PLUGIN_S)
        self._point_s = Histograms(POINT_S)
        self._permit_wait_s = Histograms(ATTEMPT_S)
        self._groups: Counter[Labels] = Counter()
        self._group_s = Histograms(ATTEMPT_S)
        self._victims = Histogram(VICTIMS)
        self._preemptions = 0
        self._began = 0

    def begin(self) -> None:
        """An attempt begins."""
        self._began += 1
        self.sampling = self._began % SAMPLED_EVERY == 0

    def decided(self, seconds: float) -> None:
        """A node was found for a pod."""
        self._algorithm_s.observe(seconds)

    def attempt(self, result: str, profile: str, seconds: float) -> None:
        """An attempt ended."""
        self._attempts[result, profile] += 1
        self._attempt_s[result, profile].observe(seconds)

    def bound(self, tries: int, waited_s: float) -> None:
        """A pod was bound at last."""
        self._tries.observe(tries)
        self._sli_s[(str(min(tries, _MOST_ATTEMPTS)) + "+" * (tries > _MOST_ATTEMPTS),)].observe(waited_s)

    def preempted(self, victims: int) -> None:
        """Room is made for a pod, at the cost of others."""
        self._preemptions += 1
        self._victims.observe(victims)

    def group_attempt(self, result: str, profile: str, seconds: float) -> None:
        """An attempt to place a pod group ended."""
        self._groups[result, profile] += 1
        self._group_s[result, profile].observe(seconds)

    def permit_waited(self, result: str, seconds: float) -> None:
        """A pod was held by Permit until this came of it."""
        self._permit_wait_s[(result,)].observe(seconds)

    def point(self, profile: str, name: str, status: Status | None, seconds: float) -> None:
        """All plugins of an extension point ran; no status is success."""
        told = "Success" if status is None else status.code.value
        self._point_s[name, told, profile].observe(seconds)

    def plugin(self, name: str, point: str, status: str, seconds: float) -> None:
        self._plugin_s[name, point, status].observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """As Prometheus' registry asks."""
        yield _counter(
            "scheduler_schedule_attempts", "Number of attempts to schedule pods, by the result.",
            ("result", "profile"), self._attempts,
        )
        yield _counter(
            "scheduler_queue_incoming_pods", "Number of pods added to scheduling queues by event and queue type.",
            ("queue", "event"), self.incoming,
        )
        yield _counter(
            "scheduler_preemption_attempts", "Total preemption attempts in the cluster till now", (),
            {(): self._preemptions},
        )
        yield _histogram(
            "scheduler_scheduling_attempt_duration_seconds",
            "Scheduling attempt latency in seconds (scheduling algorithm + binding)", ("result", "profile"),
            self._attempt_s,
        )
        yield _histogram(
            "scheduler_scheduling_algorithm_duration_seconds", "Scheduling algorithm latency in seconds", (),
            {(): self._algorithm_s},
        )
        yield _histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue",
            ("attempts",), self._sli_s,
        )
        yield _histogram(
            "scheduler_pod_scheduling_attempts", "Number of attempts to successfully schedule a pod.", (),
            {(): self._tries},
        )
        yield _histogram(
            "scheduler_preemption_victims", "Number of selected preemption victims", (), {(): self._victims}
        )
        yield _histogram(
            "scheduler_framework_extension_point_duration_seconds",
            "Latency for running all plugins of a specific extension point.",
            ("extension_point", "status", "profile"), self._point_s,
        )
        yield _histogram(
            "scheduler_permit_wait_duration_seconds", "Duration of waiting on permit.", ("result",),
            self._permit_wait_s,
        )
        yield _counter(
            "scheduler_podgroup_schedule_attempts", "Number of attempts to schedule pod group, by the result.",
            ("result", "profile"), self._groups,
        )
        yield _histogram(
            "scheduler_podgroup_scheduling_attempt_duration_seconds",
            "Pod group scheduling attempt latency in seconds", ("result", "profile"), self._group_s,
        )
        yield _histogram(
            "scheduler_plugin_execution_duration_seconds",
            "Duration for running a plugin at a specific extension point.", ("plugin", "extension_point", "status"),
            self._plugin_s,
        )


def gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """One value for each of a label's."""
    from prometheus_client.core import GaugeMetricFamily

    made = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in values.items():
        made.add_metric((key,), value)
    return made


def evaluations(counts: Mapping[Labels, int]) -> Metric:
    """By plugin, extension point and profile."""
    return _counter(
        "scheduler_plugin_evaluation", "Number of attempts to schedule pods by each plugin and the extension point "
        "(available only in PreFilter, Filter, PreScore, and Score).", ("plugin", "extension_point", "profile"), counts,
    )


def _counter(name: str, text: str, labels: Labels, counts: Mapping[Any, int]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    made = CounterMetricFamily(name, text, labels=labels)
    for key, count in counts.items():
        made.add_metric(key, count)
    return made


def _histogram(name: str, text: str, labels: Labels, found: Mapping[Labels, Histogram]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    made = HistogramMetricFamily(name, text, labels=labels)
    for key, one in found.items():
        made.add_metric(key, one.cumulative(), one.total)
    return made


POINTS: Final[Mapping[str, str]] = {
    "pre_filter": "PreFilter", "filter": "Filter", "filter_rows": "Filter", "post_filter": "PostFilter",
    "pre_score": "PreScore", "score_rows": "Score", "normalize_rows": "Score", "reserve": "Reserve",
    "unreserve": "Unreserve", "permit": "Permit", "post_bind": "PostBind",
}
"""What is measured of a plugin: its methods that do not wait, by extension point."""


def measure(plugin: Any, metrics: SchedulerMetrics) -> None:
    """Let a plugin's methods be measured while `metrics.sampling` holds."""
    for method, point in POINTS.items():
        if hasattr(plugin, method):
            setattr(plugin, method, _measured(getattr(plugin, method), plugin.name, point, metrics))


def _measured(method: Any, plugin: str, point: str, metrics: SchedulerMetrics) -> Any:
    def run(*arguments: Any) -> Any:
        if not metrics.sampling:
            return method(*arguments)
        began = effects.monotonic()
        answer = method(*arguments)
        status = answer.code.value if isinstance(answer, Status) else "Success"
        metrics.plugin(plugin, point, status, effects.monotonic() - began)
        return answer

    return run
