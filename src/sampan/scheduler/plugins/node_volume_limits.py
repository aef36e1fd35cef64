"""NodeVolumeLimits: no more volumes of a CSI driver on a node than the driver says it can attach there.

The limit is `spec.drivers[].allocatable.count` of the node's CSINode; a driver that says nothing has none. Volumes
count once per node, however many pods share them. A claim that is still to be provisioned counts by its class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeAlias

from sampan.api.core.volume_matching import class_of
from sampan.api.resources import CSI_NODES, VOLUME_ATTACHMENTS
from sampan.apimachinery.object import Object, dig
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.framework.status import SKIP, Status, unschedulable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_claims import claims_of
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

_FULL = unschedulable("node(s) exceed max volume count")

_Volume: TypeAlias = tuple[str, str]
"""Driver and volume handle."""


class NodeVolumeLimits:
    name: ClassVar[str] = "NodeVolumeLimits"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset(
        (
            ClusterEvent.CSI_NODE, ClusterEvent.POD_FREED, ClusterEvent.CLAIM, ClusterEvent.VOLUME_ATTACHMENT,
            ClusterEvent.NODE_ADDED,
        )
    )

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._handle = handle
        self._nodes = handle.listen(CSI_NODES, ClusterEvent.CSI_NODE)
        self._attachments = handle.listen(VOLUME_ATTACHMENTS, ClusterEvent.VOLUME_ATTACHMENT)

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        volumes = self._volumes(pod)
        if not volumes:
            return SKIP
        state[self.name] = volumes, self._attached()
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        limits = _limits(self._nodes.get(node.name))
        volumes, attached = state[self.name]
        if not any(driver in limits for driver, _ in volumes):
            return None
        present = {volume for other in node.pods.values() for volume in self._volumes(other)}
        present |= attached.get(node.name, set())
        used = Counter(driver for driver, _ in present)
        new = Counter(driver for driver, _ in volumes - present)
        if any(driver in limits and used[driver] + count > limits[driver] for driver, count in new.items()):
            return _FULL
        return None

    def hint(self, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        """Of pods that go, only one with volumes."""
        return event is not ClusterEvent.POD_FREED or bool(old.signature.volumes)

    def _volumes(self, pod: PodInfo) -> frozenset[_Volume]:
        found = (self._volume(pod.namespace, claim.name) for claim in claims_of(pod))
        return frozenset(volume for volume in found if volume is not None)

    def _volume(self, namespace: str, name: str) -> _Volume | None:
        storage = self._handle.storage
        claim = storage.claim(namespace, name)
        if claim is None:
            return None
        volume = storage.volume(dig(claim, "spec", "volumeName") or "")
        if volume is not None:
            return _csi(volume)
        found = storage.storage_class(class_of(claim))
        return None if found is None else (str(found.get("provisioner")), f"to be provisioned for {namespace}/{name}")

    def _attached(self) -> dict[str, set[_Volume]]:
        """By node, what the attachments say is there, also of pods that are gone already."""
        found: dict[str, set[_Volume]] = {}
        for attachment in self._attachments.list():
            spec = attachment.get("spec") or {}
            name = dig(spec, "source", "persistentVolumeName")
            volume = self._handle.storage.volume(name) if name else None
            if volume is not None and (csi := _csi(volume)) is not None:
                found.setdefault(str(spec.get("nodeName")), set()).add(csi)
        return found


def _csi(volume: Object) -> _Volume | None:
    source = dig(volume, "spec", "csi")
    return None if source is None else (str(source.get("driver")), str(source.get("volumeHandle")))


def _limits(node: Object | None) -> dict[str, int]:
    """How many volumes each driver can attach."""
    drivers: Iterable[Object] = dig(node or {}, "spec", "drivers") or ()
    return {
        str(driver.get("name")): int(count)
        for driver in drivers if (count := dig(driver, "allocatable", "count")) is not None
    }
