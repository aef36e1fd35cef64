"""DaemonSet: one pod on every node that the template selects and whose taints it tolerates.

Observed: the set, its pods, all nodes, its ControllerRevisions. Desired: one available pod of the present template for
each node that fits. Each pod is made for one node and says so in its node affinity; the scheduler puts it there. The
tolerations that let such pods run on troubled nodes are added to them.

A node that should have the pod and has none gets one; one that should not loses it; a failed or finished pod is
replaced, on each node later and later (a second, doubling up to 15 minutes) while its pods keep ending, so that the
loop does not fight with a kubelet that refuses them. When the template changes, RollingUpdate replaces old pods while
at most `maxUnavailable` nodes lack an available one, or first adds new ones on at most `maxSurge` nodes; OnDelete waits
until someone deletes the old pods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sampan import effects
from sampan.api.apps.daemonset import template_generation
from sampan.api.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from sampan.apimachinery import selectors
from sampan.apimachinery.object import (
    Object,
    controller_of,
    dig,
    is_being_deleted,
    key_of,
    labels_of,
    meta,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from sampan.client.events import NORMAL, WARNING
from sampan.controllers import node_fit, pod_template, taints, times
from sampan.controllers.daemonset_patience import Patience
from sampan.controllers.daemonset_rollout import Budget, NodePods, next_replacements
from sampan.controllers.ownership import claim
from sampan.controllers.pods import (
    available_at,
    index_by_owner,
    is_active,
    is_available,
    is_finished,
    is_ready,
    owned_or_orphaned,
    phase_of,
)
from sampan.controllers.revision_history import HASH_LABEL, history_of, surplus
from sampan.reconcile.controller import Wiring, owner_key
from sampan.reconcile.plan import NOTHING, Create, Delete, Note, Outcome, Parallel, Plan, Step, Update

BURST = 250
GENERATION_LABEL = "pod-template-generation"
NO_EXECUTE_TOLERATED = (taints.NOT_READY, taints.UNREACHABLE)
NO_SCHEDULE_TOLERATED = (
    "node.kubernetes.io/disk-pressure", "node.kubernetes.io/memory-pressure", "node.kubernetes.io/pid-pressure",
    taints.UNSCHEDULABLE,
)


@dataclass(frozen=True, slots=True)
class Observed:
    """A DaemonSet, the pods that are or may become its own, every node by name, and its revisions."""

    daemon_set: Object
    pods: tuple[Object, ...]
    nodes: Mapping[str, Object]
    revisions: tuple[Object, ...] = ()
    waits: Mapping[str, float] = field(default_factory=dict)
    """Nodes whose ended pods must not be replaced yet, and for how many seconds."""


def plan(observed: Observed, now: datetime) -> Plan:
    """What to create and delete so that each node has what it should."""
    owner = observed.daemon_set
    selector = selectors.from_document(dig(owner, "spec", "selector"))
    claimed = claim(owner, DAEMON_SETS, PODS, observed.pods, selector.matches)
    if is_being_deleted(owner):
        return NOTHING
    history = history_of(owner, DAEMON_SETS, observed.revisions)
    spec = pod_spec_of(owner)
    on_node = by_node(claimed.objects)
    creations: list[str] = []
    deletions: list[Object] = []
    notes: list[Note] = []
    nodes: list[NodePods] = []
    min_ready_s = int(dig(owner, "spec", "minReadySeconds", default=0))
    placement = {name: should_run(spec, node) for name, node in sorted(observed.nodes.items())}
    budget = Budget.of(owner, sum(run for run, _ in placement.values()))
    for name, (run, stay) in placement.items():
        pods = on_node.get(name, [])
        if run and not pods:
            creations.append(name)
        elif stay:
            deletions += _ended(owner, pods, notes) if name not in observed.waits else []
            deletions += _doubles(pods, history.hash, min_ready_s, now, surge=budget.surge > 0)
        else:
            deletions += [pod for pod in pods if not is_being_deleted(pod)]
        if run:
            nodes.append(NodePods.of(name, pods, history.hash, min_ready_s, now))
    for name, pods in sorted(on_node.items()):
        if name not in observed.nodes:
            deletions += [pod for pod in pods if not is_being_deleted(pod) and not dig(pod, "spec", "nodeName")]
    if budget.rolls:
        replaced = next_replacements(nodes, budget)
        deletions += [pod for pod in replaced.delete if pod not in deletions]
        creations += [name for name in replaced.create if name not in creations]
    steps = [*claimed.steps, *history.steps, *_writes(owner, spec, creations, deletions, history.hash)]
    in_use = frozenset(labels_of(pod).get(HASH_LABEL, "") for pod in claimed.objects)
    steps += surplus(history.old, in_use, int(dig(owner, "spec", "revisionHistoryLimit", default=10)))

    def report(outcome: Outcome) -> tuple[Step, ...]:
        status = status_of(owner, {name: run for name, (run, _) in placement.items()}, on_node, history.hash, now)
        if status == (owner.get("status") or {}):
            return ()
        return (Update(DAEMON_SETS, {**owner, "status": status}, subresource="status"),)

    moments = [at for pod in claimed.objects if (at := available_at(pod, min_ready_s)) and at > now]
    waits = [times.seconds_until(moment, now) for moment in moments]
    waits += [observed.waits[name] for name, pods in sorted(on_node.items()) if name in observed.waits and _over(pods)]
    return Plan(tuple(steps), tuple(notes), min(waits, default=None), report)


def pod_spec_of(owner: Object) -> Object:
    """The template's pod spec with the tolerations that every daemon pod has."""
    spec = dict(dig(owner, "spec", "template", "spec", default={}))
    added = [{"key": key, "operator": "Exists", "effect": taints.NO_EXECUTE} for key in NO_EXECUTE_TOLERATED]
    keys: tuple[str, ...] = NO_SCHEDULE_TOLERATED
    if spec.get("hostNetwork"):
        keys = (*keys, "node.kubernetes.io/network-unavailable")
    added += [{"key": key, "operator": "Exists", "effect": taints.NO_SCHEDULE} for key in keys]
    own: Sequence[Object] = spec.get("tolerations") or ()
    spec["tolerations"] = [*own, *(one for one in added if one not in own)]
    return spec


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
    """Pods by node: those that are on it, oldest first, before those that are to come."""

    def order(pod: Object) -> tuple[bool, str, str]:
        return not dig(pod, "spec", "nodeName"), meta(pod).get("creationTimestamp") or "", name_of(pod)

    found: dict[str, list[Object]] = {}
    for pod in sorted(pods, key=order):
        found.setdefault(target_node(pod), []).append(pod)
    return found


def _over(pods: Sequence[Object]) -> list[Object]:
    return [pod for pod in pods if is_finished(pod) and not is_being_deleted(pod)]


def _ended(owner: Object, pods: Sequence[Object], notes: list[Note]) -> list[Object]:
    """Failed and finished pods."""
    ended = _over(pods)
    for pod in ended:
        where = f"daemon pod {namespace_of(pod)}/{name_of(pod)} on node {target_node(pod)}"
        if phase_of(pod) == "Failed":
            notes.append(Note(owner, WARNING, "FailedDaemonPod", f"Found failed {where}, will try to kill it"))
        else:
            notes.append(Note(owner, NORMAL, "SucceededDaemonPod", f"Found succeeded {where}, will try to delete it"))
    return ended


def _doubles(
    pods: Sequence[Object], digest: str, min_ready_s: int, now: datetime, *, surge: bool
) -> list[Object]:
    """Pods that the node has too many of: all but the oldest; with surge, all but the oldest of each template.

    There, the old pod goes as soon as it is not ready, or the new one is available.
    """
    active = [pod for pod in pods if is_active(pod)]
    if not surge:
        return active[1:]
    new = [pod for pod in active if labels_of(pod).get(HASH_LABEL) == digest]
    old = [pod for pod in active if pod not in new]
    finished = bool(new and old) and (not is_ready(old[0]) or is_available(new[0], min_ready_s, now))
    return new[1:] + (old if finished else old[1:])


def _writes(
    owner: Object, spec: Object, creations: Sequence[str], deletions: Sequence[Object], digest: str
) -> list[Step]:
    steps: list[Step] = []
    if creations:
        writes = tuple(_create(owner, spec, name, digest) for name in creations[:BURST])
        steps.append(Parallel(writes, slow_start=True))
    if deletions:
        steps.append(Parallel(tuple(_delete(owner, pod) for pod in deletions[:BURST])))
    return steps


def _create(owner: Object, spec: Object, node: str, digest: str) -> Create:
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


def _delete(owner: Object, pod: Object) -> Delete:
    return Delete(
        PODS, name_of(pod), namespace_of(pod), uid=uid_of(pod),
        deleted=Note(owner, NORMAL, "SuccessfulDelete", "Deleted pod: {name}"),
        failed=Note(owner, WARNING, "FailedDelete", "Error deleting: {error}"),
    )


def status_of(
    owner: Object, nodes: Mapping[str, bool], on_node: Mapping[str, Sequence[Object]], digest: str, now: datetime
) -> Object:
    """The set's status. `nodes` says of each whether it should have a pod.

    Of a node's pods the oldest counts: an update is not through while an old one is there.
    """
    min_ready_s = int(dig(owner, "spec", "minReadySeconds", default=0))
    desired = current = misplaced = ready = available = updated = 0
    for name, should_have in nodes.items():
        pods = on_node.get(name, ())
        if not should_have:
            misplaced += bool(pods)
            continue
        desired += 1
        if not pods:
            continue
        pod = pods[0]
        current += 1
        ready += is_ready(pod)
        available += is_available(pod, min_ready_s, now)
        updated += labels_of(pod).get(HASH_LABEL) == digest
    status: Object = {
        "currentNumberScheduled": current, "numberMisscheduled": misplaced, "desiredNumberScheduled": desired,
        "numberReady": ready, "observedGeneration": meta(owner).get("generation", 0),
    }
    more = {"updatedNumberScheduled": updated, "numberAvailable": available, "numberUnavailable": desired - available}
    status |= {key: count for key, count in more.items() if count}
    for kept in ("collisionCount", "conditions"):  # conditions are somebody else's
        if (found := dig(owner, "status", kept)) is not None:
            status[kept] = found
    return status


def _placement(node: Object) -> object:
    """What of a node decides on which pods belong there."""
    return meta(node).get("uid"), labels_of(node), dig(node, "spec", "taints"), dig(node, "spec", "unschedulable")


class DaemonSetReconciler:
    """Keys are DaemonSets; a node that comes, goes or changes its labels or taints concerns all of them."""

    def __init__(self, wiring: Wiring) -> None:
        self._sets = wiring.watch(DAEMON_SETS)
        self._pods = wiring.watch(PODS, self._concerned)
        index_by_owner(self._pods)
        self._nodes = wiring.watch(NODES, lambda node: sorted(key_of(one) for one in self._sets.list()), _placement)
        self._revisions = wiring.watch(CONTROLLER_REVISIONS, owner_key("DaemonSet", "apps"))
        index_by_owner(self._revisions)
        self._patience = Patience()

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        owner = self._sets.get(name, namespace)
        if owner is None:
            self._patience.forget(key)
            return NOTHING
        pods = tuple(sorted(owned_or_orphaned(self._pods, owner), key=key_of))
        revisions = tuple(sorted(owned_or_orphaned(self._revisions, owner), key=key_of))
        nodes = {name_of(node): node for node in self._nodes.list()}
        waits = self._patience.waits(key, {target_node(pod) for pod in pods if _over([pod])}, effects.monotonic())
        return plan(Observed(owner, pods, nodes, revisions, waits), effects.now())

    def _concerned(self, pod: Object) -> list[str]:
        namespace, controller = namespace_of(pod), controller_of(pod)
        if controller is not None:
            return [f"{namespace}/{controller['name']}"] if controller.get("kind") == DAEMON_SETS.kind else []
        labels = labels_of(pod)
        return [
            key_of(one) for one in self._sets.list(namespace)
            if selectors.from_document(dig(one, "spec", "selector")).matches(labels)
        ]
