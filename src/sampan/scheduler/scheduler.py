"""The scheduler: takes pods without a node from the queue, decides, binds.

Informers keep the snapshot and the queue up to date; one loop takes the next pod and decides without waiting; a placed
pod is assumed at once and bound beside the next decisions, so the API server's answer is nobody's bottleneck. When
binding fails the assumption is taken back and the pod is tried again. Everything that is known can be rebuilt by
listing, so the scheduler may be killed at any time: a pod is bound once, because the API server binds it once.
"""

from __future__ import annotations

import asyncio
import logging

from sampan.client.client import Client
from sampan.client.events import NORMAL, WARNING, EventRecorder
from sampan.scheduler import cluster_events
from sampan.scheduler.config import SchedulerConfig
from sampan.scheduler.cycle import CycleTrial, Decision, decide
from sampan.scheduler.failure import report_failure
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.framework import Enabled, Framework
from sampan.scheduler.framework.interface import Handle
from sampan.scheduler.framework.status import Status
from sampan.scheduler.listers import Listers
from sampan.scheduler.plugins.table import SCHEDULER_PLUGINS
from sampan.scheduler.queue import QueuedPod, SchedulingQueue
from sampan.scheduler.snapshot import Snapshot

log = logging.getLogger(__name__)


async def run(client: Client, config: SchedulerConfig | None = None) -> None:
    """Schedule until cancelled."""
    config = config or SchedulerConfig()
    async with EventRecorder(client, config.scheduler_name) as recorder, Listers(client) as listers:
        scheduler = Scheduler(client, config, recorder, listers)
        cluster_events.follow(scheduler.snapshot, scheduler.queue, listers, config.scheduler_name)
        await listers.wait_synced()
        await scheduler.run()


class Scheduler:
    """One profile at work."""

    def __init__(self, client: Client, config: SchedulerConfig, recorder: EventRecorder, listers: Listers) -> None:
        self.snapshot = Snapshot()
        self._client = client
        self._listers = listers
        self._recorder = recorder
        handle = Handle(
            self.snapshot, client, listers.namespace_labels, listers.services, listers.owners,
            listers.disruption_budgets, recorder.event, storage=listers.storage(),
        )
        self.framework = Framework([
            Enabled(entry.make(handle, config.plugin_arguments.get(entry.name, {})), entry.weight)
            for entry in SCHEDULER_PLUGINS if entry.name not in config.disabled
        ])
        handle.trial = CycleTrial(self.framework, self.snapshot)
        self.queue = SchedulingQueue(
            self.framework.sort_key, self.framework.pre_enqueue, self._concerns,
            initial_backoff_s=config.initial_backoff_s, max_backoff_s=config.max_backoff_s,
        )
        self._binding_slots = asyncio.Semaphore(config.parallel_bindings)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """One pod after the other, until cancelled."""
        try:
            while True:
                queued = await self.queue.pop()
                await self._binding_slots.acquire()
                self._start(self._attempt(queued))
                await asyncio.sleep(0)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _attempt(self, queued: QueuedPod) -> _Outcome:
        """Decide and, if there is a place, assume: without waiting, so that the next decision counts it."""
        if not self._is_waiting(queued):
            if self.queue.is_in_flight(queued):
                self.queue.delete(queued.pod.key)
            return _Outcome(queued, None)
        try:
            decision = decide(self.framework, self.snapshot, queued.pod)
            if decision.node_name:
                self.snapshot.withdraw_nomination(queued.pod.key)
                self.snapshot.assume(queued.pod, decision.node_name)
        except Exception as error:
            log.exception("deciding on pod %s", queued.pod.key)
            return _Outcome(queued, None, error)
        return _Outcome(queued, decision)

    def _start(self, outcome: _Outcome) -> None:
        task = asyncio.create_task(self._finish(outcome), name=f"bind {outcome.queued.pod.key}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._binding_slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    async def _finish(self, outcome: _Outcome) -> None:
        """Tell the API server what was decided."""
        queued, decision = outcome.queued, outcome.decision
        if decision is not None and decision.node_name:
            await self._bind(queued, decision)
        elif decision is not None:
            await self._refused(queued, decision)
        elif outcome.error is not None:
            await self._erred(queued, f"{type(outcome.error).__name__}: {outcome.error}")

    async def _bind(self, queued: QueuedPod, decision: Decision) -> None:
        pod, node_name = queued.pod, decision.node_name
        status = self.framework.reserve(decision.state, pod, node_name)
        if status is None:
            try:
                status = await self.framework.bind(decision.state, pod, node_name)
            except BaseException:
                self._take_back(decision)
                raise
        if status is None:
            message = f"Successfully assigned {pod.namespace}/{pod.name} to {node_name}"
            self._recorder.event(pod.obj, NORMAL, "Scheduled", message)
            return
        self._take_back(decision)
        self.queue.move(ClusterEvent.POD_FREED)
        await self._not_bound(queued, decision, status)

    def _take_back(self, decision: Decision) -> None:
        self.framework.unreserve(decision.state, decision.pod, decision.node_name)
        self.snapshot.forget(decision.pod)

    async def _not_bound(self, queued: QueuedPod, decision: Decision, status: Status) -> None:
        if status.rejected:
            decision.diagnosis.statuses[decision.node_name] = status
            self.queue.failed(queued, frozenset((status.plugin,)))
            await self._report(queued, "Unschedulable", decision.diagnosis.message)
        else:
            await self._erred(queued, status.message)

    async def _refused(self, queued: QueuedPod, decision: Decision) -> None:
        """No node fits: see whether preemption can help, say why, and wait for a change."""
        pod, diagnosis = queued.pod, decision.diagnosis
        result = await self.framework.post_filter(decision.state, pod, diagnosis.statuses)
        diagnosis.post_filter_message = result.message
        if result.nominated_node and pod.key in self.queue:
            self.snapshot.nominate(pod, result.nominated_node)
        self.queue.failed(queued, frozenset(diagnosis.plugins))
        await self._report(queued, "Unschedulable", diagnosis.message, result.nominated_node)

    async def _erred(self, queued: QueuedPod, message: str) -> None:
        self.queue.failed(queued, frozenset(), error=True)
        await self._report(queued, "SchedulerError", message)

    async def _report(self, queued: QueuedPod, reason: str, message: str, nominated_node: str = "") -> None:
        pod = queued.pod
        current = self._listers.pods.get(pod.name, pod.namespace)
        if current is None or pod.key not in self.queue:
            return  # deleted meanwhile, or placed by somebody else
        self._recorder.event(pod.obj, WARNING, "FailedScheduling", message)
        await report_failure(self._client, current, reason, message, nominated_node)

    def _is_waiting(self, queued: QueuedPod) -> bool:
        """Whether the pod still is there to be placed, as far as the informer knows."""
        pod = queued.pod
        return self.queue.is_in_flight(queued) and not pod.terminating and not self.snapshot.placed_on(pod.key)

    def _concerns(self, plugin: str, event: ClusterEvent) -> bool:
        known = self.framework.plugins.get(plugin)
        return known is None or event in known.events


class _Outcome:
    """What became of an attempt: a decision, an error, or neither (the pod no longer waits)."""

    __slots__ = ("decision", "error", "queued")

    def __init__(self, queued: QueuedPod, decision: Decision | None, error: Exception | None = None) -> None:
        self.queued = queued
        self.decision = decision
        self.error = error
