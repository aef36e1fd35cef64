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
    NAMESPACE = "NamespaceChange"
    STORAGE = "StorageChange"
    """A volume, a claim or a storage class."""
    FLUSH = "UnschedulableTimeout"
    """The pod has waited so long that it is tried again whatever it waits for."""


def node_changes(old: Object, new: Object) -> frozenset[ClusterEvent]:
    """What of a node's change can matter to scheduling."""
    changes = set()
    old_spec, new_spec = old.get("spec") or {}, new.get("spec") or {}
    old_status, new_status = old.get("status") or {}, new.get("status") or {}
    if old_status.get("allocatable") != new_status.get("allocatable"):
        changes.add(ClusterEvent.NODE_ALLOCATABLE)
    if labels_of(old) != labels_of(new):
        changes.add(ClusterEvent.NODE_LABELS)
    if any(old_spec.get(field) != new_spec.get(field) for field in ("taints", "unschedulable")):
        changes.add(ClusterEvent.NODE_TAINTS)
    if _conditions(old_status) != _conditions(new_status):
        changes.add(ClusterEvent.NODE_CONDITIONS)
    return frozenset(changes)


def _conditions(status: Object) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in status.get("conditions") or []}
