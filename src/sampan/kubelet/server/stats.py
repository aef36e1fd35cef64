"""/stats/summary and the metrics endpoints: usage of node, pods and containers, from the runtime and /proc."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sampan import effects
from sampan.apimachinery.object import Object, name_of, namespace_of, uid_of
from sampan.cri.runtime import ContainerStats
from sampan.kubelet import machine as readings
from sampan.kubelet.container_status import timestamp
from sampan.kubelet.sandbox_config import CONTAINER_NAME, POD_UID


@dataclass(frozen=True, slots=True)
class Usage:
    """One moment's figures; `previous` maps container id to an earlier (timestamp_ns, cpu_usage_ns).

    `started_ns` maps the ids of running containers to when they began.
    """

    node_name: str
    pods: Sequence[Object]
    stats: Sequence[ContainerStats]
    root_dir: Path
    previous: dict[str, tuple[int, int]]
    started_ns: Mapping[str, int] = field(default_factory=dict)


def _nano_cores(item: ContainerStats, previous: dict[str, tuple[int, int]]) -> int:
    before = previous.get(item.id)
    if before is None or item.timestamp_ns <= before[0]:
        return 0
    return (item.cpu_usage_ns - before[1]) * 10**9 // (item.timestamp_ns - before[0])


def _by_pod(usage: Usage) -> Iterable[tuple[Object, list[ContainerStats]]]:
    for pod in usage.pods:
        found = [item for item in usage.stats if item.labels.get(POD_UID) == uid_of(pod) and item.timestamp_ns]
        yield pod, found


def summary(usage: Usage) -> Object:
    """As stats/v1alpha1 Summary."""
    now = effects.timestamp()
    total, available = readings.memory()
    busy_ns = node_cpu_ns()
    room = readings.disk(usage.root_dir)
    filesystem = {
        "time": now, "availableBytes": room.available_bytes, "capacityBytes": room.capacity_bytes,
        "usedBytes": room.capacity_bytes - room.available_bytes, "inodesFree": room.inodes_free, "inodes": room.inodes,
        "inodesUsed": room.inodes - room.inodes_free,
    }
    node: Object = {
        "nodeName": usage.node_name, "startTime": now,
        "cpu": {"time": now, "usageCoreNanoSeconds": busy_ns,
                "usageNanoCores": _rate(busy_ns, usage.previous.get("node"))},
        "memory": {"time": now, "availableBytes": available, "usageBytes": total - available,
                   "workingSetBytes": total - available},
        "fs": filesystem, "runtime": {"imageFs": filesystem},
    }
    return {"node": node, "pods": [_pod(pod, items, usage, now) for pod, items in _by_pod(usage)]}


def _rate(busy_ns: int, before: tuple[int, int] | None) -> int:
    now_ns = int(effects.monotonic() * 1e9)
    if before is None or now_ns <= before[0]:
        return 0
    return (busy_ns - before[1]) * 10**9 // (now_ns - before[0])


def _pod(pod: Object, items: list[ContainerStats], usage: Usage, now: str) -> Object:
    containers = [_container(item, usage) for item in items]
    return {
        "podRef": {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)},
        "startTime": (pod.get("status") or {}).get("startTime"), "containers": containers,
        "cpu": {"time": now, "usageNanoCores": sum(item["cpu"]["usageNanoCores"] for item in containers),
                "usageCoreNanoSeconds": sum(item["cpu"]["usageCoreNanoSeconds"] for item in containers)},
        "memory": {"time": now, "usageBytes": sum(item["memory"]["usageBytes"] for item in containers),
                   "workingSetBytes": sum(item["memory"]["workingSetBytes"] for item in containers),
                   "rssBytes": sum(item["memory"]["rssBytes"] for item in containers)},
    }


def _container(item: ContainerStats, usage: Usage) -> Object:
    time = timestamp(item.timestamp_ns)
    return {
        "name": item.labels.get(CONTAINER_NAME, item.name),
        "startTime": timestamp(usage.started_ns.get(item.id, 0)) or time,
        "cpu": {"time": time, "usageNanoCores": _nano_cores(item, usage.previous),
                "usageCoreNanoSeconds": item.cpu_usage_ns},
        "memory": {"time": time, "usageBytes": item.memory_usage_bytes,
                   "workingSetBytes": item.memory_working_set_bytes, "rssBytes": item.memory_rss_bytes},
        "rootfs": {"time": time, "usedBytes": item.filesystem_used_bytes, "inodesUsed": item.filesystem_inodes_used},
    }


def node_cpu_ns() -> int:
    """Time that all processors were busy since boot."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) * (10**9 // os.sysconf("SC_CLK_TCK"))


def _labels(**values: str) -> str:
    escaped = (f'{key}="{_escape(value)}"' for key, value in values.items())
    return "{" + ",".join(escaped) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_metrics(usage: Usage) -> str:
    """/metrics/resource: what metrics-server reads."""
    out = [
        "# TYPE node_cpu_usage_seconds_total counter", f"node_cpu_usage_seconds_total {node_cpu_ns() / 1e9}",
        "# TYPE node_memory_working_set_bytes gauge",
        f"node_memory_working_set_bytes {readings.memory()[0] - readings.memory()[1]}",
    ]
    cpu = ["# TYPE container_cpu_usage_seconds_total counter"]
    memory = ["# TYPE container_memory_working_set_bytes gauge"]
    started = ["# TYPE container_start_time_seconds gauge"]
    pod_cpu = ["# TYPE pod_cpu_usage_seconds_total counter"]
    pod_memory = ["# TYPE pod_memory_working_set_bytes gauge"]
    for pod, items in _by_pod(usage):
        whose = {"namespace": namespace_of(pod), "pod": name_of(pod)}
        for item in items:
            labels = _labels(container=item.name, **whose)
            when = item.timestamp_ns // 10**6
            cpu.append(f"container_cpu_usage_seconds_total{labels} {item.cpu_usage_ns / 1e9} {when}")
            memory.append(f"container_memory_working_set_bytes{labels} {item.memory_working_set_bytes} {when}")
            if item.id in usage.started_ns:
                started.append(f"container_start_time_seconds{labels} {usage.started_ns[item.id] / 1e9}")
        if items:
            pod_cpu.append(
                f"pod_cpu_usage_seconds_total{_labels(**whose)} {sum(item.cpu_usage_ns for item in items) / 1e9}"
            )
            used = sum(item.memory_working_set_bytes for item in items)
            pod_memory.append(f"pod_memory_working_set_bytes{_labels(**whose)} {used}")
    error = [
        line for name in ("resource_scrape_error", "scrape_error") for line in (f"# TYPE {name} gauge", f"{name} 0")
    ]
    return "\n".join([*out, *cpu, *memory, *started, *pod_cpu, *pod_memory, *error]) + "\n"


def cadvisor_metrics(usage: Usage) -> str:
    """/metrics/cadvisor: the container figures that dashboards use most."""
    figures: dict[str, tuple[str, Callable[[ContainerStats], float]]] = {
        "container_cpu_usage_seconds_total": ("counter", lambda item: item.cpu_usage_ns / 1e9),
        "container_memory_usage_bytes": ("gauge", lambda item: item.memory_usage_bytes),
        "container_memory_working_set_bytes": ("gauge", lambda item: item.memory_working_set_bytes),
        "container_memory_rss": ("gauge", lambda item: item.memory_rss_bytes),
        "container_fs_usage_bytes": ("gauge", lambda item: item.filesystem_used_bytes),
    }
    out: list[str] = []
    for name, (kind, value) in figures.items():
        out.append(f"# TYPE {name} {kind}")
        for pod, items in _by_pod(usage):
            for item in items:
                labels = _labels(container=item.name, namespace=namespace_of(pod), pod=name_of(pod), id=f"/{item.id}")
                out.append(f"{name}{labels} {value(item)}")
    return "\n".join(out) + "\n"


def kubelet_metrics(running_pods: int, running_containers: int, node_name: str) -> str:
    """/metrics: a few figures of the kubelet itself."""
    rss_bytes = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return "\n".join([
        "# TYPE kubelet_node_name gauge", f"kubelet_node_name{_labels(node=node_name)} 1",
        "# TYPE kubelet_running_pods gauge", f"kubelet_running_pods {running_pods}",
        "# TYPE kubelet_running_containers gauge",
        f'kubelet_running_containers{{container_state="running"}} {running_containers}',
        "# TYPE process_resident_memory_bytes gauge", f"process_resident_memory_bytes {rss_bytes}",
        "# TYPE process_cpu_seconds_total counter", f"process_cpu_seconds_total {sum(os.times()[:2])}",
    ]) + "\n"
