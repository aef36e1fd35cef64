"""Runs the probes of every running container and keeps what they said.

One task watches one run of one container: first its startup probe until it succeeds, then liveness and readiness side
by side. A container that restarts gets a new task, so counters begin anew. Failed liveness or startup is left to the
plan, which kills the container; the task stops there.

Guarantee: a kubelet that starts anew takes readiness over from the API, so restarting it makes nothing unready.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sampan import effects
from sampan.apimachinery.object import Object, uid_of
from sampan.cri.runtime import Runtime
from sampan.kubelet import spec
from sampan.kubelet.container_status import known_status
from sampan.kubelet.plan import FailedProbe, ProbeFacts
from sampan.kubelet.pod_state import PodContainer, PodState
from sampan.kubelet.probes.check import Result, Target, check

log = logging.getLogger(__name__)

Kind: TypeAlias = Literal["startup", "liveness", "readiness"]
KEYS: dict[Kind, str] = {"startup": "startupProbe", "liveness": "livenessProbe", "readiness": "readinessProbe"}
RETRIES_OF_UNKNOWN = 3

Record: TypeAlias = Callable[[Object, Object, str, str, str], None]
"""(pod, container, type, reason, message)."""


@dataclass(slots=True)
class _Run:
    """What is known of one run of a container."""

    pod: Object
    container: Object
    run: PodContainer
    pod_ip: str
    started: bool
    ready: bool
    failed: FailedProbe | None = None
    task: asyncio.Task[None] | None = None


class Prober:
    """`on_change(uid)` is called when a result changed that the pod's plan or status depends on."""

    def __init__(self, runtime: Runtime, record: Record, on_change: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._record = record
        self._on_change = on_change
        self._runs: dict[str, dict[str, _Run]] = {}

    def sync(self, pod: Object, state: PodState, pod_ip: str) -> None:
        """Watch exactly the containers that run now."""
        runs = self._runs.setdefault(uid_of(pod), {})
        running = {run.id: run for run in state.running}
        for container_id in [known for known in runs if known not in running]:
            _cancel(runs.pop(container_id))
        for container_id, run in running.items():
            container = spec.container_named(pod, run.name)
            if container is not None and container_id not in runs:
                runs[container_id] = self._begin(pod, container, run, pod_ip)

    def _begin(self, pod: Object, container: Object, run: PodContainer, pod_ip: str) -> _Run:
        known = known_status(pod, run.name) or {}
        same = str(known.get("containerID", "")).endswith(run.id)
        started = not container.get("startupProbe") or bool(same and known.get("started"))
        ready = not container.get("readinessProbe") or bool(same and known.get("ready"))
        entry = _Run(pod, container, run, pod_ip, started, ready)
        if any(container.get(key) for key in KEYS.values()):
            entry.task = asyncio.create_task(self._watch(entry), name=f"probes of {run.name}")
        return entry

    def end_pod(self, uid: str) -> None:
        """The pod is being ended: nothing may kill its containers any more, but who asks still learns what is ready."""
        for entry in self._runs.get(uid, {}).values():
            _cancel(entry)
            if entry.started and entry.container.get("readinessProbe"):
                work = self._repeat(entry, "readiness")
                entry.task = asyncio.create_task(work, name=f"readiness of {entry.run.name}")

    def forget(self, uid: str) -> None:
        for entry in self._runs.pop(uid, {}).values():
            _cancel(entry)

    def close(self) -> None:
        for uid in list(self._runs):
            self.forget(uid)

    def facts(self, uid: str) -> ProbeFacts:
        """For the plan: who has started, whose liveness or startup failed."""
        runs = self._runs.get(uid, {})
        return ProbeFacts(
            frozenset(key for key, entry in runs.items() if entry.started),
            {key: entry.failed for key, entry in runs.items() if entry.failed is not None},
        )

    def ready(self, uid: str) -> frozenset[str]:
        """Ids of containers that are started and ready."""
        return frozenset(key for key, entry in self._runs.get(uid, {}).items() if entry.started and entry.ready)

    async def _watch(self, entry: _Run) -> None:
        if not entry.started and not await self._startup(entry):
            return
        await asyncio.gather(*(
            self._repeat(entry, kind) for kind in ("liveness", "readiness")
            if entry.container.get(KEYS[kind])
        ))

    async def _startup(self, entry: _Run) -> bool:
        await self._repeat(entry, "startup")
        return entry.started

    async def _repeat(self, entry: _Run, kind: Kind) -> None:
        """Probe at the period until the result ends it (startup success, startup or liveness failure)."""
        probe = entry.container[KEYS[kind]]
        await asyncio.sleep(_initial_delay_s(entry, probe))
        verdict = entry.ready if kind == "readiness" else None
        streak, last = 0, None
        while True:
            result = await self._once(entry, kind, probe)
            if result.outcome != "Unknown":
                succeeded = result.outcome == "Success"
                streak = streak + 1 if succeeded == last else 1
                last = succeeded
                needed = probe.get("successThreshold") or 1 if succeeded else probe.get("failureThreshold") or 3
                if streak >= needed and verdict != succeeded:
                    verdict = succeeded
                    if self._conclude(entry, kind, succeeded):
                        return
            await asyncio.sleep(probe.get("periodSeconds") or 10)

    def _conclude(self, entry: _Run, kind: Kind, succeeded: bool) -> bool:
        """Note a verdict; whether this kind of probe is done for this run."""
        if kind == "readiness":
            entry.ready = succeeded
        elif kind == "startup" and succeeded:
            entry.started = True
        elif not succeeded:
            entry.failed = "startup" if kind == "startup" else "liveness"
        else:
            return False
        self._on_change(uid_of(entry.pod))
        return kind == "startup" or (kind == "liveness" and not succeeded)

    async def _once(self, entry: _Run, kind: Kind, probe: Object) -> Result:
        target = Target(entry.container, entry.run.id, entry.pod_ip)
        variables = {item["name"]: item.get("value") or "" for item in entry.container.get("env") or []}
        result = Result("Unknown")
        for _ in range(RETRIES_OF_UNKNOWN):
            result = await check(self._runtime, probe, target, variables)
            if result.outcome != "Unknown":
                break
        if result.warning:
            message = f"{kind.capitalize()} probe warning: {result.warning}"
            self._record(entry.pod, entry.container, "Warning", "ProbeWarning", message)
        if result.outcome != "Success":
            word = "failed" if result.outcome == "Failure" else "errored and resulted in unknown state"
            message = f"{kind.capitalize()} probe {word}: {result.message}"
            self._record(entry.pod, entry.container, "Warning", "Unhealthy", message)
        return result


def _initial_delay_s(entry: _Run, probe: Object) -> float:
    delay = float(probe.get("initialDelaySeconds") or 0)
    age = effects.now().timestamp() - entry.run.status.started_at_ns / 1e9
    return max(0.0, delay - age)


def _cancel(entry: _Run) -> None:
    if entry.task is not None:
        entry.task.cancel()
        entry.task = None
