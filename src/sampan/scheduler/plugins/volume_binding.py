"""VolumeBinding: a pod goes where its volumes are, and volumes that wait for their first pod go where the pod goes.

A bound claim limits the pod to nodes that its volume can be reached from. A claim of a class with
WaitForFirstConsumer is still free: a node will do if a fitting volume can be reached from it, or if one can be made
there (`provisioning.py`). All nodes are judged at once (`node_masks.py`), unless claims compete for volumes. Once the
node is chosen, before the pod is bound, the volume gets its claimRef, or the claim the annotation
`volume.kubernetes.io/selected-node`; the pod is bound when all its claims are.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import orjson

from sampan.api.core.volume_matching import (
    SELECTED_NODE,
    bound_to,
    class_of,
    is_bound,
    matches,
    waits_for_consumer,
)
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, annotations_of, dig, is_being_deleted, key_of, meta, name_of
from sampan.scheduler import node_selector
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState, PreFilterResult
from sampan.scheduler.framework.status import SKIP, Status, unresolvable, unschedulable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_masks import NodeMasks
from sampan.scheduler.node_selector import Labels, NodeSelector
from sampan.scheduler.node_table import Bools, Ints, Rows
from sampan.scheduler.plugins.provisioning import FULL, UNAVAILABLE, Provisioning
from sampan.scheduler.pod_claims import claims_of
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

BIND_TIMEOUT_S = 600.0
POLL_S = 0.25
_UNBOUND = unresolvable("pod has unbound immediate PersistentVolumeClaims")
_ELSEWHERE = unresolvable("node(s) had volume node affinity conflict")
_LOST = unresolvable("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)")
_CODE_LOST, _CODE_ELSEWHERE, _CODE_UNAVAILABLE, _CODE_FULL = 1, 2, 3, 4
_REFUSALS: Mapping[int, Status] = {
    _CODE_LOST: _LOST, _CODE_ELSEWHERE: _ELSEWHERE, _CODE_UNAVAILABLE: UNAVAILABLE, _CODE_FULL: FULL,
}


@dataclass(slots=True)
class _Claims:
    """A pod's claims: the volumes of those that are bound (None: it is missing), and those that wait for the pod."""

    volumes: list[Object | None] = field(default_factory=list)
    waiting: list[Object] = field(default_factory=list)
    candidates: dict[str, list[Object]] = field(default_factory=dict)
    """By key of those that wait: the volumes that would do, wherever they are, the best first."""

    @property
    def share_volumes(self) -> bool:
        """Whether two that wait might want the same volume."""
        named = [name_of(volume) for volumes in self.candidates.values() for volume in volumes]
        return len(named) != len(set(named))


@dataclass(slots=True)
class _Choice:
    """For one node: the volume of each claim that gets one, and the claims that are to be provisioned."""

    volumes: list[tuple[Object, Object]] = field(default_factory=list)
    provisioned: list[Object] = field(default_factory=list)


class VolumeBinding:
    name: ClassVar[str] = "VolumeBinding"
    row_local: ClassVar[bool] = False
    only_fitting: ClassVar[bool] = True
    events: ClassVar[frozenset[ClusterEvent]] = frozenset(
        (
            ClusterEvent.CLAIM, ClusterEvent.VOLUME, ClusterEvent.STORAGE_CLASS, ClusterEvent.CSI_NODE,
            ClusterEvent.CSI_DRIVER, ClusterEvent.CSI_CAPACITY, ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS,
        )
    )

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._handle = handle
        self._timeout_s = float(arguments.get("bindTimeoutSeconds", BIND_TIMEOUT_S))
        self._table = handle.snapshot.table
        self._masks = NodeMasks(self._table)
        self._promised: dict[str, str] = {}
        self._provisioning = Provisioning(handle)

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | PreFilterResult | None:
        wanted = list(claims_of(pod))
        if not wanted:
            return SKIP
        claims = _Claims()
        for claim in wanted:
            refused = self._sort_in(claims, pod.namespace, claim.name, ephemeral=claim.ephemeral)
            if refused is not None:
                return refused
        state[self.name] = claims
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        claims: _Claims = state[self.name]
        for volume in claims.volumes:
            if volume is None:
                return _LOST
            if not _reaches(volume, node.name, node.labels):
                return _ELSEWHERE
        choice = self._choose(claims, node.name, node.labels)
        return choice if isinstance(choice, Status) else None

    def filter_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints | None:
        claims: _Claims = state[self.name]
        codes = np.zeros(self._table.size, np.int64)
        for volume in claims.volumes:
            refused = _CODE_LOST if volume is None else np.where(self._reaching(volume), 0, _CODE_ELSEWHERE)
            codes = np.where(codes == 0, refused, codes)
        codes = codes[rows]
        if not claims.waiting:
            return codes
        asked = codes == 0
        if claims.share_volumes:  # who takes which is another question on each node
            for place, info in zip(np.flatnonzero(asked).tolist(), self._infos(rows, asked), strict=True):
                choice = self._choose(claims, info.name, info.labels)
                codes[place] = self._code(choice) if isinstance(choice, Status) else 0
        else:
            for claim in claims.waiting:
                codes = np.where(codes == 0, self._waiting_codes(claims, claim)[rows], codes)
        return codes

    def refusal(self, state: CycleState, pod: PodInfo, code: int) -> Status:
        return _REFUSALS[code]

    def _infos(self, rows: Rows, asked: Bools) -> Iterator[NodeInfo]:
        numbers = np.arange(self._table.size)[rows][asked]
        return (self._table.info(row) for row in numbers.tolist())

    def _reaching(self, volume: Object) -> Bools:
        required = dig(volume, "spec", "nodeAffinity", "required")
        return self._masks.every() if required is None else self._masks.of_node_selector(required)

    def _waiting_codes(self, claims: _Claims, claim: Object) -> Ints:
        """Of one claim that waits, for all nodes."""
        chosen = annotations_of(claim).get(SELECTED_NODE)
        if chosen is not None:
            codes = np.full(self._table.size, _CODE_UNAVAILABLE)
            codes[self._table.rows_of(frozenset((chosen,)))] = 0
            return codes
        served = np.zeros(self._table.size, np.bool_)
        for volume in claims.candidates[key_of(claim)]:
            if self._promised.get(name_of(volume)) in (None, key_of(claim)):
                served = served | self._reaching(volume)
        made, full = self._provisioning.rows(claim, self._masks)
        return np.where(served | made, 0, np.where(full, _CODE_FULL, _CODE_UNAVAILABLE))

    def _code(self, status: Status) -> int:
        return next(code for code, known in _REFUSALS.items() if known is status)

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        claims: _Claims | None = state.get(self.name)
        if claims is None or not claims.waiting:
            return None
        node = self._handle.snapshot.node(node_name)
        choice = self._choose(claims, node_name, node.labels if node is not None else {})
        if isinstance(choice, Status):
            return unschedulable(*choice.reasons)
        state[f"{self.name}/choice"] = choice
        for volume, claim in choice.volumes:
            self._promised[name_of(volume)] = key_of(claim)
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        choice: _Choice | None = state.pop(f"{self.name}/choice", None)
        for volume, claim in choice.volumes if choice is not None else ():
            if self._promised.get(name_of(volume)) == key_of(claim):
                del self._promised[name_of(volume)]

    def pre_bind_pre_flight(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        return None if f"{self.name}/choice" in state else SKIP

    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        choice: _Choice | None = state.get(f"{self.name}/choice")
        client = self._handle.client
        if choice is None or client is None:
            return None
        try:
            for volume, claim in choice.volumes:
                await client.update(PERSISTENT_VOLUMES, bound_to(volume, claim))
            for claim in choice.provisioned:
                annotations = {**annotations_of(claim), SELECTED_NODE: node_name}
                chosen = {**claim, "metadata": {**meta(claim), "annotations": annotations}}
                await client.update(PERSISTENT_VOLUME_CLAIMS, chosen)
        except (errors.Conflict, errors.NotFound):
            return unschedulable("a volume or claim has changed meanwhile")
        bound = await self._wait(state[self.name].waiting, pod.namespace)
        self.unreserve(state, pod, node_name)
        return None if bound else unschedulable("timed out waiting for the claims to be bound")

    async def _wait(self, claims: list[Object], namespace: str) -> bool:
        """Until the binder has done its part. False after the time is over or when a claim is gone."""
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    found = [self._handle.storage.claim(namespace, name_of(claim)) for claim in claims]
                    if any(one is None for one in found):
                        return False
                    if all(one is not None and is_bound(one) for one in found):
                        return True
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            return False

    def _sort_in(self, claims: _Claims, namespace: str, name: str, *, ephemeral: bool) -> Status | None:
        storage = self._handle.storage
        claim = storage.claim(namespace, name)
        if claim is None:
            waits = f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
            return unresolvable(waits if ephemeral else f'persistentvolumeclaim "{name}" not found')
        if is_being_deleted(claim):
            return unresolvable(f'persistentvolumeclaim "{name}" is being deleted')
        if dig(claim, "status", "phase") == "Lost":
            return unresolvable(f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume '
                                f'"{dig(claim, "spec", "volumeName")}"')
        if is_bound(claim):
            claims.volumes.append(storage.volume(claim["spec"]["volumeName"]))
            return None
        found = storage.storage_class(class_of(claim))
        chosen = SELECTED_NODE in annotations_of(claim)
        if dig(claim, "spec", "volumeName") or not (chosen or waits_for_consumer(claim, found)):
            return _UNBOUND
        claims.waiting.append(claim)
        if not chosen:
            claims.candidates[key_of(claim)] = matches(claim, storage.volumes())
        return None

    def _choose(self, claims: _Claims, node: str, labels: Labels) -> _Choice | Status:
        """How the waiting claims could be served on the node, or why they cannot."""
        choice = _Choice()
        taken: set[str] = set()
        for claim in claims.waiting:
            chosen = annotations_of(claim).get(SELECTED_NODE)
            if chosen is not None:
                if chosen != node:
                    return UNAVAILABLE
                choice.provisioned.append(claim)
                continue
            volume = next((
                one for one in claims.candidates[key_of(claim)]
                if name_of(one) not in taken and self._promised.get(name_of(one)) in (None, key_of(claim))
                and _reaches(one, node, labels)
            ), None)
            if volume is not None:
                taken.add(name_of(volume))
                choice.volumes.append((volume, claim))
            elif (refused := self._provisioning.refusal(claim, labels)) is None:
                choice.provisioned.append(claim)
            else:
                return refused
        return choice


def _reaches(volume: Object, node: str, labels: Labels) -> bool:
    required = dig(volume, "spec", "nodeAffinity", "required")
    return required is None or _compiled(orjson.dumps(required)).matches(node, labels)


@functools.lru_cache(maxsize=4096)
def _compiled(required: bytes) -> NodeSelector:
    """Once for each volume, not for each node that it is tried with."""
    return node_selector.of_document(orjson.loads(required))
