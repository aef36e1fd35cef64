"""ReplicaSet (and ReplicationController): as many pods of one template as asked for.

Observed: the set and its pods, that is those with its controller reference, and those that nobody controls and its
selector matches (adopted first). Desired: `spec.replicas` active pods. Too few: create the missing ones, at most 500 at
a time, in slow-start batches. Too many: delete, least useful first (see `pods.deletion_order`). A pod that failed or is
being deleted counts as gone at once. The status tells what is there, and a ReplicaFailure condition why pods cannot be
made or deleted; of a ReplicaSet it tells too how many of its pods are still on their way out.

Guarantee: with `Expectations` in front of it, it never creates a pod that it has created before and not yet seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sampan import effects
from sampan.api.resources import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
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
from sampan.apimachinery.resource import Resource
from sampan.client.events import NORMAL, WARNING
from sampan.controllers import conditions, times
from sampan.controllers.conditions import Condition
from sampan.controllers.ownership import claim, is_controlled_by
from sampan.controllers.pods import (
    BY_OWNER,
    available_at,
    deletion_order,
    index_by_owner,
    is_active,
    is_available,
    is_finished,
    is_ready,
    owned,
    owned_or_orphaned,
)
from sampan.controllers.workloads import pod_template
from sampan.reconcile.controller import Wiring
from sampan.reconcile.measures import Spread, exponential
from sampan.reconcile.plan import NOTHING, Create, Delete, Note, Outcome, Parallel, Patch, Plan, Step, Update

BURST = 500
REPLICA_FAILURE = "ReplicaFailure"
ALL_WELL = Outcome()


@dataclass(frozen=True, slots=True)
class Flavour:
    """What differs between the two kinds."""

    resource: Resource
    selector: Callable[[Object], selectors.Selector]
    tells_terminating: bool = False


REPLICA_SET = Flavour(REPLICA_SETS, lambda rs: selectors.from_document(dig(rs, "spec", "selector")), True)
REPLICATION_CONTROLLER = Flavour(
    REPLICATION_CONTROLLERS, lambda rc: selectors.from_labels(dig(rc, "spec", "selector") or labels_of(rc))
)


@dataclass(frozen=True, slots=True)
class Observed:
    """A set, every pod that is or may become its own, and the pods of its sibling sets (for the order of deletion)."""

    replica_set: Object
    pods: tuple[Object, ...]
    related: tuple[Object, ...] = ()


def plan(observed: Observed, now: datetime, flavour: Flavour = REPLICA_SET) -> Plan:
    """What to do so that the number of active pods becomes `spec.replicas`, and the status true."""
    owner = observed.replica_set
    candidates = [pod for pod in observed.pods if is_active(pod)]
    matches = flavour.selector(owner).matches
    claimed = claim(owner, flavour.resource, PODS, candidates, matches)
    active = list(claimed.objects)
    going = sum(
        is_being_deleted(pod) and is_controlled_by(pod, owner) and not is_finished(pod) and matches(labels_of(pod))
        for pod in observed.pods
    )
    wanted = int(dig(owner, "spec", "replicas", default=1))
    missing = wanted - len(active)
    steps = list(claimed.steps)
    if is_being_deleted(owner):
        missing = 0
    elif missing > 0:
        steps.append(_create(owner, min(missing, BURST)))
    elif missing < 0:
        surplus = deletion_order(active, observed.related or active, now)[: min(-missing, BURST)]
        steps.append(_delete(owner, surplus))

    def report(outcome: Outcome) -> tuple[Step, ...]:
        if isinstance(outcome.failed, Patch):
            return ()  # whose pods they are is not known
        status = status_of(owner, active, now, missing=missing, outcome=outcome)
        if flavour.tells_terminating:
            status["terminatingReplicas"] = going
        if status == (owner.get("status") or {}):
            return ()
        return (Update(flavour.resource, {**owner, "status": status}, subresource="status"),)

    return Plan(tuple(steps), requeue_after_s=_next_availability(owner, active, now), finally_=report)


def status_of(
    owner: Object, active: list[Object], now: datetime, *, missing: int = 0, outcome: Outcome = ALL_WELL
) -> Object:
    """The status with these active pods. `missing` pods (negative: too many) were worked on with this `outcome`."""
    min_ready_s = int(dig(owner, "spec", "minReadySeconds", default=0))
    template_labels = (dig(owner, "spec", "template", "metadata", "labels") or {}).items()
    found = list(dig(owner, "status", "conditions", default=()))
    if outcome.error is None:
        found = conditions.without(found, REPLICA_FAILURE)
    elif missing and conditions.find(found, REPLICA_FAILURE) is None:  # the first failure is told until all is well
        reason = "FailedCreate" if missing > 0 else "FailedDelete"
        found = conditions.with_condition(found, Condition(REPLICA_FAILURE, True, reason, str(outcome.error)), now)
    status = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(template_labels <= labels_of(pod).items() for pod in active),
        "readyReplicas": sum(map(is_ready, active)),
        "availableReplicas": sum(is_available(pod, min_ready_s, now) for pod in active),
    }
    counts: Object = {key: count for key, count in status.items() if count or key == "replicas"}
    counts["observedGeneration"] = meta(owner).get("generation", 0)
    if found:
        counts["conditions"] = found
    return counts


def _create(owner: Object, count: int) -> Parallel:
    pod = pod_template.pod_from(dig(owner, "spec", "template", default={}), owner)
    write = Create(
        PODS, pod,
        created=Note(owner, NORMAL, "SuccessfulCreate", "Created pod: {name}"),
        failed=Note(owner, WARNING, "FailedCreate", "Error creating: {error}"),
    )
    return Parallel((write,) * count, slow_start=True)


def _delete(owner: Object, surplus: list[Object]) -> Parallel:
    return Parallel(tuple(
        Delete(
            PODS, name_of(pod), namespace_of(pod), uid=uid_of(pod),
            deleted=Note(owner, NORMAL, "SuccessfulDelete", "Deleted pod: {name}"),
            failed=Note(owner, WARNING, "FailedDelete", "Error deleting: {error}"),
        )
        for pod in surplus
    ))


def age_ratios(pods: Sequence[Object], decided: Plan, now: datetime) -> Iterator[int]:
    """How many times as old as the youngest ready pod each ready one is that is deleted: less than two is well."""
    writes = [write for step in decided.steps if isinstance(step, Parallel) for write in step.writes]
    doomed = {write.uid for write in writes if isinstance(write, Delete)}
    if not doomed:
        return
    found = [pod for pod in pods if is_active(pod) and is_ready(pod)]
    ready = {uid_of(pod): times.parse(meta(pod)["creationTimestamp"]) for pod in found}
    for uid in sorted(doomed & ready.keys()):
        youngest_s = max((now - max(ready.values())).total_seconds(), 0.001)
        yield int((now - ready[uid]).total_seconds() // youngest_s)


def _next_availability(owner: Object, active: list[Object], now: datetime) -> float | None:
    """Seconds until the next ready pod becomes available, which no event will tell."""
    min_ready_s = int(dig(owner, "spec", "minReadySeconds", default=0))
    if not min_ready_s:
        return None
    moments = [moment for pod in active if (moment := available_at(pod, min_ready_s)) and moment > now]
    return times.seconds_until(min(moments), now) if moments else None


class ReplicaSetReconciler:
    """Watches sets and pods; a change of a pod concerns its owner, or every set that would adopt it."""

    def __init__(self, wiring: Wiring, flavour: Flavour = REPLICA_SET) -> None:
        self._flavour = flavour
        self._sets = wiring.watch(flavour.resource)
        index_by_owner(self._sets)
        self._pods = wiring.watch(PODS, self._concerned)
        index_by_owner(self._pods)
        self._age_ratio = Spread(
            "replicaset_controller_sorting_deletion_age_ratio",
            "The ratio of chosen deleted pod's ages to the current youngest pod's age (at the time). Should be <2.",
            exponential(0.25, 2, 6),
        )
        if flavour is REPLICA_SET:
            wiring.measure(self._age_ratio)

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        owner = self._sets.get(name, namespace)
        if owner is None:
            return NOTHING
        pods = tuple(sorted(owned_or_orphaned(self._pods, owner), key=key_of))
        now = effects.now()
        decided = plan(Observed(owner, pods, self._related(owner)), now, self._flavour)
        for ratio in age_ratios(pods, decided, now):
            self._age_ratio.observe(ratio)
        return decided

    def _related(self, owner: Object) -> tuple[Object, ...]:
        """The pods of all sets that have the same controller, as a Deployment's old and new ones do."""
        higher = controller_of(owner)
        if higher is None:
            return ()
        siblings = self._sets.by_index(BY_OWNER, str(higher.get("uid")))
        return tuple(pod for sibling in siblings for pod in owned(self._pods, sibling))

    def _concerned(self, pod: Object) -> list[str]:
        namespace, controller = namespace_of(pod), controller_of(pod)
        if controller is not None:
            is_ours = controller.get("kind") == self._flavour.resource.kind
            return [f"{namespace}/{controller['name']}"] if is_ours else []
        labels: Mapping[str, str] = labels_of(pod)
        return [key_of(one) for one in self._sets.list(namespace) if self._flavour.selector(one).matches(labels)]
