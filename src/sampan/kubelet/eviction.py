"""Eviction: when the node runs short of memory, disk or inodes, end the pods whose end helps most.

Pods that exceed their own limits on disk (`local_storage.py`) are ended too, whatever is left.

Every few seconds the signals are compared with the thresholds. Under pressure the node says so in its conditions, and
one pod at a time is ended: first those that use more than they requested, then by priority, then by how much they use
beyond their request. Critical static pods are spared. A condition stays for a while after the pressure is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sampan import effects
from sampan.apimachinery.object import Object, uid_of
from sampan.apimachinery.quantity import ZERO
from sampan.cri.runtime import ContainerStats, CRIError, Runtime
from sampan.kubelet import local_storage, resources, spec
from sampan.kubelet import machine as readings
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.containers import Containers
from sampan.kubelet.machine import Machine
from sampan.kubelet.node import Pressure
from sampan.kubelet.pod_set import PodSet
from sampan.kubelet.pod_worker import PodWorker
from sampan.kubelet.sandbox_config import POD_UID
from sampan.kubelet.verdict import Verdict

log = logging.getLogger(__name__)

SYSTEM_CRITICAL = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Signals:
    """What is left of what may run short."""

    memory_available_bytes: int
    disk_available_fraction: float
    inodes_free_fraction: float
    pids_free: int


def rank(pods: Sequence[Object], usage_bytes: Mapping[str, int]) -> list[Object]:
    """The order of eviction under memory pressure, first to go first; critical and static pods are not in it."""
    def key(pod: Object) -> tuple[bool, int, int]:
        requested = resources.pod_requests(pod).get("memory", ZERO).value
        beyond = usage_bytes.get(uid_of(pod), 0) - requested
        return (beyond <= 0, int(pod["spec"].get("priority") or 0), -beyond)

    candidates = [
        pod for pod in pods
        if int(pod["spec"].get("priority") or 0) < SYSTEM_CRITICAL and not spec.is_static(pod)
    ]
    return sorted(candidates, key=key)


class EvictionManager:
    """`pressure` is what the node's conditions show."""

    def __init__(
        self, config: KubeletConfig, machine: Machine, runtime: Runtime, pods: PodSet, containers: Containers
    ) -> None:
        self._config = config
        self._machine = machine
        self._runtime = runtime
        self._pods = pods
        self._containers = containers
        self._seen: dict[str, float] = {}
        self.pressure = Pressure()

    async def run(self) -> None:
        while True:
            try:
                await self.look(self.signals())
                await self.look_at_storage()
            except (CRIError, OSError) as error:
                log.warning("eviction: %s", error)
            await asyncio.sleep(self._config.eviction.interval_s)

    def signals(self) -> Signals:
        room = readings.disk(self._config.root_dir)
        limit, used = readings.pids()
        return Signals(
            readings.memory()[1], room.available_bytes / max(room.capacity_bytes, 1),
            room.inodes_free / room.inodes if room.inodes else 1.0, limit - used,
        )

    async def look(self, signals: Signals) -> None:
        """Set the conditions and, if something is short now, evict one pod."""
        thresholds = self._config.eviction
        short = {
            "memory": signals.memory_available_bytes < thresholds.memory_available_bytes,
            "disk": signals.disk_available_fraction < thresholds.nodefs_available_fraction
            or signals.inodes_free_fraction < thresholds.nodefs_inodes_free_fraction,
            "pids": signals.pids_free < 100,
        }
        now = effects.monotonic()
        for name, is_short in short.items():
            if is_short:
                self._seen[name] = now
        held = {
            name: name in self._seen and now - self._seen[name] < thresholds.pressure_transition_s for name in short
        }
        self.pressure = Pressure(**held)
        if short["memory"] or short["disk"]:
            await self._evict_one("memory" if short["memory"] else "ephemeral-storage")

    async def _evict_one(self, resource: str) -> None:
        active = [worker for worker in self._pods.workers() if not worker.must_end]
        if len(active) < len([worker for worker in self._pods.workers() if not worker.has_ended]):
            return  # one is being ended already: see first what that frees
        usage = await self._usage()
        for pod in rank([worker.pod for worker in active], usage):
            worker = self._pods.get(uid_of(pod))
            if worker is None:
                continue
            message = f"The node was low on resource: {resource}. "
            self._evict(worker, message, Verdict("Evicted", message, grace_s=0, disrupts=True))
            return

    async def look_at_storage(self) -> None:
        """Evict pods that exceed their own limits on the node's disk."""
        limited = [worker for worker in self._pods.workers() if not worker.must_end]
        limited = [worker for worker in limited if local_storage.is_limited(worker.pod)]
        if not limited:
            return
        by_pod: dict[str, list[ContainerStats]] = {}
        for item in await self._runtime.list_stats():
            by_pod.setdefault(item.labels.get(POD_UID, ""), []).append(item)
        for worker in limited:
            stats = by_pod.get(worker.uid, [])
            usage = await asyncio.to_thread(local_storage.measure, worker.pod, self._config, stats)
            message = local_storage.excess(worker.pod, usage)
            if message:
                self._evict(worker, message, Verdict("Evicted", message, grace_s=0))

    def _evict(self, worker: PodWorker, message: str, verdict: Verdict) -> None:
        log.warning("evicting pod %s: %s", spec.full_name(worker.pod), message)
        self._containers.record(worker.pod, None, "Warning", "Evicted", message)
        worker.end(verdict)

    async def _usage(self) -> dict[str, int]:
        usage: dict[str, int] = {}
        for item in await self._runtime.list_stats():
            uid = item.labels.get(POD_UID, "")
            usage[uid] = usage.get(uid, 0) + item.memory_working_set_bytes
        return usage
