"""What the scheduler reports of itself."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from tests.scheduler.conftest import World

from sampan.scheduler.framework.status import SKIP, Status, unschedulable
from sampan.scheduler.metrics import SAMPLED_EVERY, SCHEDULED, SchedulerMetrics, measure
from sampan.scheduler.pod_info import parse
from sampan.scheduler.queue import SchedulingQueue


def text(metrics: SchedulerMetrics) -> list[str]:
    registry = CollectorRegistry()
    registry.register(metrics)  # type: ignore[arg-type]
    return generate_latest(registry).decode().splitlines()


def test_attempts_are_counted_by_result_and_profile() -> None:
    metrics = SchedulerMetrics()
    metrics.attempt(SCHEDULED, "default-scheduler", 0.003)
    metrics.attempt(SCHEDULED, "default-scheduler", 0.5)
    metrics.bound(2, 0.7)
    metrics.preempted(3)
    lines = text(metrics)
    labels = 'profile="default-scheduler",result="scheduled"'
    assert f"scheduler_schedule_attempts_total{{{labels}}} 2.0" in lines
    name = "scheduler_scheduling_attempt_duration_seconds"
    assert f'{name}_bucket{{le="0.004",{labels}}} 1.0' in lines
    assert f"{name}_count{{{labels}}} 2.0" in lines
    assert 'scheduler_pod_scheduling_sli_duration_seconds_sum{attempts="2"} 0.7' in lines
    assert "scheduler_preemption_victims_sum 3.0" in lines
    assert "scheduler_preemption_attempts_total 1.0" in lines


class Plugin:
    name = "Example"

    def filter(self, state: Any, pod: Any, node: Any) -> Status | None:
        return unschedulable("no") if node == "bad" else None

    def pre_score(self, state: Any, pod: Any, nodes: Any) -> Status | None:
        return SKIP


def test_plugins_are_measured_in_one_attempt_of_ten() -> None:
    metrics, plugin = SchedulerMetrics(), Plugin()
    measure(plugin, metrics)
    for _ in range(SAMPLED_EVERY * 3):
        metrics.begin()
        plugin.filter({}, None, "good")
        plugin.filter({}, None, "bad")
        plugin.pre_score({}, None, [])
    counts = [line for line in text(metrics) if line.startswith("scheduler_plugin_execution_duration_seconds_count")]
    assert [line.partition("{")[2] for line in counts] == [
        'extension_point="Filter",plugin="Example",status="Success"} 3.0',
        'extension_point="Filter",plugin="Example",status="Unschedulable"} 3.0',
        'extension_point="PreScore",plugin="Example",status="Skip"} 3.0',
    ]


def test_each_extension_point_is_measured_with_its_status(world: World) -> None:
    metrics = SchedulerMetrics()
    world.framework.measured = functools.partial(metrics.point, "default-scheduler")
    for node in ("a", "b"):
        world.node(node, cpu="2")
    assert world.where(cpu="1")
    decision = world.decide(cpu="3")
    world.framework.post_filter(decision.state, decision.pod, decision.diagnosis.statuses)
    world.decide(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "missing"}}])
    name = "scheduler_framework_extension_point_duration_seconds_count"
    assert {line.partition("{")[2] for line in text(metrics) if line.startswith(name)} == {
        'extension_point="PreFilter",profile="default-scheduler",status="Success"} 2.0',
        'extension_point="PreFilter",profile="default-scheduler",status="UnschedulableAndUnresolvable"} 1.0',
        'extension_point="Filter",profile="default-scheduler",status="Success"} 1.0',
        'extension_point="Filter",profile="default-scheduler",status="Unschedulable"} 1.0',
        'extension_point="PreScore",profile="default-scheduler",status="Success"} 1.0',
        'extension_point="Score",profile="default-scheduler",status="Success"} 1.0',
        'extension_point="PostFilter",profile="default-scheduler",status="Unschedulable"} 1.0',
    }


def test_plugins_are_counted_where_they_took_part(world: World) -> None:
    world.node("a", cpu="2")
    world.node("b", cpu="2")
    assert world.where(cpu="1")
    world.decide(cpu="3")
    found = world.framework.evaluations()
    assert found["NodeResourcesFit", "Filter"] == 2 and found["NodeResourcesFit", "Score"] == 1
    assert found["VolumeBinding", "PreFilter"] == 2
    assert not found["VolumeBinding", "Filter"], "it had nothing to say about a pod without volumes"


class NoRules:
    """One plugin that only waits."""

    def sort_key(self, pod: Any, queued_at: float) -> tuple[Any, ...]:
        return (queued_at,)

    def pre_enqueue(self, pod: Any) -> Status | None:
        return None

    def concerns(self, scheduler_name: str, plugin: str, event: Any) -> bool:
        return False

    def treats_alike(self, scheduler_name: str, plugin: str) -> bool:
        return False

    def nominated_node(self, pod: Any) -> str:
        return ""

    def hint(self, pod: Any, plugin: str, event: Any, old: Any, new: Any) -> bool:
        return False


def test_the_queue_counts_who_comes_where_and_why() -> None:
    incoming: Counter[tuple[str, str]] = Counter()
    queue = SchedulingQueue(NoRules(), incoming=incoming)
    queue.add(parse({"metadata": {"name": "a", "namespace": "default", "uid": "1"}, "spec": {"containers": []}}))
    queued = queue.pop_nowait()
    assert queued is not None
    queue.failed(queued, frozenset(("NodeResourcesFit",)))
    assert incoming == {("active", "PodAdd"): 1, ("unschedulable", "ScheduleAttemptFailure"): 1}
    assert queue.refused_by() == {("NodeResourcesFit", "default-scheduler"): 1}
    assert queue.pending()["unschedulable"] == 1
