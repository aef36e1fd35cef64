"""A whole cluster in one process on virtual time: store, API server, controllers, scheduler, simulated nodes.

    def test_something():
        async def scenario():
            async with SimCluster(seed=7, nodes=50) as cluster:
                await cluster.client.create(DEPLOYMENTS, …)
                await cluster.until(lambda: …)
        run(scenario())   # sampan.sim.loop.run

What runs is the production code; only the event loop, the effects and the nodes are others. The same seed gives the
same history, byte for byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from sampan import effects
from sampan.apimachinery.http import UserInfo
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.server import APIServer
from sampan.client.client import Client
from sampan.controllers import manager
from sampan.controllers.config import ControllerManagerConfig
from sampan.scheduler import scheduler
from sampan.scheduler.config import SchedulerConfig
from sampan.sim.loop import VirtualLoop
from sampan.sim.node import Fleet, NodeSpec, node_specs
from sampan.sim.source import SeededSource
from sampan.storage.memory import MemoryStore
from sampan.storage.store import Event

POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class SimConfig:
    """What a simulated cluster consists of."""

    nodes: Sequence[NodeSpec]
    server: APIServerConfig = field(default_factory=lambda: APIServerConfig(authorization=False))
    controllers: ControllerManagerConfig = field(default_factory=ControllerManagerConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)


class SimCluster:
    """`async with` boots it on the running VirtualLoop. `client` is an administrator's."""

    def __init__(self, seed: int, nodes: int = 3, config: SimConfig | None = None) -> None:
        self.seed = seed
        self.config = config or SimConfig(node_specs(nodes))
        self.store = MemoryStore()
        self.fleet = Fleet(self.config.nodes)
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> SimCluster:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop), "a simulated cluster runs on sim.loop.run"
        self.source = SeededSource(self.seed, loop)
        try:
            self._stack.enter_context(effects.use(self.source))
            self.server = APIServer(self.store, self.config.server)
            await self.server.start()
            self._stack.push_async_callback(self.store.close)
            self._stack.push_async_callback(self.server.stop)
            self.client = self.client_of("kubernetes-admin", "system:masters")
            controllers = self.client_of("system:kube-controller-manager")
            self._part("controllers", manager.run(controllers, self.config.controllers))
            self._part("scheduler", scheduler.run(self.client_of("system:kube-scheduler"), self.config.scheduler))
            self._part("nodes", self.fleet.run(self.client_of("system:nodes", "system:masters")))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def client_of(self, user: str, *groups: str) -> Client:
        """An in-process client that acts as a user."""
        return Client(self.server.transport(UserInfo(user, groups=(*groups, "system:authenticated"))))

    async def until(
        self, condition: Callable[[], bool | Awaitable[bool]], *, within_s: float = 600.0, what: str = ""
    ) -> float:
        """Wait, on virtual time, until the condition holds; the seconds it took. Raises TimeoutError."""
        began = effects.monotonic()
        while True:
            answer = condition()
            if inspect.isawaitable(answer):
                answer = await answer
            elapsed = effects.monotonic() - began
            if answer:
                return elapsed
            if elapsed > within_s:
                raise TimeoutError(f"not within {within_s} s of simulated time: {what or condition}")
            await asyncio.sleep(POLL_S)

    async def history(self) -> list[Event]:
        """Everything that was ever written, in order."""
        newest = await self.store.revision()
        events: list[Event] = []
        async with self.store.watch("", after=0) as watch:
            while len(events) < newest:
                events += await anext(aiter(watch))
        return events

    async def digest(self) -> str:
        """A fingerprint of the whole history: every key, value and revision."""
        fingerprint = hashlib.sha256()
        for event in await self.history():
            kv = event.kv
            fingerprint.update(f"{kv.mod_revision} {event.kind.value} {kv.key} {len(kv.value)}\n".encode())
            fingerprint.update(kv.value)
        return fingerprint.hexdigest()

    def _part(self, name: str, body: Awaitable[None]) -> None:
        task = asyncio.ensure_future(body)
        assert isinstance(task, asyncio.Task), "a part is a coroutine"
        task.set_name(name)

        async def stop() -> None:
            failure = None if task.cancelled() or not task.done() else task.exception()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if failure is not None:
                raise failure

        self._stack.push_async_callback(stop)
