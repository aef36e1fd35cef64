"""From kubelets' /metrics/resource to what nodes and containers use: two samples make a rate. Pure.

CPU is counted since a container's start; what it uses is the difference of two samples over the time between them.
Memory is what the last sample says. A container that began since the sample before has no rate with it; once it runs
for ten seconds its beginning, when nothing was used, is as good as a sample. Both rules are metrics-server's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from prometheus_client.parser import text_string_to_metric_families

FRESH_S: Final = (10.0, 60.0)
"""From which age to which a container's beginning makes a rate: before it, starting is all it did; past it, too old."""

ContainerKey: TypeAlias = tuple[str, str, str]
"""Namespace, pod, container."""


@dataclass(frozen=True, slots=True)
class Point:
    """One reading: seconds since the epoch, CPU seconds used so far, bytes of memory in use."""

    time_s: float
    cpu_s: float
    memory_bytes: int
    started_s: float | None = None


@dataclass(frozen=True, slots=True)
class NodeSample:
    """All that one scrape of a node told."""

    node: Point
    containers: Mapping[ContainerKey, Point]


@dataclass(frozen=True, slots=True)
class Used:
    """Over `window_s` until `time_s`."""

    time_s: float
    window_s: float
    cpu_ns: int
    """Nanoseconds of CPU a second."""
    memory_bytes: int


def parse(text: str, now_s: float) -> NodeSample:
    """A scrape. Raises ValueError for a text that lacks the node's own figures."""
    cpu: dict[ContainerKey, tuple[float, float]] = {}
    memory: dict[ContainerKey, int] = {}
    started: dict[ContainerKey, float] = {}
    node: dict[str, float] = {}
    for one in (sample for family in text_string_to_metric_families(text) for sample in family.samples):
        key = (one.labels.get("namespace", ""), one.labels.get("pod", ""), one.labels.get("container", ""))
        if one.name == "container_cpu_usage_seconds_total":
            cpu[key] = (float(one.timestamp or now_s), one.value)
        elif one.name == "container_memory_working_set_bytes":
            memory[key] = int(one.value)
        elif one.name == "container_start_time_seconds":
            started[key] = one.value
        elif one.name in ("node_cpu_usage_seconds_total", "node_memory_working_set_bytes"):
            node[one.name] = one.value
    if len(node) < 2:
        raise ValueError("the kubelet's answer has no figures of the node")
    own = Point(now_s, node["node_cpu_usage_seconds_total"], int(node["node_memory_working_set_bytes"]))
    found = {key: Point(*cpu[key], memory[key], started.get(key)) for key in cpu if key in memory}
    return NodeSample(own, found)


def used(before: Point | None, after: Point | None) -> Used | None:
    """None where two samples do not make a rate."""
    if before is None or after is None or after.time_s <= before.time_s or after.cpu_s < before.cpu_s:
        return None
    if after.started_s is not None and after.started_s > before.time_s:
        return None
    window_s = after.time_s - before.time_s
    return Used(after.time_s, window_s, int((after.cpu_s - before.cpu_s) / window_s * 1e9), after.memory_bytes)


def beginning(point: Point) -> Point | None:
    """A fresh container's first point: when it began it had used nothing."""
    if point.started_s is None or not FRESH_S[0] <= point.time_s - point.started_s <= FRESH_S[1]:
        return None
    return replace(point, time_s=point.started_s, cpu_s=0.0)


@dataclass(slots=True)
class Window:
    """The last two samples of each node. A container that the runtime did not measure anew keeps its older pair."""

    _last: dict[str, NodeSample] = field(default_factory=dict)
    _nodes: dict[str, Used] = field(default_factory=dict)
    _containers: dict[str, dict[ContainerKey, Used]] = field(default_factory=dict)

    def add(self, node: str, sample: NodeSample) -> None:
        before = self._last.get(node)
        self._last[node] = sample
        known = self._containers.get(node, {})
        containers: dict[ContainerKey, Used] = {}
        for key, point in sample.containers.items():
            old = before.containers.get(key) if before is not None else None
            rate = used(old, point)
            if rate is None and old is not None and old.time_s == point.time_s:
                rate = known.get(key)
            if rate is None:
                rate = used(beginning(point), point)
            if rate is not None:
                containers[key] = rate
        self._containers[node] = containers
        own = used(before.node if before is not None else None, sample.node)
        if own is not None:
            self._nodes[node] = own

    def keep(self, nodes: set[str]) -> None:
        """Forget every other node."""
        for gone in self._last.keys() - nodes:
            del self._last[gone]
            self._nodes.pop(gone, None)
            self._containers.pop(gone, None)

    def is_complete(self, node: str) -> bool:
        """Whether the node and every container that its last sample names have a rate."""
        last = self._last.get(node)
        return node in self._nodes and last is not None and len(self._containers[node]) == len(last.containers)

    def node(self, name: str) -> Used | None:
        return self._nodes.get(name)

    def pod(self, namespace: str, name: str) -> dict[str, Used]:
        """What each measured container of a pod uses."""
        return {
            key[2]: rate for containers in self._containers.values() for key, rate in containers.items()
            if key[:2] == (namespace, name)
        }

    def pods(self) -> dict[tuple[str, str], dict[str, Used]]:
        """All of it, by namespace and pod."""
        found: dict[tuple[str, str], dict[str, Used]] = {}
        for containers in self._containers.values():
            for (namespace, pod, container), rate in containers.items():
                found.setdefault((namespace, pod), {})[container] = rate
        return found
