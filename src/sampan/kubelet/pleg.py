"""PLEG, the pod lifecycle event generator: keeps what the runtime knows of every pod, and tells when it changes.

A relist asks the runtime for all sandboxes and containers and compares them with the last answer; only for what changed
does it ask for details. Relists happen when somebody asks (`relist`, calls that arrive together share one), a moment
after the runtime reports an event, and at an interval: every second without an event stream, else once a minute.

Guarantee: `state(uid)` is at least as new as the start of the last finished relist.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sampan import effects
from sampan.cri.runtime import Container, CRIError, Runtime, Sandbox, SandboxStatus
from sampan.kubelet.pod_state import PodContainer, PodState, pod_state
from sampan.kubelet.sandbox_config import POD_UID

log = logging.getLogger(__name__)

SETTLE_S = (0.01, 0.15, 1.0)
"""An event may arrive before the runtime's own book-keeping is done; look again after these pauses."""

EVENT_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class PLEGConfig:
    interval_s: float = 1.0
    interval_with_events_s: float = 60.0


class PLEG:
    """`on_change(uid)` is called for each pod whose sandboxes or containers changed."""

    def __init__(self, runtime: Runtime, on_change: Callable[[str], None], config: PLEGConfig) -> None:
        self._runtime = runtime
        self._on_change = on_change
        self._config = config
        self._states: dict[str, PodState] = {}
        self._seen: dict[str, object] = {}
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._has_events = False
        self._event = asyncio.Event()
        self.last_relist = 0.0
        self.error = ""

    def state(self, uid: str) -> PodState:
        return self._states.get(uid) or PodState(uid)

    def states(self) -> list[PodState]:
        return list(self._states.values())

    async def relist(self) -> None:
        """Compare with the runtime now. Raises CRIError. A call made during a relist waits for the one after it."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running), name="relist")
        await asyncio.shield(self._next)

    async def run(self) -> None:
        """Relist by events and by the clock until cancelled."""
        events = asyncio.create_task(self._follow_events(), name="runtime events")
        settle: list[float] = []
        try:
            while True:
                interval = self._config.interval_with_events_s if self._has_events else self._config.interval_s
                try:
                    await asyncio.wait_for(self._event.wait(), settle[0] if settle else interval)
                    self._event.clear()
                    settle = list(SETTLE_S)
                    continue
                except TimeoutError:
                    settle = settle[1:]
                await self._relist_logged()
        finally:
            events.cancel()
            await asyncio.gather(events, return_exceptions=True)

    async def _relist_logged(self) -> None:
        try:
            await self.relist()
        except CRIError as error:
            log.warning("PLEG: %s", error)

    async def _after(self, previous: asyncio.Task[None] | None) -> None:
        if previous is not None:
            await asyncio.gather(previous, return_exceptions=True)
        self._running, self._next = self._next, None
        try:
            await self._relist()
            self.last_relist, self.error = effects.monotonic(), ""
        except CRIError as error:
            self.error = error.message
            raise
        finally:
            self._running = None

    async def _relist(self) -> None:
        sandboxes, containers = await asyncio.gather(self._runtime.list_sandboxes(), self._runtime.list_containers())
        owners = {item.id: item.uid for item in sandboxes}
        by_pod: dict[str, tuple[list[Sandbox], list[Container]]] = {}
        for sandbox in sandboxes:
            by_pod.setdefault(sandbox.uid, ([], []))[0].append(sandbox)
        for container in containers:
            uid = owners.get(container.sandbox_id) or container.labels.get(POD_UID, "")
            by_pod.setdefault(uid, ([], []))[1].append(container)
        changed = [
            uid for uid in {*by_pod, *self._seen}
            if _fingerprint(*by_pod.get(uid, ([], []))) != self._seen.get(uid)
        ]
        await asyncio.gather(*(self._refresh(uid, *by_pod.get(uid, ([], []))) for uid in changed))
        for uid in changed:
            self._on_change(uid)

    async def _refresh(self, uid: str, sandboxes: list[Sandbox], containers: list[Container]) -> None:
        if not sandboxes and not containers:
            self._seen.pop(uid, None)
            self._states.pop(uid, None)
            return
        known = {run.id: run for run in self.state(uid).containers if run.has_exited}
        try:
            boxes = await asyncio.gather(*(self._sandbox(item) for item in sandboxes))
            runs = await asyncio.gather(*(self._container(item, known) for item in containers))
        except CRIError as error:
            if error.code != "NOT_FOUND":  # gone between the list and the question: the next relist sees it
                raise
            self._seen.pop(uid, None)
            self._event.set()
            return
        self._states[uid] = pod_state(uid, boxes, runs)
        if _agree(containers, runs):
            self._seen[uid] = _fingerprint(sandboxes, containers)
        else:
            self._seen[uid] = None

    async def _sandbox(self, item: Sandbox) -> SandboxStatus:
        if item.state != "READY":
            return SandboxStatus(item)
        return await self._runtime.sandbox_status(item.id)

    async def _container(self, item: Container, known: dict[str, PodContainer]) -> PodContainer:
        if item.id in known:
            return known[item.id]
        return PodContainer(await self._runtime.container_status(item.id), item.sandbox_id)

    async def _follow_events(self) -> None:
        while True:
            try:
                async for _ in self._runtime.events():
                    self._has_events = True
                    self._event.set()
            except CRIError as error:
                if error.code == "UNIMPLEMENTED":
                    return
                log.debug("runtime events: %s", error)
            if self._has_events:
                self._has_events = False
                self._event.set()
            await asyncio.sleep(EVENT_RETRY_S if not self._config.interval_s else self._config.interval_s)


def _fingerprint(sandboxes: list[Sandbox], containers: list[Container]) -> object:
    return frozenset([*((item.id, item.state) for item in sandboxes), *((item.id, item.state) for item in containers)])


def _agree(containers: list[Container], runs: list[PodContainer]) -> bool:
    """Whether the details are of the same moment as the list."""
    return {item.id: item.state for item in containers} == {run.id: run.status.state for run in runs}
