"""PLEG, the pod lifecycle event generator: keeps what the runtime knows of every pod, and tells when it changes.

A refresh asks the runtime for one pod's sandboxes and containers, a relist for everybody's; details are only asked for
what changed. Workers refresh their pod after acting on it; an event of the runtime leads to refreshes of the pod it is
about; and everything is relisted at an interval: every second without an event stream, else once a minute.

Guarantee: after `refresh(uid)` or `relist()` returned, `state` is at least as new as the moment of the call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from sampan.cri.runtime import Container, CRIError, Runtime, RuntimeEvent, Sandbox, SandboxStatus
from sampan.kubelet.pod_state import PodContainer, PodState, pod_state
from sampan.kubelet.sandbox_config import POD_UID

log = logging.getLogger(__name__)

SETTLE_S = (0.01, 0.1, 0.5, 2.0, 5.0)
"""An event may arrive before the runtime's own book-keeping is done; look again after these pauses until it shows."""

EXIT, OOM = "/tasks/exit", "/tasks/oom"
OOM_KILLED = "OOMKilled"

EVENT_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class PLEGConfig:
    interval_s: float = 1.0
    interval_with_events_s: float = 60.0


class Coalesced:
    """Work that many ask for and that serves them all: a call during a run waits for the run after it."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running), name="refresh")
        await asyncio.shield(self._next)

    @property
    def is_idle(self) -> bool:
        return self._running is None and self._next is None

    async def _after(self, previous: asyncio.Task[None] | None) -> None:
        if previous is not None:
            await asyncio.wait([previous])
        self._running, self._next = self._next, None
        try:
            await self._work()
        finally:
            self._running = None


class PLEG:
    """`on_change(uid)` is called for each pod whose sandboxes or containers changed."""

    def __init__(self, runtime: Runtime, on_change: Callable[[str], None], config: PLEGConfig) -> None:
        self._runtime = runtime
        self._on_change = on_change
        self._config = config
        self._states: dict[str, PodState] = {}
        self._seen: dict[str, object] = {}
        self._owners: dict[str, str] = {}
        self._refreshes: dict[str, Coalesced] = {}
        self._settling: dict[str, asyncio.Task[None]] = {}
        self._exits: dict[str, set[str]] = {}
        self._early_exits: set[str] = set()
        self._out_of_memory: set[str] = set()
        self._has_events = False
        self._wake = asyncio.Event()
        self.relist = Coalesced(self._relist)
        self.error = ""

    def state(self, uid: str) -> PodState:
        return self._states.get(uid) or PodState(uid)

    def states(self) -> list[PodState]:
        return list(self._states.values())

    async def refresh(self, uid: str) -> None:
        """Look at one pod now. Raises CRIError."""
        refresh = self._refreshes.get(uid)
        if refresh is None:
            refresh = self._refreshes[uid] = Coalesced(lambda: self._refresh(uid))
        try:
            await refresh()
        finally:
            if refresh.is_idle:
                self._refreshes.pop(uid, None)

    async def run(self) -> None:
        """Follow events and the clock until cancelled."""
        events = asyncio.create_task(self._follow_events(), name="runtime events")
        try:
            while True:
                is_quiet = self._has_events and not self.error
                interval = self._config.interval_with_events_s if is_quiet else self._config.interval_s
                try:
                    await asyncio.wait_for(self._wake.wait(), interval)
                except TimeoutError:
                    log.debug("PLEG: time to relist")
                self._wake.clear()
                before = self.error
                try:
                    await self.relist()
                except CRIError as error:
                    log.log(logging.DEBUG if error.message == before else logging.WARNING, "PLEG: %s", error)
        finally:
            for task in [events, *self._settling.values()]:
                task.cancel()
            await asyncio.gather(events, return_exceptions=True)

    async def _relist(self) -> None:
        early = set(self._early_exits)
        try:
            sandboxes, containers = await asyncio.gather(
                self._runtime.list_sandboxes(), self._runtime.list_containers()
            )
        except CRIError as error:
            self.error = error.message
            raise
        self.error = ""
        owners = {item.id: item.uid for item in sandboxes}
        by_pod: dict[str, tuple[list[Sandbox], list[Container]]] = {}
        for sandbox in sandboxes:
            by_pod.setdefault(sandbox.uid, ([], []))[0].append(sandbox)
        for container in containers:
            uid = owners.get(container.sandbox_id) or container.labels.get(POD_UID, "")
            by_pod.setdefault(uid, ([], []))[1].append(container)
        await asyncio.gather(*(
            self._take(uid, *by_pod.get(uid, ([], []))) for uid in {*by_pod, *self._states}
        ))
        self._out_of_memory -= self._early_exits & early
        self._early_exits -= early  # nobody's: those of pods were taken with them

    async def _refresh(self, uid: str) -> None:
        labels = {POD_UID: uid}
        sandboxes, containers = await asyncio.gather(
            self._runtime.list_sandboxes(labels), self._runtime.list_containers(labels)
        )
        await self._take(uid, sandboxes, containers)

    async def _take(self, uid: str, sandboxes: Iterable[Sandbox], containers: Iterable[Container]) -> None:
        """Compare with what is known of the pod; ask for details of what is new."""
        boxes, items = list(sandboxes), list(containers)
        fingerprint = _fingerprint(boxes, items)
        unexplained = self._unexplained(uid)
        if fingerprint == self._seen.get(uid) and not unexplained:
            return
        if not boxes and not items:
            self._forget(uid)
            self._on_change(uid)
            return
        before = self.state(uid)
        known_runs = {run.id: run for run in before.containers if run.has_exited and run.id not in unexplained}
        known_boxes = {box.sandbox.id: box for box in before.sandboxes if box.ips}
        try:
            details = await asyncio.gather(*(self._sandbox(item, known_boxes) for item in boxes))
            runs = await asyncio.gather(*(self._container(item, known_runs) for item in items))
        except CRIError as error:
            if error.code != "NOT_FOUND":
                raise
            self._seen.pop(uid, None)  # gone between the list and the question
            self._wake.set()
            return
        self._states[uid] = pod_state(uid, details, runs)
        self._seen[uid] = fingerprint if _agree(items, runs) else None
        ids = {*(box.id for box in boxes), *(run.id for run in items)}
        self._owners.update(dict.fromkeys(ids, uid))
        if early := ids & self._early_exits:
            self._early_exits -= early
            self._exits.setdefault(uid, set()).update(early)
            self._look(uid)
        self._on_change(uid)

    def _forget(self, uid: str) -> None:
        self._seen.pop(uid, None)
        state = self._states.pop(uid, None)
        if state is not None:
            for gone in [*(box.sandbox.id for box in state.sandboxes), *(run.id for run in state.containers)]:
                self._owners.pop(gone, None)
                self._out_of_memory.discard(gone)

    async def _sandbox(self, item: Sandbox, known: dict[str, SandboxStatus]) -> SandboxStatus:
        if item.state != "READY":
            return SandboxStatus(item)
        return known.get(item.id) or await self._runtime.sandbox_status(item.id)

    async def _container(self, item: Container, known: dict[str, PodContainer]) -> PodContainer:
        if item.id in known:
            return known[item.id]
        return PodContainer(await self._runtime.container_status(item.id), item.sandbox_id)

    async def _follow_events(self) -> None:
        while True:
            try:
                async for event in self._runtime.events():
                    self._has_events = True
                    self._note(event)
            except CRIError as error:
                if error.code == "UNIMPLEMENTED":
                    return
                log.debug("runtime events: %s", error)
            self._has_events = False
            self._wake.set()
            await asyncio.sleep(EVENT_RETRY_S)

    def _note(self, event: RuntimeEvent) -> None:
        """Look at the pod that an event is about until the event shows. Starts are the workers' own doing.

        A short-lived container may exit before anybody knows whose it is; that is kept until its pod is looked at.
        """
        if event.is_exec or event.topic in ("/tasks/create", "/tasks/start"):
            return
        if event.topic == OOM:
            self._out_of_memory.add(event.container_id)
        uid = self._owners.get(event.container_id)
        if uid is not None:
            if event.topic == EXIT:
                self._exits.setdefault(uid, set()).add(event.container_id)
            self._look(uid)
        elif event.topic in (EXIT, OOM):
            self._early_exits.add(event.container_id)

    def _look(self, uid: str) -> None:
        settling = self._settling.get(uid)
        if settling is not None:
            settling.cancel()
        task = self._settling[uid] = asyncio.create_task(self._settle(uid, self._seen.get(uid)), name=f"settle {uid}")
        task.add_done_callback(lambda done: self._settled(uid, done))

    def _settled(self, uid: str, done: asyncio.Task[None]) -> None:
        if self._settling.get(uid) is done:
            del self._settling[uid]
            self._exits.pop(uid, None)

    async def _settle(self, uid: str, before: object) -> None:
        for pause_s in SETTLE_S:
            await asyncio.sleep(pause_s)
            try:
                await self.refresh(uid)
            except CRIError as error:
                log.debug("PLEG: %s", error)
            if self._shows(uid, before):
                return

    def _shows(self, uid: str, before: object) -> bool:
        """Whether the state is newer than the events. Another change of the pod is no sign that an exit is seen."""
        exits, state = self._exits.get(uid), self.state(uid)
        if self._unexplained(uid):
            return False
        if not exits:
            return self._seen.get(uid) not in (before, None)
        live = {run.id for run in state.containers if not run.has_exited}
        live |= {box.sandbox.id for box in state.sandboxes if box.sandbox.state == "READY"}
        return not exits & live

    def _unexplained(self, uid: str) -> set[str]:
        """Exited runs that ran out of memory, which the runtime notes on its own time: maybe after their exit."""
        if not self._out_of_memory:
            return set()
        return {
            run.id for run in self.state(uid).containers
            if run.id in self._out_of_memory and run.has_exited and run.status.reason != OOM_KILLED
        }


def _fingerprint(sandboxes: list[Sandbox], containers: list[Container]) -> object:
    return frozenset([*((item.id, item.state) for item in sandboxes), *((item.id, item.state) for item in containers)])


def _agree(containers: list[Container], runs: list[PodContainer]) -> bool:
    """Whether the details are of the same moment as the list."""
    return {item.id: item.state for item in containers} == {run.id: run.status.state for run in runs}
