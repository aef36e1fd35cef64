"""Deployment: rolls pods from one template to the next, by making one ReplicaSet grow and the others shrink.

Observed: the Deployment, its ReplicaSets (orphans that match are adopted) and, for Recreate, their pods. Desired:
`spec.replicas` available pods of the present template, and none of another. One call of `plan` takes one step there;
its result changes the ReplicaSets, whose changes lead to the next call.

1. Being deleted, paused, or `spec.replicas` changed: only sizes and status follow (`deployment_scaling.scale`).
2. No ReplicaSet has the present template: create it. Its name ends in the template's hash; if that name is taken by
   something else, the status' collisionCount is raised, and with it the hash.
3. RollingUpdate: grow the new one as far as maxSurge allows, else shrink old ones as far as maxUnavailable allows.
   Recreate: shrink all old ones to nothing, wait until their pods are gone, then grow the new one.
4. When it is complete, old ReplicaSets beyond revisionHistoryLimit are deleted. The status follows every step.

`kubectl rollout undo` copies an old template into the Deployment, an update like any other; so does
`deployment_rollback` where an old client's annotation asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sampan import effects
from sampan.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from sampan.apimachinery import selectors
from sampan.apimachinery.object import (
    Object,
    annotations_of,
    controller_of,
    dig,
    is_being_deleted,
    key_of,
    labels_of,
    meta,
    name_of,
    namespace_of,
    split_key,
)
from sampan.client.events import NORMAL, WARNING
from sampan.controllers import conditions
from sampan.controllers.conditions import Condition
from sampan.controllers.ownership import claim
from sampan.controllers.pods import index_by_owner, is_finished, owned, owned_or_orphaned
from sampan.controllers.workloads import deployment_rollback, deployment_scaling, deployment_status
from sampan.controllers.workloads.deployment_revisions import (
    REVISION,
    ROLLBACK_TO,
    forget_history,
    is_the_same_set,
    new_replica_set,
    split,
    with_revision,
)
from sampan.controllers.workloads.deployment_scaling import Resize, active, bounds_of, first_size, is_rolling, pods_of
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Create, End, Note, Outcome, Plan, Step, Update


@dataclass(frozen=True, slots=True)
class Observed:
    """A Deployment, the ReplicaSets that are or may become its own, and whether pods of old templates still run."""

    deployment: Object
    replica_sets: tuple[Object, ...]
    old_pods: tuple[Object, ...] = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """The Deployment's ReplicaSets, sorted out."""

    deployment: Object
    new: Object | None
    old: tuple[Object, ...]

    @property
    def sets(self) -> tuple[Object, ...]:
        return (*self.old, self.new) if self.new else self.old

    def resized(self, resizes: Sequence[Resize]) -> Rollout:
        """What will be once the resizes are done, which is what the status counts with."""
        after = {key_of(resize.rs): resize.resized() for resize in resizes}
        old = tuple(after.get(key_of(rs), rs) for rs in self.old)
        return replace(self, old=old, new=after.get(key_of(self.new), self.new) if self.new else None)


def plan(observed: Observed, now: datetime) -> Plan:
    """The next step of the Deployment's rollout."""
    deployment = observed.deployment
    selector = selectors.from_document(dig(deployment, "spec", "selector"))
    if selector.selects_everything:
        return _selects_everything(deployment)
    claimed = claim(deployment, DEPLOYMENTS, REPLICA_SETS, observed.replica_sets, selector.matches)
    new, old = split(deployment, claimed.objects)
    rollout = Rollout(deployment, new, old)
    if is_being_deleted(deployment):
        return _report(rollout, list(claimed.steps), now, progress=False)
    if new is not None:
        rollout, updates = _revised(rollout)
    else:
        updates = []
    steps = [*claimed.steps, *updates]
    undone = None if dig(deployment, "spec", "paused") else deployment_rollback.plan(deployment, claimed.objects)
    if undone is not None:
        return replace(undone, steps=(*steps, *undone.steps))
    if dig(deployment, "spec", "paused") or deployment_scaling.needs_scaling(deployment, rollout.sets):
        return _just_scale(rollout, steps, now)
    if is_rolling(deployment):
        return _roll(rollout, steps, now)
    return _recreate(rollout, steps, observed.old_pods, now)


def _selects_everything(deployment: Object) -> Plan:
    text = "This deployment is selecting all pods. A non-empty selector is required."
    notes = (Note(deployment, WARNING, "SelectingAll", text),)
    generation = meta(deployment).get("generation", 0)
    if dig(deployment, "status", "observedGeneration", default=0) >= generation:
        return Plan(notes=notes)
    status = {**(deployment.get("status") or {}), "observedGeneration": generation}
    return Plan((Update(DEPLOYMENTS, {**deployment, "status": status}, subresource="status"),), notes)


def _revised(rollout: Rollout) -> tuple[Rollout, list[Step]]:
    """The new ReplicaSet with its annotations brought up to date."""
    assert rollout.new is not None
    revised = with_revision(rollout.new, rollout.deployment, rollout.old)
    if revised is rollout.new:
        return rollout, []
    return replace(rollout, new=revised), [Update(REPLICA_SETS, revised)]


def _just_scale(rollout: Rollout, steps: list[Step], now: datetime) -> Plan:
    resizes = deployment_scaling.scale(rollout.deployment, rollout.new, rollout.old)
    steps = _with_resizes(rollout, steps, resizes)
    undoing = ROLLBACK_TO in annotations_of(rollout.deployment)
    if dig(rollout.deployment, "spec", "paused") and not resizes and not undoing:
        steps += forget_history(rollout.deployment, rollout.old)
    return _report(rollout.resized(resizes), steps, now, progress=False)


def _roll(rollout: Rollout, steps: list[Step], now: datetime) -> Plan:
    if rollout.new is None:
        return _start(rollout, steps, now)
    deployment, new = rollout.deployment, rollout.new
    resizes = deployment_scaling.grow_new(deployment, new, rollout.sets)
    resizes = resizes or deployment_scaling.shrink_old(deployment, new, rollout.old)
    return _continue(rollout, steps, resizes, now)


def _recreate(rollout: Rollout, steps: list[Step], old_pods: Sequence[Object], now: datetime) -> Plan:
    resizes = [Resize(rs, 0) for rs in active(rollout.old)]
    if not resizes and (any(map(pods_of, rollout.old)) or not all(map(is_finished, old_pods))):
        return _report(rollout, steps, now)
    if not resizes and rollout.new is None:
        return _start(rollout, steps, now)
    if not resizes and rollout.new is not None:
        desired = bounds_of(rollout.deployment).desired
        if deployment_scaling.size_of(rollout.new) != desired:
            resizes = [Resize(rollout.new, desired)]
    return _continue(rollout, steps, resizes, now)


def _continue(rollout: Rollout, steps: list[Step], resizes: list[Resize], now: datetime) -> Plan:
    steps = _with_resizes(rollout, steps, resizes)
    status = dig(rollout.deployment, "status", default={})
    if not resizes and deployment_status.is_complete(rollout.deployment, status):
        steps += forget_history(rollout.deployment, rollout.old)
    return _report(rollout.resized(resizes), steps, now)


def _with_resizes(rollout: Rollout, steps: list[Step], resizes: Sequence[Resize]) -> list[Step]:
    """The resizes as writes; a ReplicaSet that already is to be updated gets one write for both."""
    wanted = [step for resize in resizes if (step := resize.step(rollout.deployment)) is not None]
    keys = {key_of(step.obj) for step in wanted}
    kept = [step for step in steps if not (isinstance(step, Update) and key_of(step.obj) in keys)]
    return [*kept, *wanted]


def _start(rollout: Rollout, steps: list[Step], now: datetime) -> Plan:
    """Create the ReplicaSet of the present template, as large as the surge allows at once."""
    deployment = rollout.deployment
    size = first_size(deployment, rollout.sets)
    replica_set = new_replica_set(deployment, rollout.old, size, bounds_of(deployment).most)
    name = name_of(replica_set)
    scaled = Note(deployment, NORMAL, "ScalingReplicaSet", f"Scaled up replica set {name} from 0 to {size}")
    failed = Note(
        deployment, WARNING, "ReplicaSetCreateError", f'Failed to create new replica set "{name}": {{error}}'
    )

    def taken(existing: Object) -> tuple[Step, ...]:
        if is_the_same_set(existing, deployment):
            return (End(),)  # ours, from before a restart; it will show soon
        collisions = int(dig(deployment, "status", "collisionCount", default=0)) + 1
        status = {**(deployment.get("status") or {}), "collisionCount": collisions}
        return Update(DEPLOYMENTS, {**deployment, "status": status}, subresource="status"), End()

    create = Create(REPLICA_SETS, replica_set, scaled if size else None, failed, on_exists=taken)
    before = deployment_status.counted(deployment, None, rollout.sets, now)

    def report(outcome: Outcome) -> tuple[Step, ...]:
        if outcome.ended or (outcome.error and outcome.failed is not create):
            return ()
        if outcome.error:
            text = f'Failed to create new replica set "{name}": {outcome.error}'
            condition = Condition(deployment_status.PROGRESSING, False, "ReplicaSetCreateError", text)
        else:
            text = f'Created new replica set "{name}"'
            condition = Condition(deployment_status.PROGRESSING, True, "NewReplicaSetCreated", text)
        found = before["conditions"]
        if deployment_status.deadline_of(deployment) is not None:
            found = conditions.with_condition(found, condition, now, updated=True)
        revision = annotations_of(replica_set)[REVISION] if not outcome.error else ""
        return _status_step(deployment, {**before, "conditions": found}, revision)

    return Plan((*steps, create), finally_=report)


def _report(rollout: Rollout, steps: list[Step], now: datetime, *, progress: bool = True) -> Plan:
    """The plan of `steps`, with the status at its end."""
    deployment = rollout.deployment
    status = deployment_status.counted(deployment, rollout.new, rollout.sets, now)
    if is_being_deleted(deployment):
        revision = ""
    else:
        status["conditions"] = deployment_status.paused(deployment, status["conditions"], now)
        revision = annotations_of(rollout.new).get(REVISION, "") if rollout.new else ""
        if rollout.new is not None and progress:
            status["conditions"] = _found_new(deployment, status["conditions"], rollout.new, now)
    if progress:
        status = deployment_status.with_progress(deployment, status, rollout.new, rollout.sets, now)
    again = deployment_status.look_again_s(deployment, status, now) if progress else None
    return Plan((*steps, *_status_step(deployment, status, revision)), requeue_after_s=again)


def _found_new(deployment: Object, found: list[Object], new: Object, now: datetime) -> list[Object]:
    if deployment_status.deadline_of(deployment) is None or conditions.find(found, deployment_status.PROGRESSING):
        return found
    text = f'Found new replica set "{name_of(new)}"'
    condition = Condition(deployment_status.PROGRESSING, True, "FoundNewReplicaSet", text)
    return conditions.with_condition(found, condition, now, updated=True)


def _status_step(deployment: Object, status: Object, revision: str) -> tuple[Step, ...]:
    """Write the status, and with it the Deployment's revision, if either differs."""
    annotations = annotations_of(deployment)
    if revision and annotations.get(REVISION) != revision:
        metadata = {**deployment["metadata"], "annotations": {**annotations, REVISION: revision}}
    elif status == (deployment.get("status") or {}):
        return ()
    else:
        metadata = deployment["metadata"]
    changed = {**deployment, "metadata": metadata, "status": status}
    return (Update(DEPLOYMENTS, changed, subresource="status"),)


class DeploymentReconciler:
    """Watches Deployments and their ReplicaSets; and pods, whose end a Recreate rollout waits for."""

    def __init__(self, wiring: Wiring) -> None:
        self._deployments = wiring.watch(DEPLOYMENTS)
        self._sets = wiring.watch(REPLICA_SETS, self._concerned)
        index_by_owner(self._sets)
        self._pods = wiring.watch(PODS, self._recreating)
        index_by_owner(self._pods)

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        deployment = self._deployments.get(name, namespace)
        if deployment is None:
            return NOTHING
        sets = tuple(sorted(owned_or_orphaned(self._sets, deployment), key=key_of))
        old_pods: tuple[Object, ...] = ()
        if not is_rolling(deployment):
            _, old = split(deployment, [rs for rs in sets if controller_of(rs)])
            old_pods = tuple(pod for rs in old for pod in owned(self._pods, rs))
        return plan(Observed(deployment, sets, old_pods), effects.now())

    def _concerned(self, replica_set: Object) -> list[str]:
        namespace, controller = namespace_of(replica_set), controller_of(replica_set)
        if controller is not None:
            return [f"{namespace}/{controller['name']}"] if controller.get("kind") == DEPLOYMENTS.kind else []
        labels = labels_of(replica_set)
        return [
            key_of(one) for one in self._deployments.list(namespace)
            if selectors.from_document(dig(one, "spec", "selector")).matches(labels)
        ]

    def _recreating(self, pod: Object) -> list[str]:
        controller, namespace = controller_of(pod), namespace_of(pod)
        if controller is None or controller.get("kind") != REPLICA_SETS.kind:
            return []
        replica_set = self._sets.get(controller["name"], namespace)
        if replica_set is None:
            return []
        keys = self._concerned(replica_set)
        return [key for key in keys if (found := self._deployments.get_by_key(key)) and not is_rolling(found)]
