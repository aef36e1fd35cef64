"""A whole cluster in one process on virtual time: store, API server, controllers, scheduler, simulated nodes.

    def test_something():
        async def scenario():
            async with SimCluster(seed=7, nodes=50) as cluster:
                await cluster.client.create(DEPLOYMENTS, …)
                await cluster.until(lambda: …)
        run(scenario())   # sampan.sim.loop.run

What runs is the production code; only the event loop, the effects, the network and the nodes are others. Each part is a
`Component` with a link of its own, so that faults can strike it alone. The same seed gives the same history, byte for
byte, with faults too.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from sampan import effects
from sampan.apimachinery.http import UserInfo
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.server import APIServer
from sampan.client.client import Client
from sampan.controllers import manager
from sampan.controllers.config import ControllerManagerConfig
from sampan.scheduler import scheduler
from sampan.scheduler.config import SchedulerConfig
from sampan.scheduler.configuration.configuration import Configuration
from sampan.scheduler.kube_scheduler import KubeScheduler
from sampan.sim.cause import Life
from sampan.sim.component import Component
from sampan.sim.loop import VirtualLoop
from sampan.sim.metrics import SimMetrics
from sampan.sim.network import Network
from sampan.sim.node import Fleet, NodeSpec, node_specs
from sampan.sim.server import SimServer
from sampan.sim.source import SeededSource
from sampan.sim.store import SimStore, StoreView
from sampan.sim.webhooks import SimWebhooks
from sampan.storage.store import Event

log = logging.getLogger(__name__)
POLL_S = 0.25
SERVICE_ACCOUNTS = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")


@dataclass(frozen=True, slots=True)
class SimConfig:
    """What a simulated cluster consists of.

    `apart` names control loops that are components of their own, each with its own copies of what it watches; the
    others share the component `controllers`. `managers` above 1 are replicas of it that elect a leader, `schedulers`
    replicas of the scheduler. `servers` are API servers on the one store, among which the components are spread.
    `quiet` promises that there will be no faults: then there is no network either, and a request is a call.
    """

    nodes: Sequence[NodeSpec]
    server: APIServerConfig = field(default_factory=lambda: APIServerConfig(authorization=False))
    controllers: ControllerManagerConfig = field(default_factory=ControllerManagerConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    apart: Sequence[str] = ()
    managers: int = 1
    schedulers: int = 1
    servers: int = 1
    quiet: bool = True


class SimCluster:
    """`async with` boots it on the running VirtualLoop. `client` is an administrator's."""

    def __init__(self, seed: int, nodes: int = 3, config: SimConfig | None = None) -> None:
        self.seed = seed
        self.config = config or SimConfig(node_specs(nodes))
        self.store = SimStore(seed)
        self.network = Network(seed, servers=self.config.servers, quiet=self.config.quiet)
        self.servers: list[SimServer] = []
        self.fleet = Fleet(self.config.nodes)
        self.metrics = SimMetrics()
        self.webhooks = SimWebhooks(seed)
        self.components: dict[str, Component] = {}
        self._user = Life("user")
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> SimCluster:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop), "a simulated cluster runs on sim.loop.run"
        self.source = SeededSource(self.seed, loop)
        try:
            self._stack.enter_context(effects.use(self.source))
            self._stack.push_async_callback(self.store.close)
            for number in range(self.config.servers):
                view = StoreView(self.store)
                server = SimServer(number, view, self.network, self._build_server, self.metrics.before)
                self.servers.append(server)
                self._stack.push_async_callback(server.stop)
                await server.start()
            self.client = self.client_of("kubernetes-admin", "system:masters")
            self._stack.push_async_callback(self._stop_components)
            for component in self._parts():
                self.components[component.name] = component
                component.start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def client_of(self, user: str, *groups: str, life: Life | None = None) -> Client:
        """A client that acts as a user, over the link of a component's life or over one of its own."""
        identity = UserInfo(user, groups=(*groups, "system:authenticated"))
        return Client(self.network.connect(life or self._user, identity))

    def administrator_at(self, server: int) -> Client:
        """An administrator's client that talks to one of the API servers, as long as that one answers."""
        life = Life(f"user of server {server}")
        self.network.link(life.component).home = server
        return self.client_of("kubernetes-admin", "system:masters", life=life)

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
        """Everything that was ever written, in order; only until the store first compacts it, after an hour."""
        newest = await self.store.revision()
        events: list[Event] = []
        async with self.store.watch("", after=0) as watch:
            while len(events) < newest:
                events += await anext(aiter(watch))
        return events

    async def digest(self) -> str:
        """A fingerprint of the whole history: every key, value and revision."""
        return self.store.fingerprint()

    def _build_server(self, view: StoreView) -> APIServer:
        server = APIServer(view, replace(self.config.server, shares_store=self.config.servers > 1))
        self.webhooks.answer_for(server)
        return server

    # The other components

    def _parts(self) -> list[Component]:
        """The components, in the order in which they start."""
        config = self.config
        rest = ",".join([config.controllers.controllers, *(f"-{name}" for name in config.apart)])
        names = ["controllers"] if config.managers == 1 else [f"controllers-{n}" for n in range(config.managers)]
        parts = [self._manager(name, rest, elects=config.managers > 1) for name in names]
        parts += [self._manager(name, name) for name in config.apart]
        return [*parts, *self._schedulers(), Component("nodes", self._nodes)]

    def _schedulers(self) -> list[Component]:
        """One that just works, or replicas of which one leads."""
        if self.config.schedulers == 1:
            return [Component("scheduler", self._scheduler)]
        return [self._replica(f"scheduler-{number}") for number in range(self.config.schedulers)]

    def _replica(self, name: str) -> Component:
        async def body(life: Life) -> None:
            client = self.client_of("system:kube-scheduler", life=life)
            await KubeScheduler(client, Configuration(), name).run()

        return Component(name, body)

    def _manager(self, name: str, loops: str, *, elects: bool = False) -> Component:
        async def body(life: Life) -> None:
            config = replace(self.config.controllers, controllers=loops)
            if elects:
                config = replace(config, leader_elect=True, identity=name)
            if config.client_for is None:
                config = replace(config, client_for=lambda account: self._account(account, life))
            await manager.run(self.client_of("system:kube-controller-manager", life=life), config)

        return Component(name, body)

    def _account(self, account: str, life: Life) -> Client:
        user = UserInfo(f"system:serviceaccount:kube-system:{account}", groups=SERVICE_ACCOUNTS)
        return Client(self.network.connect(life, user))

    async def _scheduler(self, life: Life) -> None:
        await scheduler.run(self.client_of("system:kube-scheduler", life=life), self.config.scheduler)

    async def _nodes(self, life: Life) -> None:
        await self.fleet.run(self.client_of("system:nodes", "system:masters", life=life))

    async def _stop_components(self) -> None:
        for component in reversed(self.components.values()):
            await component.stop()
        failures = [error for component in self.components.values() for error in component.failures]
        if failures:
            raise failures[0]
