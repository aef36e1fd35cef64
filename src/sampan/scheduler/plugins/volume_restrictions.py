"""VolumeRestrictions: a volume that only one pod, or only one writer, may have is not given to a second.

A claim with the access mode ReadWriteOncePod belongs to one pod in the whole cluster (KEP-2485). Disks that a pod names
itself, without a claim, can be shared on a node only as far as their kind allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from sampan.apimachinery.object import Object, dig
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.framework.status import SKIP, Status, unresolvable, unschedulable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_claims import claims_of
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

_NO_DISK = unschedulable("node(s) had no available disk")
_IN_USE = unschedulable(
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
)


@dataclass(slots=True)
class _Exclusive:
    """Claims for one pod alone that the pod has, and how many pods have them already."""

    claims: frozenset[str]
    users: int

    def copy(self) -> _Exclusive:
        return replace(self)


class VolumeRestrictions:
    name: ClassVar[str] = "VolumeRestrictions"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset(
        (ClusterEvent.POD_FREED, ClusterEvent.NODE_ADDED, ClusterEvent.CLAIM)
    )

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._handle = handle

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        exclusive = set()
        for claim in claims_of(pod):
            if claim.ephemeral:
                continue  # it is the pod's own
            found = self._handle.storage.claim(pod.namespace, claim.name)
            if found is None:
                return unresolvable(f'persistentvolumeclaim "{claim.name}" not found')
            if "ReadWriteOncePod" in (dig(found, "spec", "accessModes") or ()):
                exclusive.add(claim.name)
        if not exclusive and not _disks(pod):
            return SKIP
        users = sum(snapshot.claim_users.get(f"{pod.namespace}/{name}", 0) for name in exclusive)
        state[self.name] = _Exclusive(frozenset(exclusive), users)
        return None

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None:
        state[self.name].users += self._shared(state, pod, added)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None:
        state[self.name].users -= self._shared(state, pod, removed)

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        disks = _disks(pod)
        if disks and any(_conflict(disks, _disks(other)) for other in node.pods.values()):
            return _NO_DISK
        return _IN_USE if state[self.name].users else None

    def _shared(self, state: CycleState, pod: PodInfo, other: PodInfo) -> int:
        """How many of the pod's exclusive claims the other one has, too."""
        if pod.namespace != other.namespace:
            return 0
        exclusive: _Exclusive = state[self.name]
        return sum(claim.name in exclusive.claims for claim in claims_of(other))

    def hint(self, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        """Of pods that go, one that shares a claim or has a disk of its own."""
        if event is not ClusterEvent.POD_FREED:
            return True
        wanted = {claim.name for claim in claims_of(pod)}
        shares = pod.namespace == old.namespace and any(claim.name in wanted for claim in claims_of(old))
        return shares or bool(_disks(pod) and _disks(old))


@dataclass(frozen=True, slots=True)
class _Disk:
    """A disk by its kind and identity. Read-only users of a shareable kind get along."""

    kind: str
    identity: tuple[str, ...]
    read_only: bool


def _disks(pod: PodInfo) -> Sequence[_Disk]:
    return [disk for volume in pod.signature.volumes if (disk := _disk(volume)) is not None]


def _disk(volume: Object) -> _Disk | None:
    if source := volume.get("gcePersistentDisk"):
        return _Disk("gce", (str(source.get("pdName")),), bool(source.get("readOnly")))
    if source := volume.get("awsElasticBlockStore"):
        return _Disk("aws", (str(source.get("volumeID")),), False)
    if source := volume.get("iscsi"):
        return _Disk("iscsi", (str(source.get("iqn")),), bool(source.get("readOnly")))
    if source := volume.get("rbd"):
        image, pool = str(source.get("image")), str(source.get("pool") or "rbd")
        return _Disk("rbd", (pool, image, *sorted(source.get("monitors") or ())), bool(source.get("readOnly")))
    return None


def _conflict(mine: Sequence[_Disk], theirs: Sequence[_Disk]) -> bool:
    return any(one.kind == other.kind and not (one.read_only and other.read_only) and _same(one, other)
               for one in mine for other in theirs)


def _same(one: _Disk, other: _Disk) -> bool:
    if one.kind != "rbd":
        return one.identity == other.identity
    shares_monitor = not set(one.identity[2:]).isdisjoint(other.identity[2:])
    return shares_monitor and one.identity[:2] == other.identity[:2]
