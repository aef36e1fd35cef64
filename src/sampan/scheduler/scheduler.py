"""The scheduler: takes pods without a node from the queue, decides, binds.

Informers keep the snapshot and the queue up to date; one loop takes the next pod and decides without waiting; a placed
pod is assumed at once and bound beside the next decisions, so the API server's answer is nobody's bottleneck. When
binding fails the assumption is taken back and the pod is tried again. Everything that is known can be rebuilt by
listing, so the scheduler may be killed at any time: a pod is bound once, because the API server binds it once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

from sampan import effects
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.client.event_series import EventSeries
from sampan.client.events import NORMAL, WARNING, EventRecorder
from sampan.scheduler import cluster_events
from sampan.scheduler.attempts import Attempts
from sampan.scheduler.config import SchedulerConfig
from sampan.scheduler.cycle import CycleTrial, Decision, Outside, decide, feasible
from sampan.scheduler.extenders.extender import Extender, ExtenderError
from sampan.scheduler.extenders.extenders import Extenders
from sampan.scheduler.failure import report_expectation, report_group
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.framework import Framework
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import PostFilterResult
from sampan.scheduler.framework.status import Status
from sampan.scheduler.framework.waiting import WaitingPods
from sampan.scheduler.gang_cycle import PLUGIN, GangCycle, Outcome
from sampan.scheduler.listers import Listers
from sampan.scheduler.metrics import ERROR, SCHEDULED, UNSCHEDULABLE, SchedulerMetrics, measure
from sampan.scheduler.plugins.default_preemption import DefaultPreemption
from sampan.scheduler.pod_groups import Gang, PodGroups
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.profiles import Profiles
from sampan.scheduler.queue import QueuedPod, SchedulingQueue
from sampan.scheduler.reports import Report, Reports
from sampan.scheduler.snapshot import Snapshot

log = logging.getLogger(__name__)

DECISIONS_IN_A_ROW = 8
"""Then others get their turn: answers of the API server, changes of the cluster."""
_ACTIONS = {
    "Scheduled": "Binding", "FailedScheduling": "Scheduling", "Preempted": "Preempting",
    "BindingConditionsPending": "Scheduling",
}
"""What was being done when there was a reason for an Event."""


async def run(client: Client, config: SchedulerConfig | None = None) -> None:
    """Schedule until cancelled."""
    async with running(client, config or SchedulerConfig(), SchedulerMetrics()) as scheduler:
        await scheduler.run()


@contextlib.asynccontextmanager
async def running(client: Client, config: SchedulerConfig, metrics: SchedulerMetrics) -> AsyncIterator[Scheduler]:
    """A scheduler that knows the whole cluster and follows it."""
    async with Extenders([Extender(one) for one in config.extenders]) as extenders, Listers(client) as listers:
        scheduler = Scheduler(client, config, listers, metrics, extenders)
        cluster_events.follow(
            scheduler.snapshot, scheduler.queue, listers, scheduler.groups, scheduler.profiles.frameworks
        )
        await listers.wait_synced()
        async with scheduler.recorder:
            yield scheduler


class Scheduler:
    """All profiles at work."""

    def __init__(
        self, client: Client, config: SchedulerConfig, listers: Listers, metrics: SchedulerMetrics,
        extenders: Extenders,
    ) -> None:
        self.snapshot = Snapshot(listers.namespace_labels)
        self._client = client
        self._listers = listers
        name = config.profiles[0].scheduler_name
        series = EventSeries(name, config.reporting_instance or name, _ACTIONS)
        self.recorder = EventRecorder(client, name, form=series, is_busy=lambda: self.is_busy)
        self._metrics = metrics
        self._extenders = extenders
        self._waiting = WaitingPods()
        self.groups = PodGroups()
        self._slots = asyncio.Semaphore(config.parallel_bindings)
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = 0
        self.attempts = Attempts()
        self._reports = Reports(client, lambda: self.is_busy, self._waiting_document)
        self.profiles = Profiles(config.profiles, self._handle)
        for profile, framework in self.profiles.frameworks.items():
            framework.measured = functools.partial(metrics.point, profile)
            framework.handle.trial = CycleTrial(framework, self.snapshot)
            for plugin in framework.plugins.values():
                measure(plugin, metrics)
        self.queue = SchedulingQueue(
            self.profiles, initial_backoff_s=config.initial_backoff_s, max_backoff_s=config.max_backoff_s,
            pops_from_backoff=config.pops_from_backoff, incoming=metrics.incoming,
        )

    @property
    def is_busy(self) -> bool:
        """Whether pods are being placed at present: what can wait should wait."""
        return len(self._tasks) > self._held or not self.queue.is_idle

    def tasks(self) -> Mapping[str, int]:
        """What goes on beside the decisions."""
        return {"binding": len(self._tasks)}

    def sizes(self) -> Mapping[str, int]:
        """How much is known: nodes, pods on them, and those of the pods that are only assumed there."""
        placed = self.snapshot.placed()
        assumed = sum(one.assumed for one in placed.values())
        return {"nodes": len(self.snapshot.table), "pods": len(placed), "assumed_pods": assumed}

    async def run(self) -> None:
        """One pod after the other, until cancelled."""
        decisions = 0
        try:
            while True:
                queued = await self.queue.pop()
                await self._slots.acquire()
                if self._concerns_extenders(queued.pod) and self._is_waiting(queued):
                    rest: Coroutine[Any, Any, None] | None = await self._attempt_extended(queued)
                else:
                    rest = self._attempt(queued)
                if rest is None:
                    self._slots.release()
                else:
                    self.background(rest).add_done_callback(lambda task: self._slots.release())
                decisions += 1
                if decisions % DECISIONS_IN_A_ROW == 0:
                    await asyncio.sleep(0)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, self._reports.close(), return_exceptions=True)

    def _concerns_extenders(self, pod: PodInfo) -> bool:
        if self._extenders.concern(pod):
            return True
        return bool(pod.signature.group) and any(map(self._extenders.concern, self._of_gang(pod)))

    def _of_gang(self, pod: PodInfo) -> list[PodInfo]:
        """The pods that wait to be placed together with a pod, itself included; none if it is placed alone."""
        gang = self.groups.gang(pod)
        members = self.groups.members(gang.key).values() if gang is not None else ()
        return [member for member in members if not self.snapshot.placed_on(member.key)]

    def background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the next decisions."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    def _attempt(
        self, queued: QueuedPod, outside: Mapping[str, Outside] | None = None
    ) -> Coroutine[Any, Any, None] | None:
        """Decide without waiting; what is still to be told to the API server. `outside` is what extenders said of the
        pods of a gang."""
        pod = queued.pod
        if not self._is_waiting(queued):
            if self.queue.is_in_flight(queued):
                self.queue.delete(pod.key)
            return None
        self._metrics.begin()
        framework = self.profiles.of(pod)
        gang = self.groups.gang(pod)
        if gang is not None:
            return self._attempt_gang(framework, gang, queued, outside or {})
        try:
            decision = decide(framework, self.snapshot, pod)
            if decision.node_name:
                self._metrics.decided(effects.monotonic() - queued.tried_at)
                return self._place(framework, queued, decision)
            self._refuse(framework, queued, decision)
        except Exception as error:
            log.exception("deciding on pod %s", pod.key)
            self.snapshot.forget(pod)
            self._erred(queued, f"{type(error).__name__}: {error}")
        return None

    async def _attempt_extended(self, queued: QueuedPod) -> Coroutine[Any, Any, None] | None:
        """As `_attempt`, with extenders. They are asked about the nodes that fit; what they said is then applied to
        the cluster as it is by that time."""
        pod, framework = queued.pod, self.profiles.of(queued.pod)
        try:
            if members := self._of_gang(pod):
                said = {
                    member.key: await self._extenders.ask(member, feasible(framework, self.snapshot, member))
                    for member in members if self._extenders.concern(member)
                }
                return self._attempt(queued, said)
            self._metrics.begin()
            outside = await self._extenders.ask(pod, feasible(framework, self.snapshot, pod))
            if not self._is_waiting(queued):
                return self._attempt(queued)
            decision = decide(framework, self.snapshot, pod, outside=outside)
            if decision.node_name:
                self._metrics.decided(effects.monotonic() - queued.tried_at)
                return self._place(framework, queued, decision)
            result = await self._make_room_extended(framework, decision)
            self._refuse(framework, queued, decision, result)
        except ExtenderError as error:
            self._erred(queued, str(error))
        except Exception as error:
            log.exception("deciding on pod %s", pod.key)
            self.snapshot.forget(pod)
            self._erred(queued, f"{type(error).__name__}: {error}")
        return None

    async def _make_room_extended(self, framework: Framework, decision: Decision) -> PostFilterResult | None:
        """Preemption to which extenders agree; None if they have no say."""
        plugin, pod, refused = framework.plugins.get(DefaultPreemption.name), decision.pod, decision.diagnosis.statuses
        if not isinstance(plugin, DefaultPreemption) or not self._extenders.preempting(pod):
            return None
        candidates = plugin.candidates(decision.state, pod, refused)
        if not candidates:
            return None
        return plugin.choose(pod, await self._extenders.agreed(self._client, pod, candidates), refused)

    def _attempt_gang(
        self, framework: Framework, gang: Gang, first: QueuedPod, outside: Mapping[str, Outside]
    ) -> Coroutine[Any, Any, None] | None:
        """As `_attempt`, for all pods of the gang that wait."""
        members = self.groups.members(gang.key)
        running = [pod.on(node) for key, pod in members.items() if (node := self.snapshot.placed_on(key))]
        taken = [queued for key in list(members) if (queued := self.queue.take(key)) is not None]
        waiting = {queued.pod.key: queued for queued in (first, *filter(self._is_waiting, taken))}
        for queued in taken:
            if queued.pod.key not in waiting:
                self.queue.delete(queued.pod.key)
        pods = [queued.pod for queued in waiting.values()]
        cycle = GangCycle(framework, self.snapshot, gang, pods, running, outside)
        try:
            if wrong := gang.disagreement(pods):
                for queued in waiting.values():
                    self._erred(queued, wrong)
                return None
            outcome = cycle.run()
            if not outcome.enough:
                self._note_group(first, UNSCHEDULABLE)
                return self._refuse_gang(cycle, outcome, waiting)
        except Exception as error:
            log.exception("deciding on pod group %s", gang.key)
            self._note_group(first, ERROR)
            for queued in waiting.values():
                self._erred(queued, f"{type(error).__name__}: {error}")
            return None
        self._note_group(first, SCHEDULED)
        bindings = [self._settle(framework, waiting[decision.pod.key], decision) for decision in outcome.placed]
        for decision, status in outcome.refused:
            if status is None:
                self._refuse(framework, waiting[decision.pod.key], decision)
            else:
                self._not_placed(waiting[decision.pod.key], decision, status)
        return together(*filter(None, bindings), report_group(self._client, gang.obj, ""))

    def _refuse_gang(
        self, cycle: GangCycle, outcome: Outcome, waiting: Mapping[str, QueuedPod]
    ) -> Coroutine[Any, Any, None]:
        """Nobody gets a place: see whether preemption can help all; whatever helps one is reason to try all again."""
        message, nodes = cycle.too_few(outcome), dict[str, str]()
        plugin = cycle.framework.plugins.get(DefaultPreemption.name)
        if isinstance(plugin, DefaultPreemption):
            room = plugin.for_gang(cycle)
            message, nodes = f"{message}. preemption: {room.message}", dict(room.nodes)
        for pod in cycle.pods:
            if pod.key in nodes:
                self.snapshot.nominate(pod, nodes[pod.key])
        refused = {decision.pod.key: (decision, status) for decision, status in outcome.refused}
        plugins = {PLUGIN}.union(*(
            decision.diagnosis.plugins if status is None else {status.plugin} for decision, status in outcome.refused
        ))
        for queued in waiting.values():
            self._note(queued, UNSCHEDULABLE)
            self.queue.failed(queued, frozenset(plugins))
        for key, queued in waiting.items():
            told, diagnosis = message, None
            if key in refused:
                decision, status = refused[key]
                diagnosis = decision.diagnosis
                told = f"{message}: {diagnosis.message if status is None else status.message}"
            self.attempts.note(queued, told, diagnosis, nodes.get(key, ""))
            self._report(queued.pod, "Unschedulable", told)
        return report_group(self._client, cycle.gang.obj, message)

    def _place(
        self, framework: Framework, queued: QueuedPod, decision: Decision
    ) -> Coroutine[Any, Any, None] | None:
        """Assume the pod on its node, so that the next decision counts it."""
        pod, node_name = queued.pod, decision.node_name
        self.snapshot.assume(pod, node_name)
        status = framework.reserve(decision.state, pod, node_name)
        if status is None:
            return self._settle(framework, queued, decision)
        self.snapshot.forget(pod)
        self._not_placed(queued, decision, status)
        return None

    def _settle(
        self, framework: Framework, queued: QueuedPod, decision: Decision
    ) -> Coroutine[Any, Any, None] | None:
        """The pod has its place; unless a plugin objects in the end, it is bound to it."""
        self.snapshot.withdraw_nomination(decision.pod.key)
        self.queue.succeeded(queued)
        status = framework.permit(decision.state, decision.pod, decision.node_name)
        if status is None:
            return self._bind(framework, queued, decision)
        self._take_back(framework, decision)
        self._not_placed(queued, decision, status)
        return None

    async def _bind(self, framework: Framework, queued: QueuedPod, decision: Decision) -> None:
        """Tell the API server."""
        pod, node_name = queued.pod, decision.node_name
        try:
            status = await self._prepare(framework, decision)
            if status is None:
                await self._reports.settled(pod.key)
                status = await framework.bind(decision.state, pod, node_name)
        except BaseException as error:
            self._take_back(framework, decision)
            if not isinstance(error, Exception):
                raise
            log.exception("binding pod %s to %s", pod.key, node_name)
            self._erred(queued, f"{type(error).__name__}: {error}")
            return
        if status is None:
            self._note(queued, SCHEDULED)
            self.attempts.forget(pod.key)
            self._metrics.bound(queued.attempts, effects.monotonic() - queued.queued_at)
            message = f"Successfully assigned {pod.namespace}/{pod.name} to {node_name}"
            self.recorder.event(pod.reference, NORMAL, "Scheduled", message)
            return
        self._take_back(framework, decision)
        self.queue.move(ClusterEvent.POD_FREED, pod.on(node_name), None)
        self._not_placed(queued, decision, status)

    async def _prepare(self, framework: Framework, decision: Decision) -> Status | None:
        """What may have to wait, for volumes or other pods, gives its slot away meanwhile and says where it goes."""
        state, pod, node_name = decision.state, decision.pod, decision.node_name
        if not framework.may_wait(state, pod, node_name):
            return None
        self._slots.release()
        self._held += 1
        held, since, status = self._waiting.get(pod.uid), effects.monotonic(), None
        try:
            if pod.nominated_node != node_name:
                await self._reports.settled(pod.key)
                await report_expectation(self._client, pod.key, node_name)
            status = await framework.prepare(state, pod, node_name)
            return status
        finally:
            self._held -= 1
            if held is not None:
                told = "Success" if status is None else status.code.value
                self._metrics.permit_waited(told, effects.monotonic() - since)
            await self._slots.acquire()

    def _take_back(self, framework: Framework, decision: Decision) -> None:
        framework.unreserve(decision.state, decision.pod, decision.node_name)
        self.snapshot.forget(decision.pod)

    def _not_placed(self, queued: QueuedPod, decision: Decision, status: Status) -> None:
        """A node was found, but then a plugin refused or something broke."""
        if not status.rejected:
            self._erred(queued, status.message)
            return
        decision.diagnosis.node_count = len(self.snapshot.table)
        decision.diagnosis.overruled[decision.node_name] = status
        self._note(queued, UNSCHEDULABLE)
        self.queue.failed(queued, frozenset((status.plugin,)))
        self.attempts.note(queued, decision.diagnosis.message, decision.diagnosis)
        self._report(queued.pod, "Unschedulable", decision.diagnosis.message)

    def _refuse(
        self, framework: Framework, queued: QueuedPod, decision: Decision, result: PostFilterResult | None = None
    ) -> None:
        """No node fits: see whether preemption can help (unless `result` says so), say why, and wait for a change."""
        pod, diagnosis = queued.pod, decision.diagnosis
        if result is None:
            result = framework.post_filter(decision.state, pod, diagnosis.statuses)
        diagnosis.post_filter_message = result.message
        if result.nominated_node:
            self.snapshot.nominate(pod, result.nominated_node)
        self._note(queued, UNSCHEDULABLE)
        self.queue.failed(queued, frozenset(diagnosis.plugins))
        self.attempts.note(queued, diagnosis.message, diagnosis, result.nominated_node)
        self._report(pod, "Unschedulable", diagnosis.message)

    def _erred(self, queued: QueuedPod, message: str) -> None:
        self._note(queued, ERROR)
        self.queue.failed(queued, frozenset(), error=True)
        self.attempts.note(queued, message)
        self._report(queued.pod, "SchedulerError", message)

    def _note_group(self, first: QueuedPod, result: str) -> None:
        self._metrics.group_attempt(
            result, first.pod.signature.scheduler_name, effects.monotonic() - first.tried_at
        )

    def _note(self, queued: QueuedPod, result: str) -> None:
        self._metrics.attempt(
            result, queued.pod.signature.scheduler_name, effects.monotonic() - queued.tried_at
        )

    def _report(self, pod: PodInfo, reason: str, message: str) -> None:
        """Tell why the pod is not placed, in an event and in its status, and where room is kept for it, if anywhere."""
        if self._waiting_document(pod.key) is not None:
            self.recorder.event(pod.reference, WARNING, "FailedScheduling", message)
            self._reports.put(pod.key, Report(reason, message, self.snapshot.nominated_node(pod.key)))

    def _waiting_document(self, key: str) -> Object | None:
        """Of a pod that is still to be placed: it was neither deleted meanwhile nor placed, by us or somebody else."""
        current = self._listers.pods.get(key)
        return None if current is None or key not in self.queue or self.snapshot.placed_on(key) else current.obj

    def _is_waiting(self, queued: QueuedPod) -> bool:
        """Whether the pod still is there to be placed, as far as the informer knows."""
        pod = queued.pod
        return self.queue.is_in_flight(queued) and not pod.terminating and not self.snapshot.placed_on(pod.key)

    def _handle(self) -> Handle:
        """What a profile's plugins may use."""
        listers = self._listers
        return Handle(
            self.snapshot, self._client, listers.namespace_labels, listers.services, listers.owners,
            listers.owners_version, listers.disruption_budgets, listers.budgets_version, self.background,
            self.recorder.event, listers.listen, storage=listers.storage(), waiting=self._waiting,
            groups=self.groups, activate=lambda key: self.queue.activate(key), binder=self._extenders.binder,
            preempted=self._metrics.preempted,
        )


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """All of them at the same time."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)
