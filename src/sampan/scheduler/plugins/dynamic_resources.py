"""DynamicResources: a pod goes where the devices of its claims are, or where they can be had (KEP-4381).

A claim that is allocated limits the pod to the nodes from which its devices can be reached. For the others an
allocation is worked out per node (`devices/allocator.py`); the one of the chosen node is kept pending from Reserve on
and written into the claim's status in PreBind, together with the pod's reservation. Devices with binding conditions are
waited for there; if they fail, or take too long, the claim gives them back and others are tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sampan import effects
from sampan.api.resources import DEVICE_CLASSES, DEVICE_TAINT_RULES, RESOURCE_CLAIMS, RESOURCE_SLICES
from sampan.apimachinery import errors
from sampan.apimachinery.duration import parse_go_duration
from sampan.apimachinery.object import (
    Object,
    controller_of,
    dig,
    is_being_deleted,
    key_of,
    meta,
    name_of,
    resource_version_of,
    uid_of,
)
from sampan.client.events import NORMAL
from sampan.scheduler import node_selector
from sampan.scheduler.devices.allocator import Inventory, OutOfTime, allocate
from sampan.scheduler.devices.binding import BindingFailed, is_hopeless, is_overdue, is_ready
from sampan.scheduler.devices.capacity import CapacityError
from sampan.scheduler.devices.claims import Claims
from sampan.scheduler.devices.device import DeviceID, Pool, pools_of
from sampan.scheduler.devices.request import ClaimRequests, MissingClass, requests_of
from sampan.scheduler.devices.result import allocation
from sampan.scheduler.devices.selector import SelectorError, Selectors
from sampan.scheduler.framework.candidates import Candidates
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState, PostFilterResult
from sampan.scheduler.framework.normalize import scaled_to_max
from sampan.scheduler.framework.status import SKIP, Code, Status, unresolvable
from sampan.scheduler.framework.verdicts import Verdicts
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot
from sampan.scheduler.taints import tolerated

PROTECTION = "resource.kubernetes.io/delete-protection"
_NOT_HERE = unresolvable("resourceclaim not available on the node")
_NOT_ENOUGH = unresolvable("cannot allocate all claims")
_OUT_OF_TIME = unresolvable("timed out trying to allocate devices")
_MOST_USERS = 256
_OF_ALLOCATION = ("allocation", "devices", "reservedFor")
_LOOK_AGAIN_S = 1.0
"""At the conditions of devices that get ready."""


class _Unready(Exception):
    """A claim of the pod cannot be used now; the message says why."""


@dataclass(slots=True)
class _State:
    """What one attempt knows. `by_node`: the allocations worked out, in the order of `wanted`."""

    claims: list[Object]
    wanted: list[ClaimRequests]
    inventory: Inventory | None
    by_node: dict[str, list[Object]] = field(default_factory=dict)
    elsewhere: dict[str, Object] = field(default_factory=dict)
    """Allocated claims that kept the pod from a node."""
    pending: list[Object] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Pools:
    """`key` tells what they were made of; `expelling` are the devices that have taints with the effect NoExecute."""

    key: object
    pools: Sequence[Pool]
    selectors: Selectors
    expelling: Mapping[DeviceID, Sequence[Object]]


class DynamicResources:
    name: ClassVar[str] = "DynamicResources"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((
        ClusterEvent.RESOURCE_CLAIM, ClusterEvent.POD_CLAIMS, ClusterEvent.DEVICE_CLASS, ClusterEvent.RESOURCE_SLICE,
        ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS,
    ))

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._handle = handle
        self._claims = Claims(handle.listen(RESOURCE_CLAIMS, ClusterEvent.RESOURCE_CLAIM))
        self._classes = handle.listen(DEVICE_CLASSES, ClusterEvent.DEVICE_CLASS)
        self._slices = handle.listen(RESOURCE_SLICES, ClusterEvent.RESOURCE_SLICE)
        self._rules = handle.listen(DEVICE_TAINT_RULES, ClusterEvent.RESOURCE_SLICE)
        self._filter_s = parse_go_duration(arguments.get("filterTimeout", "10s")).total_seconds()
        self._binding_s = parse_go_duration(arguments.get("bindingTimeout", "600s")).total_seconds()
        self._pools = _Pools(None, (), Selectors(), {})

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        if not pod.spec.get("resourceClaims"):
            return None
        try:
            list(self._of(pod))
        except _Unready as error:
            return unresolvable(str(error))
        return None

    def hint(self, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        """The pod's own claims, and any that gives its devices back."""
        if event is ClusterEvent.POD_CLAIMS:
            return new is not None and new.uid == pod.uid
        if event is not ClusterEvent.RESOURCE_CLAIM:
            return True
        if old is not None and _allocation(old) is not None and (new is None or _allocation(new) is None):
            return True
        if new is None:
            return False
        try:
            own = any(uid_of(claim) == uid_of(new) for claim in self._of(pod))
        except _Unready:
            return False
        return own and (old is None or old.get("status") != new.get("status"))

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        if not pod.spec.get("resourceClaims"):
            return SKIP
        try:
            claims = list(self._of(pod))
            wanted = [self._wanted(claim) for claim in claims if not self._is_allocated(claim, pod)]
        except (_Unready, MissingClass) as error:
            return unresolvable(str(error))
        if not claims:
            return SKIP
        state[self.name] = _State(claims, wanted, self._inventory() if wanted else None)
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        known: _State = state[self.name]
        elsewhere = [
            claim for claim in known.claims
            if not _reaches(claim, node) or is_hopeless(claim, effects.now(), self._binding_s)
        ]
        if elsewhere:
            known.elsewhere |= {uid_of(claim): claim for claim in elsewhere}
            return _NOT_HERE
        if known.inventory is None:
            return None
        try:
            chosen = allocate(known.inventory, known.wanted, node, self._filter_s)
        except (SelectorError, CapacityError) as error:
            return unresolvable(str(error))
        except OutOfTime:
            return _OUT_OF_TIME
        if chosen is None:
            return _NOT_ENOUGH
        known.by_node[node.name] = [
            allocation(requests, devices, node.name) for requests, devices in zip(known.wanted, chosen, strict=True)
        ]
        return None

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Candidates) -> Status | None:
        known: _State | None = state.get(self.name)
        return None if known is not None and any(one.has_alternatives for one in known.wanted) else SKIP

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        """The nearer the front the alternatives that the node offers, the better (KEP-4816)."""
        known: _State | None = state.get(self.name)
        if known is None or node.name not in known.by_node:
            return 0
        found = zip(known.wanted, known.by_node[node.name], strict=True)
        return sum(requests.worth(chosen) for requests, chosen in found)

    def normalize(self, state: CycleState, pod: PodInfo, nodes: Candidates, scores: list[int]) -> None:
        scores[:] = scaled_to_max(np.array(scores, np.int64), reverse=False).tolist()

    def post_filter(self, state: CycleState, pod: PodInfo, verdicts: Verdicts) -> PostFilterResult:
        """A claim that nobody uses, and that is allocated where the pod cannot be, gives its devices back."""
        known: _State | None = state.get(self.name)
        for claim in known.elsewhere.values() if known is not None else ():
            users = dig(claim, "status", "reservedFor") or ()
            if not users or [user.get("uid") for user in users] == [pod.uid]:
                self._handle.background(self._free(claim))
                return PostFilterResult("", "deallocation of ResourceClaim completed")
        return PostFilterResult("", "still not schedulable" if known is not None else "no new claims to deallocate")

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        known: _State | None = state.get(self.name)
        if known is None or not known.wanted:
            return None
        for requests, result in zip(known.wanted, known.by_node[node_name], strict=True):
            claim = requests.claim
            pending = {**claim, "status": {**(claim.get("status") or {}), "allocation": result}}
            known.pending.append(pending)
            self._claims.pend(pending)
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        known: _State | None = state.get(self.name)
        for claim in known.pending if known is not None else ():
            self._claims.restore(claim)

    def pre_bind_pre_flight(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        return None if self.name in state else SKIP

    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        known: _State | None = state.get(self.name)
        if known is None or self._handle.client is None:
            return None
        pending = {uid_of(claim): claim for claim in known.pending}
        for claim in known.claims:
            if _is_reserved(claim, pod):
                continue
            try:
                await self._bind(pending.get(uid_of(claim), claim), pod)
            except errors.APIError as error:  # most likely somebody changed the claim: look again after a back-off
                return Status(Code.ERROR, (f"claim {key_of(claim)}: {error}",))
        try:
            await self._wait_for_devices([key_of(claim) for claim in known.claims], pod, node_name)
        except BindingFailed as error:
            return Status(Code.ERROR, (str(error),))
        return None

    async def _wait_for_devices(self, keys: Sequence[str], pod: PodInfo, node_name: str) -> None:
        """Until all conditions are true. Raises BindingFailed."""
        told = False
        while True:
            claims = [claim for key in keys if (claim := self._claims.get(key)) is not None]
            if len(claims) < len(keys):
                raise BindingFailed("a claim was deleted meanwhile")
            waiting = [claim for claim in claims if not is_ready(claim)]
            if not waiting:
                return
            late = [claim for claim in waiting if is_overdue(claim, effects.now(), self._binding_s)]
            if late:
                raise BindingFailed(f"claim {name_of(late[0])} binding timeout")
            if not told:
                told = True
                message = f"waiting for binding conditions for device on node {node_name}"
                self._handle.record(pod.reference, NORMAL, "BindingConditionsPending", message)
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _bind(self, claim: Object, pod: PodInfo) -> None:
        """Write the claim's allocation, if it is new, and that the pod uses it."""
        client = self._handle.client
        assert client is not None, "pre_bind has looked"
        status = claim.get("status") or {}
        finalizers = meta(claim).get("finalizers") or []
        if PROTECTION not in finalizers:
            changed = {**claim, "metadata": {**meta(claim), "finalizers": [*finalizers, PROTECTION]}}
            claim = await client.update(RESOURCE_CLAIMS, changed)
        user = {"resource": "pods", "name": pod.name, "uid": pod.uid}
        used = {**status, "reservedFor": [*(status.get("reservedFor") or ()), user]}
        self._claims.answered(await client.update(RESOURCE_CLAIMS, {**claim, "status": used}, subresource="status"))

    async def _free(self, claim: Object) -> None:
        client = self._handle.client
        assert client is not None, "a scheduler without a client decides nothing"
        kept = {key: value for key, value in claim["status"].items() if key not in _OF_ALLOCATION}
        try:
            await client.update(RESOURCE_CLAIMS, {**claim, "status": kept}, subresource="status")
        except (errors.Conflict, errors.NotFound):
            return  # somebody uses it now, or it is gone: what that changes comes as an event

    def _of(self, pod: PodInfo) -> Iterator[Object]:
        """The pod's claims. Raises _Unready if one is not there yet, goes, or is another pod's."""
        statuses = {one.get("name"): one for one in dig(pod.obj or {}, "status", "resourceClaimStatuses") or ()}
        for reference in pod.spec.get("resourceClaims") or ():
            name, made = reference.get("resourceClaimName"), reference.get("resourceClaimTemplateName") is not None
            if made:
                status = statuses.get(reference["name"])
                if status is None:
                    raise _Unready(f'pod "{pod.key}": ResourceClaim not created yet')
                name = status.get("resourceClaimName")
                if name is None:
                    continue  # made for nobody, on purpose
            claim = self._claims.get(f"{pod.namespace}/{name}")
            if claim is None:
                raise _Unready(f'resourceclaim.resource.k8s.io "{name}" not found')
            if is_being_deleted(claim):
                raise _Unready(f'resourceclaim "{name}" is being deleted')
            if made and (controller_of(claim) or {}).get("uid") != pod.uid:
                raise _Unready(f"ResourceClaim {key_of(claim)} was not created for pod {pod.key} (pod is not owner)")
            yield claim

    def _is_allocated(self, claim: Object, pod: PodInfo) -> bool:
        """Whether it has its devices already. Raises _Unready if the pod has to wait for it."""
        if _allocation(claim) is not None:
            if not _is_reserved(claim, pod) and (device := self._spoiled(claim)):
                raise _Unready(f"resource claim {key_of(claim)}: device {'/'.join(device)} has an untolerated taint")
            if len(dig(claim, "status", "reservedFor") or ()) >= _MOST_USERS and not _is_reserved(claim, pod):
                raise _Unready("resourceclaim in use")
            return True
        if self._claims.is_pending(claim):
            raise _Unready(f"resource claim {key_of(claim)} is in the process of being allocated")
        return False

    def _spoiled(self, claim: Object) -> DeviceID | None:
        """A device of the claim that was tainted after its allocation, so that no more pods may use it."""
        bad = self._known_pools().expelling
        for result in dig(claim, "status", "allocation", "devices", "results") or () if bad else ():
            device = (str(result["driver"]), str(result["pool"]), str(result["device"]))
            if any(not tolerated(taint, result.get("tolerations") or ()) for taint in bad.get(device, ())):
                return device
        return None

    def _wanted(self, claim: Object) -> ClaimRequests:
        return requests_of(claim, self._classes.get)

    def _inventory(self) -> Inventory:
        known, (alone, consumed) = self._known_pools(), self._claims.taken()
        return Inventory(known.pools, alone, known.selectors, consumed)

    def _known_pools(self) -> _Pools:
        """What is known of the ResourceSlices and DeviceTaintRules as they are now."""
        slices, rules = self._slices.list(), self._rules.list()
        key = tuple((name_of(one), resource_version_of(one)) for one in (*slices, *rules))
        if self._pools.key != key:
            pools = pools_of(slices, rules)
            expelling = {
                device.id: bad for pool in pools for device in pool.devices
                if (bad := tuple(taint for taint in device.taints if taint.get("effect") == "NoExecute"))
            }
            self._pools = _Pools(key, pools, Selectors(), expelling)
        return self._pools


def _allocation(claim: Object) -> Object | None:
    found: Object | None = dig(claim, "status", "allocation")
    return found


def _is_reserved(claim: Object, pod: PodInfo) -> bool:
    return any(user.get("uid") == pod.uid for user in dig(claim, "status", "reservedFor") or ())


def _reaches(claim: Object, node: NodeInfo) -> bool:
    """Whether the devices that the claim has, if it has any, can be reached from the node."""
    selector = (_allocation(claim) or {}).get("nodeSelector")
    return selector is None or node_selector.of_document(selector).matches(node.name, node.labels)
