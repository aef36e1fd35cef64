"""DefaultPreemption: when no node fits, make room by deleting pods of lower priority (KEP-268).

The nodes that could help are judged by `preemption_candidates.py`; the one with the least harm wins. For a gang the
whole cluster is one place, judged by `gang_preemption.py`. Its victims are
deleted beside the next decisions, and the node is nominated: until the pod is placed, nothing less important may take
the room. The pod is tried again when its victims have been asked to end (`rooms.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sampan import effects
from sampan.api.resources import PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, uid_of
from sampan.client.client import Client
from sampan.client.events import NORMAL
from sampan.scheduler.diagnosis import histogram
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState, PostFilterResult
from sampan.scheduler.framework.status import Code, Status
from sampan.scheduler.framework.verdicts import Verdicts
from sampan.scheduler.gang_cycle import GangCycle
from sampan.scheduler.gang_preemption import GangRoom, find_room, preempts, priority_of
from sampan.scheduler.plugins.preemption_candidates import Candidate, Candidates
from sampan.scheduler.plugins.rooms import Rooms
from sampan.scheduler.pod_info import PodInfo

log = logging.getLogger(__name__)

NOT_HELPFUL = Status(Code.UNRESOLVABLE, ("Preemption is not helpful for scheduling",))
WAITING = Status(Code.UNRESOLVABLE, ("waiting for the preemption for this pod to be finished",))
PARALLEL_EVICTIONS = 32
NO_VICTIMS = Status(Code.UNSCHEDULABLE, ("No preemption victims found for incoming pod",))


class DefaultPreemption:
    name: ClassVar[str] = "DefaultPreemption"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((ClusterEvent.POD_FREED,))

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._handle = handle
        self._rooms = Rooms(handle.snapshot)
        self._slots = asyncio.Semaphore(PARALLEL_EVICTIONS)
        self._candidates = Candidates(
            handle, arguments.get("minCandidateNodesPercentage", 10), arguments.get("minCandidateNodesAbsolute", 100)
        )

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        return WAITING if self._rooms.is_open(pod) else None

    def hint(self, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        return not self._rooms.is_open(pod)

    def post_filter(self, state: CycleState, pod: PodInfo, verdicts: Verdicts) -> PostFilterResult:
        count = len(self._handle.snapshot.table)
        if not count:
            return PostFilterResult()
        if not pod.signature.preempts:
            return PostFilterResult("", "preemption: not eligible due to preemptionPolicy=Never.")
        if self._room_is_being_made(pod, verdicts):
            return PostFilterResult("", "preemption: not eligible due to a terminating pod on the nominated node.")
        self._handle.snapshot.withdraw_nomination(pod.key)
        chosen = self._candidates.best(state, pod, verdicts)
        return self._nothing_helps(verdicts) if chosen is None else self._make_room(pod, chosen)

    def candidates(self, state: CycleState, pod: PodInfo, verdicts: Verdicts) -> list[Candidate]:
        """Every node where preemption would make the pod fit, for who wants a say; none if it may not preempt."""
        if not pod.signature.preempts or self._room_is_being_made(pod, verdicts):
            return []
        return self._candidates.tried(state, pod, verdicts)

    def choose(self, pod: PodInfo, candidates: Sequence[Candidate], verdicts: Verdicts) -> PostFilterResult:
        """Make room at one of these."""
        self._handle.snapshot.withdraw_nomination(pod.key)
        chosen = min(candidates, key=lambda candidate: candidate.harm, default=None)
        return self._nothing_helps(verdicts) if chosen is None else self._make_room(pod, chosen)

    def for_gang(self, cycle: GangCycle) -> GangRoom:
        """Make room for a whole gang, or say why not."""
        if not preempts(cycle):
            return GangRoom((), {}, "not eligible due to preemptionPolicy=Never.")
        if any(self._rooms.is_open(pod) for pod in cycle.pods) or self._someone_leaves(cycle):
            return GangRoom((), {}, "not eligible due to a terminating pod on the nominated node.")
        for pod in cycle.pods:
            self._handle.snapshot.withdraw_nomination(pod.key)
        room = find_room(cycle, self._handle)
        if not room.victims:
            return room
        self._handle.preempted(len(room.victims))
        if self._handle.client is not None:
            for pod in cycle.pods:
                self._rooms.open(pod, room.victims)
            by = f"pod group {uid_of(cycle.gang.obj)}"
            self._handle.background(self._evict_all(self._handle.client, room.victims, by, cycle.pods))
        return room

    def _someone_leaves(self, cycle: GangCycle) -> bool:
        """Whether victims of an earlier preemption for this gang have not ended yet."""
        snapshot, limit = self._handle.snapshot, priority_of(cycle)
        names = {snapshot.nominated_node(pod.key) or pod.nominated_node for pod in cycle.pods}
        nodes = filter(None, map(snapshot.node, filter(None, names)))
        return any(
            other.terminating and self._handle.groups.priority(other) < limit
            for node in nodes for other in node.pods.values()
        )

    def _nothing_helps(self, verdicts: Verdicts) -> PostFilterResult:
        count, resolvable = len(self._handle.snapshot.table), len(verdicts.resolvable())
        tally = {NOT_HELPFUL: count - resolvable, NO_VICTIMS: resolvable}
        reasons = histogram({status: nodes for status, nodes in tally.items() if nodes})
        return PostFilterResult("", f"preemption: 0/{count} nodes are available: {reasons}.")

    def _make_room(self, pod: PodInfo, chosen: Candidate) -> PostFilterResult:
        self._handle.preempted(len(chosen.victims))
        self._displace(pod, chosen.node_name)
        if self._handle.client is not None:
            self._rooms.open(pod, chosen.victims)
            by = f"pod {pod.uid}"
            self._handle.background(self._evict_all(self._handle.client, chosen.victims, by, (pod,)))
        return PostFilterResult(chosen.node_name)

    def _displace(self, pod: PodInfo, node_name: str) -> None:
        """Room that was to be for less important pods is no longer theirs: they are to look for other."""
        snapshot = self._handle.snapshot
        for other in list(snapshot.nominated.get(node_name, {}).values()):
            if other.key != pod.key and other.priority < pod.priority:
                snapshot.withdraw_nomination(other.key)
                self._handle.activate(other.key)

    def _room_is_being_made(self, pod: PodInfo, verdicts: Verdicts) -> bool:
        """Whether victims of an earlier preemption for this pod have not ended yet.

        Where that was, the pod's status learns late.
        """
        if self._rooms.is_open(pod):
            return True
        node = self._handle.snapshot.node(self._handle.snapshot.nominated_node(pod.key) or pod.nominated_node)
        if node is None:
            return False
        verdict = verdicts.at(node.row)
        if verdict is not None and verdict.code is Code.UNRESOLVABLE:
            return False
        groups = self._handle.groups
        return any(other.terminating and groups.priority(other) < pod.priority for other in node.pods.values())

    async def _evict_all(
        self, client: Client, victims: Sequence[PodInfo], by: str, preemptors: Sequence[PodInfo]
    ) -> None:
        """One victim after the other, so that few are lost if this scheduler ends in the middle; and one preemption to
        its end before the next begins, so that who came first is served first."""
        first = preemptors[0]
        try:
            async with self._slots:
                for victim in victims:
                    if await self._evict(client, victim, first):
                        message = f"Preempted by {by} on node {victim.node_name}"
                        self._handle.record(victim.reference, NORMAL, "Preempted", message)
                    else:
                        for preemptor in preemptors:
                            self._rooms.spare(preemptor, victim)
        finally:
            for preemptor in preemptors:
                self._rooms.asked(preemptor)
        log.info("room for pod %s: %d victims", first.key, len(victims))
        if all(map(self._is_leaving, victims)):
            return  # the end of each will wake those who wait for it
        for preemptor in preemptors:
            if not self._rooms.is_open(preemptor):
                self._handle.activate(preemptor.key)

    def _is_leaving(self, victim: PodInfo) -> bool:
        placed = self._handle.snapshot.placed().get(victim.key)
        return placed is not None and placed.pod.uid == victim.uid and placed.pod.terminating

    async def _evict(self, client: Client, victim: PodInfo, preemptor: PodInfo) -> bool:
        """Make one pod go, whether that was to be done. One that a Permit plugin still holds only loses its place."""
        held = self._handle.waiting.get(victim.uid)
        if held is not None:
            held.reject(self.name, "preempted")
            return True
        placed = self._handle.snapshot.placed().get(victim.key)
        if placed is None or placed.pod.uid != victim.uid or placed.pod.terminating:
            return False  # it goes anyway
        return await _delete(client, victim, preemptor)


async def _delete(client: Client, victim: PodInfo, preemptor: PodInfo) -> bool:
    """Say why in the victim's status, then delete it; whether that was done."""
    condition: Object = {
        "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
        "message": f"{preemptor.signature.scheduler_name}: preempting to accommodate a higher priority pod",
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
        return True
    return False
