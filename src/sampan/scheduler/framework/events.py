"""Changes of the cluster that may make an unschedulable pod schedulable. Plugins name those that concern them."""

from __future__ import annotations

import enum

from sampan.apimachinery.object import Object, labels_of


class ClusterEvent(enum.Enum):
    NODE_ADDED = "NodeAdd"
    NODE_ALLOCATABLE = "NodeAllocatableChange"
    NODE_LABELS = "NodeLabelChange"
    NODE_TAINTS = "NodeTaintChange"
    NODE_CONDITIONS = "NodeConditionChange"
    NODE_DELETED = "NodeDelete"
    POD_PLACED = "AssignedPodAdd"
    POD_LABELS = "AssignedPodLabelChange"
    POD_FREED = "AssignedPodDelete"
    POD_SCALED_DOWN = "AssignedPodScaleDown"
    POD_WAITING = "UnscheduledPodAdd"
    """A pod that is to be placed has appeared or changed; for plugins that place pods together."""
    POD_CLAIMS = "PodGeneratedResourceClaimChange"
    """A claim was made for a pod that waits."""
    NAMESPACE = "NamespaceChange"
    CLAIM = "PersistentVolumeClaimChange"
    VOLUME = "PersistentVolumeChange"
    STORAGE_CLASS = "StorageClassChange"
    CSI_NODE = "CSINodeChange"
    CSI_DRIVER = "CSIDriverChange"
    CSI_CAPACITY = "CSIStorageCapacityChange"
    VOLUME_ATTACHMENT = "VolumeAttachmentChange"
    RESOURCE_CLAIM = "ResourceClaimChange"
    RESOURCE_SLICE = "ResourceSliceChange"
    DEVICE_CLASS = "DeviceClassChange"
    WORKLOAD = "WorkloadChange"
    CUSTOM = "CustomResourceChange"
    """Of a resource that a plugin listens to by itself."""


def node_changes(old: Object, new: Object) -> list[ClusterEvent]:
    """What of a node's change can matter to scheduling."""
    changes = []
    old_spec, new_spec = old.get("spec") or {}, new.get("spec") or {}
    old_status, new_status = old.get("status") or {}, new.get("status") or {}
    if old_status.get("allocatable") != new_status.get("allocatable"):
        changes.append(ClusterEvent.NODE_ALLOCATABLE)
    if _conditions(old_status) != _conditions(new_status):
        changes.append(ClusterEvent.NODE_CONDITIONS)
    if labels_of(old) != labels_of(new):
        changes.append(ClusterEvent.NODE_LABELS)
    if any(old_spec.get(field) != new_spec.get(field) for field in ("taints", "unschedulable")):
        changes.append(ClusterEvent.NODE_TAINTS)
    return changes


def _conditions(status: Object) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in status.get("conditions") or []}
