"""The pods of a DaemonSet: where they belong, which node each is for, how one is made, whether it is of the present
template.

Each pod is made for one node and says so in its node affinity; the scheduler puts it there. Tolerations that let such
pods run on troubled nodes are added to the template's; they replace those that tolerate the same for a time only.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.apps.daemonset import template_generation
from sampan.api.resources import PODS
from sampan.apimachinery.object import Object, dig, is_being_deleted, labels_of, meta, name_of, namespace_of, uid_of
from sampan.client.events import NORMAL, WARNING
from sampan.controllers import taints
from sampan.controllers.pods import is_finished
from sampan.controllers.workloads import node_fit, pod_template
from sampan.controllers.workloads.revision_history import HASH_LABEL
from sampan.reconcile.plan import Create, Delete, Note

GENERATION_LABEL = "pod-template-generation"
NO_EXECUTE_TOLERATED = (taints.NOT_READY, taints.UNREACHABLE)
NO_SCHEDULE_TOLERATED = (
    "node.kubernetes.io/disk-pressure", "node.kubernetes.io/memory-pressure", "node.kubernetes.io/pid-pressure",
    taints.UNSCHEDULABLE,
)
_ON_HOST_NETWORK = "node.kubernetes.io/network-unavailable"
_WHAT_IS_TOLERATED = ("key", "operator", "effect", "value")


def pod_spec_of(owner: Object) -> Object:
    """The template's pod spec with the tolerations that every daemon pod has."""
    spec = dict(dig(owner, "spec", "template", "spec", default={}))
    keys = (*NO_SCHEDULE_TOLERATED, _ON_HOST_NETWORK) if spec.get("hostNetwork") else NO_SCHEDULE_TOLERATED
    added = [{"key": key, "operator": "Exists", "effect": taints.NO_EXECUTE} for key in NO_EXECUTE_TOLERATED]
    added += [{"key": key, "operator": "Exists", "effect": taints.NO_SCHEDULE} for key in keys]
    own: Sequence[Object] = spec.get("tolerations") or ()
    spec["tolerations"] = [one for one in own if not any(_same(one, other) for other in added)] + added
    return spec


def _same(a: Object, b: Object) -> bool:
    """Whether both tolerate the same taint, for however long."""
    return all((a.get(key) or "") == (b.get(key) or "") for key in _WHAT_IS_TOLERATED)


def should_run(spec: Object, node: Object) -> tuple[bool, bool]:
    """Whether a pod should be put on the node, and whether one that is there may stay."""
    if not node_fit.selects_node(spec, node):
        return False, False
    tolerations = spec["tolerations"]
    stay = node_fit.tolerates_node(tolerations, node, taints.NO_EXECUTE)
    return stay and node_fit.tolerates_node(tolerations, node, taints.NO_SCHEDULE), stay


def target_node(pod: Object) -> str:
    """The node that a daemon pod is on, or was made for."""
    name = dig(pod, "spec", "nodeName")
    if name:
        return str(name)
    terms = dig(
        pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution",
        "nodeSelectorTerms", default=(),
    )
    for term in terms:
        for one in term.get("matchFields") or ():
            if one.get("key") == "metadata.name" and one.get("values"):
                return str(one["values"][0])
    return ""


def by_node(pods: Sequence[Object]) -> dict[str, list[Object]]:
    """Pods by node: those that are on it, oldest first, before those that are to come.

    Without those that have ended and are being deleted: nothing more comes of them, and they keep no place.
    """

    def order(pod: Object) -> tuple[bool, str, str]:
        return not dig(pod, "spec", "nodeName"), meta(pod).get("creationTimestamp") or "", name_of(pod)

    found: dict[str, list[Object]] = {}
    for pod in sorted(pods, key=order):
        if not (is_finished(pod) and is_being_deleted(pod)):
            found.setdefault(target_node(pod), []).append(pod)
    return found


def is_updated(pod: Object, owner: Object, digest: str) -> bool:
    """Whether the pod is of the template with this hash: by the hash, or by the template's number that it has."""
    labels = labels_of(pod)
    if labels.get(HASH_LABEL) == digest:
        return True
    generation = template_generation(owner)
    return generation > 0 and labels.get(GENERATION_LABEL) == str(generation)


def new_pod(owner: Object, spec: Object, node: str, digest: str) -> Create:
    """A pod for the node. `spec`: as `pod_spec_of` has it."""
    pod = pod_template.pod_from({**dig(owner, "spec", "template", default={}), "spec": spec}, owner)
    generation = str(template_generation(owner) or meta(owner).get("generation", 0))
    labels = {**(pod["metadata"].get("labels") or {}), HASH_LABEL: digest, GENERATION_LABEL: generation}
    affinity = dict(spec.get("affinity") or {})
    by_name = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity["nodeAffinity"] = {
        **(affinity.get("nodeAffinity") or {}),
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [by_name]}]},
    }
    pod = {**pod, "metadata": {**pod["metadata"], "labels": labels}, "spec": {**spec, "affinity": affinity}}
    return Create(
        PODS, pod,
        created=Note(owner, NORMAL, "SuccessfulCreate", "Created pod: {name}"),
        failed=Note(owner, WARNING, "FailedCreate", "Error creating: {error}"),
    )


def deletion(owner: Object, pod: Object) -> Delete:
    return Delete(
        PODS, name_of(pod), namespace_of(pod), uid=uid_of(pod),
        deleted=Note(owner, NORMAL, "SuccessfulDelete", "Deleted pod: {name}"),
        failed=Note(owner, WARNING, "FailedDelete", "Error deleting: {error}"),
    )
