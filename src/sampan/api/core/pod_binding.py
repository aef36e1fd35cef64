"""Binding: give a pod its node. The API server's `binding` handler calls these inside a compare-and-swap.

`binding_conflict` says why a pod cannot be bound; `bind` does it: the node's name, the binding's annotations and
labels, and the condition PodScheduled.
"""

from __future__ import annotations

from sampan.apimachinery.field import FieldError, Path, not_supported, required
from sampan.apimachinery.object import Object, annotations_of, dig, is_being_deleted, labels_of, meta, name_of, uid_of


def validate_binding(binding: Object) -> list[FieldError]:
    """The target must be a node with a name."""
    target, path = binding.get("target") or {}, Path("target")
    errors: list[FieldError] = []
    if target.get("kind") not in (None, "", "Node"):
        errors.append(not_supported(path.child("kind"), target["kind"], ["Node", "<empty>"]))
    if not target.get("name"):
        errors.append(required(path.child("name")))
    return errors


def binding_conflict(pod: Object, binding: Object) -> str:
    """Why this pod cannot be bound now, in upstream's words; empty when it can."""
    wanted = dig(binding, "metadata", "uid")
    if wanted and wanted != uid_of(pod):
        return f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid_of(pod)}"
    if is_being_deleted(pod):
        return f"pod {name_of(pod)} is being deleted, cannot be assigned to a host"
    node = dig(pod, "spec", "nodeName")
    if node:
        return f'pod {name_of(pod)} is already assigned to node "{node}"'
    if dig(pod, "spec", "schedulingGates"):
        return f"pod {name_of(pod)} has non-empty .spec.schedulingGates"
    return ""


def bound(pod: Object, binding: Object, now: str) -> Object:
    """The pod with its node, promised to it no more; `now` is a Kubernetes timestamp for the condition."""
    metadata, annotations = meta(pod), annotations_of(binding)
    if labels_of(binding):
        metadata = {**metadata, "labels": {**labels_of(binding), **labels_of(pod)}}
    if annotations:
        metadata = {**metadata, "annotations": {**annotations_of(pod), **annotations}}
    status = {key: value for key, value in (pod.get("status") or {}).items() if key != "nominatedNodeName"}
    conditions = [entry for entry in status.get("conditions") or [] if entry.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    return {
        **pod, "metadata": metadata, "spec": {**(pod.get("spec") or {}), "nodeName": dig(binding, "target", "name")},
        "status": {**status, "conditions": [*conditions, scheduled]},
    }


