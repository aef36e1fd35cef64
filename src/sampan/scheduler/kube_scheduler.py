"""KubeScheduler: the scheduler as a component that is led by one of several replicas and can be looked at.

With leader election it schedules while it holds the Lease (kube-system/kube-scheduler by default) and ends when it
loses it; whoever started it starts it again. A replica that waits is well, too: it follows the cluster as a leader
does, so that it can begin at once when it is its turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.leader_election import LeaderElector, LeaseTimes
from sampan.scheduler.configuration.configuration import Configuration, scheduler_config
from sampan.scheduler.metrics import SchedulerMetrics, evaluations, gauge
from sampan.scheduler.scheduler import Scheduler, running

if TYPE_CHECKING:
    from prometheus_client.core import Metric

ATTEMPTS = "/debug/attempts/"
"""Where, followed by `namespace/name`, what the last failed attempt to place a pod saw is shown."""


class KubeScheduler:
    """Everything that `configuration` asks for, as `identity` among its replicas."""

    def __init__(
        self, client: Client, configuration: Configuration, identity: str, *, when_synced: Callable[[], object] = bool
    ) -> None:
        """`when_synced` is called each time that it knows the whole cluster and begins."""
        self._client = client
        self._configuration = configuration
        self._identity = identity
        self._when_synced = when_synced
        self._elector: LeaderElector | None = None
        self._scheduler: Scheduler | None = None
        self._metrics = SchedulerMetrics()

    async def run(self) -> None:
        """Until cancelled. Raises LeadershipLost."""
        config = scheduler_config(self._configuration)
        instance = f"{config.profiles[0].scheduler_name}-{self._identity}"
        config = replace(config, reporting_instance=instance[:128])
        try:
            async with running(self._client, config, self._metrics) as scheduler:
                self._scheduler = scheduler
                self._when_synced()
                await self._lead(scheduler)
        finally:
            self._scheduler = None

    async def _lead(self, scheduler: Scheduler) -> None:
        """Schedule, once it is this replica's turn."""
        election = self._configuration.leader_election
        if not election.leader_elect:
            await scheduler.run()
            return
        times = LeaseTimes(round(election.lease_duration_s), election.renew_deadline_s, election.retry_period_s)
        name = self._configuration.profiles[0].scheduler_name
        async with EventRecorder(self._client, name) as recorder:
            self._elector = LeaderElector(
                self._client, election.resource_name, election.resource_namespace, self._identity, times=times,
                recorder=recorder,
            )
            await self._elector.run(scheduler.run)

    @property
    def is_leader(self) -> bool:
        """Whether it schedules: it is the leader, or need not be."""
        return not self._configuration.leader_election.leader_elect or (
            self._elector is not None and self._elector.is_leader
        )

    def readiness(self) -> Mapping[str, Callable[[], str | None]]:
        """What `/readyz` asks besides: the copies of the cluster are complete."""
        return {"informer-sync": self._unsynced}

    def _unsynced(self) -> str | None:
        if self._scheduler is not None:
            return None
        return "the scheduler does not know the whole cluster yet"

    def last_attempt(self, key: str) -> Object | None:
        """What the last failed attempt to place a pod that still waits saw; None if there was none."""
        scheduler = self._scheduler
        return scheduler.attempts.of(key) if scheduler is not None and key in scheduler.queue else None

    def collect(self) -> Iterator[Metric]:
        """A Prometheus collector."""
        election, scheduler = self._configuration.leader_election, self._scheduler
        yield gauge(
            "leader_election_master_status", "Gauge of if the reporting system is master of the relevant lease, 0 "
            "indicates backup, 1 indicates master.", "name", {election.resource_name: float(self.is_leader)},
        )
        yield from self._metrics.collect()
        if scheduler is None:
            return
        yield gauge(
            "scheduler_pending_pods", "Number of pending pods, by the queue type.", "queue",
            {queue: float(count) for queue, count in scheduler.queue.pending().items()},
        )
        yield gauge(
            "scheduler_goroutines", "Number of running goroutines split by the work they do such as binding.",
            "operation", {operation: float(count) for operation, count in scheduler.tasks().items()},
        )
        sizes = scheduler.sizes()
        yield gauge("scheduler_cache_size", "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
                    "type", {kind: float(size) for kind, size in sizes.items()})
        yield self._unschedulable(scheduler.queue.refused_by())
        yield evaluations({
            (plugin, point, profile): count for profile, framework in scheduler.profiles.frameworks.items()
            for (plugin, point), count in framework.evaluations().items()
        })

    def _unschedulable(self, counts: Counter[tuple[str, str]]) -> Metric:
        from prometheus_client.core import GaugeMetricFamily

        made = GaugeMetricFamily(
            "scheduler_unschedulable_pods", "The number of unschedulable pods broken down by plugin name.",
            labels=("plugin", "profile"),
        )
        for labels, count in counts.items():
            made.add_metric(labels, count)
        return made
