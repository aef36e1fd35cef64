"""The controller manager: runs the control loops of `table.CONTROLLERS` against one API server.

With `leader_elect` it first waits until it holds the Lease kube-system/kube-controller-manager, and ends when it loses
it; whoever started it starts it again. So of several managers one works, and another takes over in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sampan import effects
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.informer import InformerFactory
from sampan.client.leader_election import LeaderElector
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.names import queue_of
from sampan.controllers.table import Loop, selected
from sampan.reconcile.controller import Controller, Reconciler, Wiring
from sampan.reconcile.manager import Manager
from sampan.reconcile.measures import families
from sampan.reconcile.metrics import Collector, QueueMetrics

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["ControllerManager", "ControllerManagerConfig", "run"]

START_S = 60.0
COMPONENT = "kube-controller-manager"


async def run(client: Client, config: ControllerManagerConfig | None = None) -> None:
    """Run the selected controllers until cancelled. Raises LeadershipLost if the Lease is lost."""
    await ControllerManager(client, config or ControllerManagerConfig()).run()


class ControllerManager:
    """The manager as something that can be looked at while it runs: is it the leader, what have its queues done."""

    def __init__(self, client: Client, config: ControllerManagerConfig) -> None:
        self._client = client
        self._config = config
        self._elector: LeaderElector | None = None
        self.manager = make_manager(client, config)
        self._queues = Collector(self._queue_metrics, effects.monotonic)

    async def run(self) -> None:
        """Until cancelled. Raises LeadershipLost."""
        config = self._config
        if not config.leader_elect:
            await self.manager.run()
            return
        async with EventRecorder(self._client, COMPONENT) as recorder:
            self._elector = LeaderElector(
                self._client, config.leader_name, config.leader_namespace, config.identity, times=config.lease,
                recorder=recorder,
            )
            await self._elector.run(self._work)

    async def _work(self) -> None:
        for controller in self.manager.controllers:
            controller.down_since_s = effects.monotonic()  # until now it only waited for its turn
        await self.manager.run()

    @property
    def is_working(self) -> bool:
        """Whether its controllers run: it is the leader, or need not be."""
        return not self._config.leader_elect or (self._elector is not None and self._elector.is_leader)

    def problem(self) -> str | None:
        """Which controllers should run and have not for a minute; None if all is well, or another manager works."""
        if not self.is_working:
            return None
        late = effects.monotonic() - START_S
        down = [
            one.name for one in self.manager.controllers if one.down_since_s is not None and one.down_since_s < late
        ]
        return f"not running: {', '.join(down)}" if down else None

    def collect(self) -> Iterator[Metric]:
        """A Prometheus collector, as Prometheus' registry asks."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        master = GaugeMetricFamily(
            "leader_election_master_status", "Gauge of if the reporting system is master of the relevant lease, 0 "
            "indicates backup, 1 indicates master.", labels=("name",),
        )
        master.add_metric((self._config.leader_name,), float(self.is_working))
        yield master
        running = GaugeMetricFamily(
            "running_managed_controllers", "Indicates where instances of a controller are currently running",
            labels=("name", "manager"),
        )
        results = CounterMetricFamily(
            "sampan_controller_reconciles", "Keys that a controller worked on, by how it ended.",
            labels=("controller", "result"),
        )
        for controller in self.manager.controllers:
            running.add_metric((controller.name, COMPONENT), float(controller.queue is not None and self.is_working))
            counts = controller.counts
            for result, count in (
                ("all", counts.reconciles), ("conflict", counts.conflicts), ("failure", counts.failures),
                ("crash", counts.crashes),
            ):
                results.add_metric((controller.name, result), count)
        yield running
        yield results
        yield from self._queues.collect()
        for controller in self.manager.controllers:
            yield from families(controller.measures)

    def _queue_metrics(self) -> Iterator[tuple[str, QueueMetrics]]:
        for controller in self.manager.controllers:
            if controller.queue is not None:
                yield queue_of(controller.name), controller.queue.metrics


def make_manager(client: Client, config: ControllerManagerConfig) -> Manager:
    """The manager of the selected controllers, not yet running."""
    factory = InformerFactory(client)
    controllers = [
        Controller(
            loop.name, _build(loop, config),
            config.client_for(loop.account) if config.client_for and loop.account else client, factory,
            workers=config.workers.get(loop.name, loop.workers), component=loop.component,
        )
        for loop in selected(config)
    ]
    return Manager(factory, controllers)


def _build(loop: Loop, config: ControllerManagerConfig) -> Callable[[Wiring], Reconciler]:
    return lambda wiring: loop.build(wiring, config)
