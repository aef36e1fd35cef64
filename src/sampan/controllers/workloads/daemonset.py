"""DaemonSet: one pod on every node that the template selects and whose taints it tolerates.

Observed: the set, its pods, all nodes, its ControllerRevisions. Desired: one available pod of the present template for
each node that fits (`daemonset_pods` knows where one belongs and how it is made).

A node that should have the pod and has none gets one; one that should not loses it; a failed or finished pod is
replaced, a failed one on each node later and later (a second, doubling up to 15 minutes, `daemonset_patience`), so
that the loop does not fight with a kubelet that refuses them. When the template changes, RollingUpdate replaces old
pods while at most `maxUnavailable` nodes lack an available one, or first adds new ones on at most `maxSurge` nodes
(`daemonset_rollout`); OnDelete waits until someone deletes the old pods. The status follows also where a write failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sampan import effects
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
from sampan.controllers import times
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
from sampan.controllers.workloads.daemonset_patience import Patience
from sampan.controllers.workloads.daemonset_pods import (
    by_node,
    deletion,
    is_updated,
    new_pod,
    pod_spec_of,
    should_run,
    target_node,
)
from sampan.controllers.workloads.daemonset_rollout import Budget, NodePods, next_replacements
from sampan.controllers.workloads.revision_history import HASH_LABEL, History, history_of, revision_hash, surplus
from sampan.reconcile.controller import Wiring, owner_key
from sampan.reconcile.plan import NOTHING, Delete, Note, Outcome, Parallel, Patch, Plan, Step, Update

BURST = 250


@dataclass(frozen=True, slots=True)
class Observed:
    """A DaemonSet, the pods that are or may become its own, every node by name, and its revisions."""

    daemon_set: Object
    pods: tuple[Object, ...]
    nodes: Mapping[str, Object]
    revisions: tuple[Object, ...] = ()
    waits: Mapping[str, float] = field(default_factory=dict)
    """Nodes whose failed pods must not be replaced yet, and for how many seconds."""


def plan(observed: Observed, now: datetime) -> Plan:
    """What to create and delete so that each node has what it should."""
    owner = observed.daemon_set
    selector = selectors.from_document(dig(owner, "spec", "selector"))
    if selector.selects_everything:
        text = "This daemon set is selecting all pods. A non-empty selector is required."
        return Plan(notes=(Note(owner, WARNING, "SelectingAll", text),))
    if is_being_deleted(owner):
        return NOTHING  # its revisions may be gone before its pods: nothing true could be said of it
    claimed = claim(owner, DAEMON_SETS, PODS, observed.pods, selector.matches)
    history = history_of(owner, DAEMON_SETS, observed.revisions)
    pods, renamed, doubles = _merged(history, claimed.objects)
    work = _Work(observed, pods, history.hash, now)
    work.tend()
    work.roll()
    in_use = frozenset(labels_of(pod).get(HASH_LABEL, "") for pod in pods)
    limit = int(dig(owner, "spec", "revisionHistoryLimit", default=10))
    forgotten = (*doubles, *surplus(history.old, in_use, limit, counts_used=True))
    steps = (*claimed.steps, *history.steps, *renamed, *work.writes(), *forgotten)

    def report(outcome: Outcome) -> tuple[Step, ...]:
        status = status_of(owner, work.runs, work.on_node, history.hash, now)
        if status == (owner.get("status") or {}):
            return ()
        return (Update(DAEMON_SETS, {**owner, "status": status}, subresource="status"),)

    return Plan(steps, tuple(work.notes), work.look_again_s(), report)


class _Work:
    """A DaemonSet's pods and nodes at one moment, and what is to be done about them."""

    def __init__(self, observed: Observed, pods: Sequence[Object], digest: str, now: datetime) -> None:
        self._owner, self._waits, self._digest, self._now = observed.daemon_set, observed.waits, digest, now
        self._pods, self._nodes = pods, observed.nodes
        self._min_ready_s = int(dig(self._owner, "spec", "minReadySeconds", default=0))
        self._spec = pod_spec_of(self._owner)
        placement = {name: should_run(self._spec, node) for name, node in sorted(observed.nodes.items())}
        self.runs = {name: run for name, (run, _) in placement.items()}
        """Of each node, whether it should have a pod."""
        self._stays = {name: stay for name, (_, stay) in placement.items()}
        self.on_node = by_node(pods)
        self._budget = Budget.of(self._owner, sum(self.runs.values()))
        self._creations: list[str] = []
        self._deletions: list[Object] = []
        self.notes: list[Note] = []

    def tend(self) -> None:
        """Give every node its pod, and take those away that ended, that are too many, or that do not belong there."""
        for name, run in self.runs.items():
            pods = self.on_node.get(name, [])
            if run and not pods:
                self._creations.append(name)
            elif self._stays[name]:
                self._deletions += _ended(self._owner, pods, self.notes, wait=name in self._waits)
                self._deletions += self._doubles(pods)
            else:
                self._deletions += [pod for pod in pods if not is_being_deleted(pod)]
        for name, pods in sorted(self.on_node.items()):
            if name not in self._nodes:
                self._deletions += [
                    pod for pod in pods if not is_being_deleted(pod) and not dig(pod, "spec", "nodeName")
                ]

    def roll(self) -> None:
        """Replace some pods of an old template."""
        if not self._budget.rolls:
            return
        names = sorted({name for name, run in self.runs.items() if run} | self.on_node.keys())
        replaced = next_replacements([
            NodePods.of(name, self.runs.get(name, False), self.on_node.get(name, ()), self._updated, self._available)
            for name in names
        ], self._budget)
        self._deletions += [pod for pod in replaced.delete if pod not in self._deletions]
        self._creations += [name for name in replaced.create if name not in self._creations]

    def writes(self) -> list[Step]:
        steps: list[Step] = []
        if self._creations:
            creations = (new_pod(self._owner, self._spec, name, self._digest) for name in self._creations[:BURST])
            steps.append(Parallel(tuple(creations), slow_start=True))
        if self._deletions:
            steps.append(Parallel(tuple(deletion(self._owner, pod) for pod in self._deletions[:BURST])))
        return steps

    def look_again_s(self) -> float | None:
        """When a pod becomes available, or a failed one may be replaced, of which no event tells."""
        ready_s = self._min_ready_s
        moments = [at for pod in self._pods if ready_s and (at := available_at(pod, ready_s)) and at > self._now]
        waits = [times.seconds_until(moment, self._now) for moment in moments]
        waits += [self._waits[name] for name, pods in self.on_node.items() if name in self._waits and _failed(pods)]
        return min(waits, default=None)

    def _updated(self, pod: Object) -> bool:
        return is_updated(pod, self._owner, self._digest)

    def _available(self, pod: Object) -> bool:
        return is_available(pod, self._min_ready_s, self._now)

    def _doubles(self, pods: Sequence[Object]) -> list[Object]:
        """Pods that the node has too many of: all but the oldest; with surge, all but the oldest of each template.

        There, the old pod goes as soon as it is not ready, or the new one is available.
        """
        active = [pod for pod in pods if is_active(pod)]
        if not self._budget.surge:
            return active[1:]
        new = [pod for pod in active if self._updated(pod)]
        old = [pod for pod in active if not self._updated(pod)]
        finished = bool(new and old) and (not is_ready(old[0]) or self._available(new[0]))
        return new[1:] + (old if finished else old[1:])


def _merged(history: History, pods: Sequence[Object]) -> tuple[list[Object], list[Step], list[Step]]:
    """Pods of revisions that say the same as the current one become its own, and such revisions are deleted."""
    digests = {revision_hash(one) for one in history.doubles}
    merged: list[Object] = []
    renamed: list[Step] = []
    for pod in pods:
        if labels_of(pod).get(HASH_LABEL) in digests:
            patch = {"metadata": {"uid": uid_of(pod), "labels": {HASH_LABEL: history.hash}}}
            renamed.append(Patch(PODS, name_of(pod), namespace_of(pod), patch, "merge", missing_ok=True))
            pod = {**pod, "metadata": {**meta(pod), "labels": {**labels_of(pod), HASH_LABEL: history.hash}}}
        merged.append(pod)
    return merged, renamed, [
        Delete(CONTROLLER_REVISIONS, name_of(one), namespace_of(one), uid=uid_of(one)) for one in history.doubles
    ]


def _over(pods: Sequence[Object]) -> list[Object]:
    return [pod for pod in pods if is_finished(pod) and not is_being_deleted(pod)]


def _failed(pods: Sequence[Object]) -> list[Object]:
    return [pod for pod in pods if phase_of(pod) == "Failed" and not is_being_deleted(pod)]


def _ended(owner: Object, pods: Sequence[Object], notes: list[Note], *, wait: bool) -> list[Object]:
    """Failed and finished pods; failed ones not while they have to `wait`."""
    ended = [pod for pod in _over(pods) if not wait or phase_of(pod) != "Failed"]
    for pod in ended:
        where = f"daemon pod {namespace_of(pod)}/{name_of(pod)} on node {target_node(pod)}"
        if phase_of(pod) == "Failed":
            notes.append(Note(owner, WARNING, "FailedDaemonPod", f"Found failed {where}, will try to kill it"))
        else:
            notes.append(Note(owner, NORMAL, "SucceededDaemonPod", f"Found succeeded {where}, will try to delete it"))
    return ended


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
        updated += is_updated(pod, owner, digest)
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
        nodes_of_failed = {target_node(pod) for pod in _failed(pods)}
        template = f"{uid_of(owner)}/{dig(owner, 'status', 'observedGeneration', default=0)}"
        waits = self._patience.waits(key, template, nodes_of_failed, effects.monotonic())
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
