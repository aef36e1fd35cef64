"""DefaultPreemption: when no node fits, make room by deleting pods of lower priority (KEP-268).

On each node that could help, all pods of lower priority are taken away on trial; if the pod fits then, as many as
possible are put back, those that a disruption budget protects first and the more important ones before the less.
The node with the least harm wins: fewest violated budgets, then the lowest highest victim, the smallest sum of
priorities, the fewest victims, the latest started important victim. Its victims are deleted, and the node is nominated:
until the pod is placed, nothing less important may take the room.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sampan import effects
from sampan.api.resources import PODS
from sampan.apimachinery import errors, selectors
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.client.events import NORMAL
from sampan.scheduler.diagnosis import histogram
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.interface import CycleState, Handle, PostFilterResult, Statuses, Trial
from sampan.scheduler.framework.status import Code, Status
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo

log = logging.getLogger(__name__)

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node, and which pods would have to go."""

    node: NodeInfo
    victims: tuple[PodInfo, ...]
    violations: int

    @property
    def harm(self) -> tuple[Any, ...]:
        """Less is better."""
        highest = max(victim.priority for victim in self.victims)
        started = min(_started(victim) for victim in self.victims if victim.priority == highest)
        latest_first = tuple(-ord(char) for char in started)
        return (
            self.violations, highest, sum(victim.priority + 2**31 for victim in self.victims), len(self.victims),
            latest_first, self.node.name,
        )


class DefaultPreemption:
    name: ClassVar[str] = "DefaultPreemption"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((ClusterEvent.POD_FREED,))

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._handle = handle

    async def post_filter(self, state: CycleState, pod: PodInfo, statuses: Statuses) -> PostFilterResult:
        count = len(self._handle.snapshot.nodes())
        if not count:
            return PostFilterResult()
        prefix = f"preemption: 0/{count} nodes are available"
        if (pod.obj.get("spec") or {}).get("preemptionPolicy") == "Never":
            return PostFilterResult("", "preemption: not eligible due to preemptionPolicy=Never.")
        if self._room_is_being_made(pod, statuses):
            return PostFilterResult("", "preemption: not eligible due to a terminating pod on the nominated node.")
        candidates, verdicts = self._candidates(state, pod, statuses)
        if not candidates:
            return PostFilterResult("", f"{prefix}: {histogram(verdicts)}.")
        chosen = min(candidates, key=lambda candidate: candidate.harm)
        if self._handle.client is not None:
            for victim in chosen.victims:
                if await _evict(self._handle.client, victim, pod):
                    message = f"Preempted by pod {pod.uid} on node {chosen.node.name}"
                    self._handle.record(victim.obj, NORMAL, "Preempted", message)
        return PostFilterResult(chosen.node.name)

    def _room_is_being_made(self, pod: PodInfo, statuses: Statuses) -> bool:
        """Whether victims of an earlier preemption for this pod have not ended yet."""
        verdict = statuses.get(pod.nominated_node)
        node = self._handle.snapshot.node(pod.nominated_node)
        if node is None or (verdict is not None and verdict.code is Code.UNRESOLVABLE):
            return False
        return any(other.terminating and other.priority < pod.priority for other in node.pods.values())

    def _candidates(
        self, state: CycleState, pod: PodInfo, statuses: Statuses
    ) -> tuple[list[Candidate], dict[str, Status]]:
        """Every node where preemption would make the pod fit, and why not for the others."""
        assert self._handle.trial is not None, "the framework sets the trial before the first cycle"
        found: list[Candidate] = []
        verdicts: dict[str, Status] = {}
        for node in self._handle.snapshot.nodes():
            verdict = statuses.get(node.name)
            if verdict is None or verdict.code is not Code.UNSCHEDULABLE:
                verdicts[node.name] = Status(Code.UNRESOLVABLE, (NOT_HELPFUL,))
                continue
            candidate = self._on(node, state, pod, self._handle.trial)
            if candidate is None:
                verdicts[node.name] = Status(Code.UNSCHEDULABLE, (NO_VICTIMS,))
            else:
                found.append(candidate)
        return found, verdicts

    def _on(self, node: NodeInfo, state: CycleState, pod: PodInfo, trial: Trial) -> Candidate | None:
        """The least that has to go from this node, None if even everything is not enough."""
        lower = [other for other in node.pods.values() if other.priority < pod.priority and not other.terminating]
        if not lower:
            return None
        twin, twin_state = node.copy(), trial.copy_state(state)
        for other in lower:
            trial.remove_pod(twin_state, pod, other, twin)
        if trial.refusal(twin_state, pod, twin) is not None:
            return None
        protected, free = self._by_budget(lower)
        victims: list[PodInfo] = []
        violations = 0
        for others, is_violation in ((protected, True), (free, False)):
            for other in sorted(others, key=lambda p: (-p.priority, _started(p), p.key)):
                trial.add_pod(twin_state, pod, other, twin)
                if trial.refusal(twin_state, pod, twin) is not None:
                    trial.remove_pod(twin_state, pod, other, twin)
                    victims.append(other)
                    violations += is_violation
        return Candidate(node, tuple(victims), violations) if victims else None

    def _by_budget(self, pods: list[PodInfo]) -> tuple[list[PodInfo], list[PodInfo]]:
        """Pods whose deletion would exceed a disruption budget, and the others."""
        allowed: dict[tuple[str, int], int] = {}
        protected: list[PodInfo] = []
        free: list[PodInfo] = []
        for pod in sorted(pods, key=lambda p: (-p.priority, _started(p), p.key)):
            exceeded = False
            for number, budget in enumerate(self._handle.disruption_budgets(pod.namespace)):
                if not _covers(budget, pod):
                    continue
                key = (pod.namespace, number)
                left = allowed.get(key, (budget.get("status") or {}).get("disruptionsAllowed") or 0)
                allowed[key] = left - 1
                exceeded = exceeded or left <= 0
            (protected if exceeded else free).append(pod)
        return protected, free


def _covers(budget: Object, pod: PodInfo) -> bool:
    document = (budget.get("spec") or {}).get("selector")
    return bool(pod.labels) and document is not None and selectors.from_document(document).matches(pod.labels)


def _started(pod: PodInfo) -> str:
    """When the pod started, as a text that sorts by time; one that has not started is the latest."""
    return str((pod.obj.get("status") or {}).get("startTime") or "9")


async def _evict(client: Client, victim: PodInfo, preemptor: PodInfo) -> bool:
    """Say why in the victim's status, then delete it; whether that was done."""
    condition: Object = {
        "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
        "message": "default-scheduler: preempting to accommodate a higher priority pod",
        "lastProbeTime": None, "lastTransitionTime": effects.timestamp(),
    }
    try:
        status: Object = {"status": {"conditions": [condition]}}
        await client.patch(PODS, victim.name, status, victim.namespace, type="strategic", subresource="status")
        await client.delete(PODS, victim.name, victim.namespace, uid=victim.uid)
    except (errors.NotFound, errors.Conflict):
        log.debug("victim %s of %s is gone already", victim.key, preemptor.key)
    except errors.APIError as error:
        log.warning("victim %s of %s was not deleted: %s", victim.key, preemptor.key, error)
    else:
        log.info("pod %s was preempted for %s", victim.key, preemptor.key)
        return True
    return False
