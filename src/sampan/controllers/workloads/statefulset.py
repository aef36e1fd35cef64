"""StatefulSet: pods with names, an order, and storage of their own.

Observed: the set, its pods, the claims of its namespace, its ControllerRevisions. Desired: one healthy pod for each
ordinal from `ordinals.start` on, and none beyond.

With OrderedReady one thing happens at a time: pod N is made when all before it are running, ready and available, and
pods beyond the end go one by one, highest first, while all others are well. With Parallel nothing waits. Failed and
finished pods are replaced under the same name, after they are gone: the name is the lock, so there are never two pods
of one ordinal.

When nothing has to be waited for, RollingUpdate replaces pods of an old revision, highest ordinal first and never below
`partition`, while fewer than `maxUnavailable` are unavailable; those of them that are unavailable anyway go at once.
OnDelete leaves that to whoever deletes pods. Pods below the partition that must be made again are made from the
revision that the set had before (`status.currentRevision`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sampan import effects
from sampan.api.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
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
    is_available,
    is_finished,
    is_ready,
    owned_or_orphaned,
    phase_of,
)
from sampan.controllers.workloads import statefulset_identity as identity
from sampan.controllers.workloads.deployment_scaling import resolve
from sampan.controllers.workloads.revision_history import HASH_LABEL, History, history_of, surplus
from sampan.reconcile.controller import Wiring, owner_key
from sampan.reconcile.plan import NOTHING, Create, Delete, Note, Outcome, Parallel, Plan, Step, Update

STALE_CLAIM_RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Observed:
    """A StatefulSet, the pods that are or may become its own, claims by name, and its revisions."""

    stateful_set: Object
    pods: tuple[Object, ...]
    claims: Mapping[str, Object] = field(default_factory=dict)
    revisions: tuple[Object, ...] = ()


@dataclass(frozen=True, slots=True)
class Revisions:
    """The names and templates of the revision that the set comes from and of the one that it goes to."""

    current: str
    update: str
    current_template: Object
    update_template: Object

    def for_new_pod(self, owner: Object, ordinal: int) -> tuple[str, Object]:
        """Which revision pod `ordinal` is made from."""
        strategy = dig(owner, "spec", "updateStrategy", default={})
        if strategy.get("type", "RollingUpdate") == "RollingUpdate":
            partition = int(dig(strategy, "rollingUpdate", "partition", default=0))
            if ordinal < identity.start_ordinal(owner) + partition:
                return self.current, self.current_template
        return self.update, self.update_template


def plan(observed: Observed, now: datetime) -> Plan:
    """What to do next."""
    owner = observed.stateful_set
    selector = selectors.from_document(dig(owner, "spec", "selector"))
    members = [pod for pod in observed.pods if identity.ordinal_of(owner, pod) is not None]
    claimed = claim(owner, STATEFUL_SETS, PODS, members, selector.matches)
    history = history_of(owner, STATEFUL_SETS, observed.revisions)
    revisions = _revisions(owner, history, observed.revisions)
    prefix = f"{name_of(owner)}-"
    in_use = {labels_of(pod).get(HASH_LABEL, "") for pod in claimed.objects} | {revisions.current, revisions.update}
    hashes = frozenset(name.removeprefix(prefix) for name in in_use)
    forgotten = surplus(history.old, hashes, int(dig(owner, "spec", "revisionHistoryLimit", default=10)))
    steps = [*claimed.steps, *history.steps, *forgotten]  # also of a set whose pods are refused again and again
    notes: list[Note] = []
    pods = {identity.ordinal_of(owner, pod) or 0: pod for pod in claimed.objects}
    again: float | None = None
    if not is_being_deleted(owner):
        work = _Work(owner, pods, observed.claims, revisions, now)
        work.decide()
        steps += work.steps
        notes, again = work.notes, work.again_s

    def report(outcome: Outcome) -> tuple[Step, ...]:
        status = status_of(owner, pods, revisions, now)
        return () if status == owner.get("status") else (
            Update(STATEFUL_SETS, {**owner, "status": status}, subresource="status"),
        )

    min_ready_s = int(dig(owner, "spec", "minReadySeconds", default=0))
    moments = [at for pod in claimed.objects if (at := available_at(pod, min_ready_s)) and at > now]
    if moments:
        soon = times.seconds_until(min(moments), now)
        again = soon if again is None else min(again, soon)
    return Plan(tuple(steps), tuple(notes), again, report)


def _revisions(owner: Object, history: History, known: tuple[Object, ...]) -> Revisions:
    update = f"{name_of(owner)}-{history.hash}"
    template = owner["spec"]["template"]
    current = str(dig(owner, "status", "currentRevision", default=""))
    found = next((one for one in known if name_of(one) == current), None)
    old = dig(found, "data", "spec", "template")
    if found is None or old is None:
        return Revisions(update, update, template, template)
    return Revisions(current, update, {key: value for key, value in old.items() if key != "$patch"}, template)


def status_of(owner: Object, pods: Mapping[int, Object], revisions: Revisions, now: datetime) -> Object:
    """The set's status. A rolling update that is through makes its revision the current one."""
    min_ready_s = int(dig(owner, "spec", "minReadySeconds", default=0))
    living = [pod for pod in pods.values() if not is_being_deleted(pod)]
    ready = [pod for pod in pods.values() if _runs(pod)]
    current = sum(labels_of(pod).get(HASH_LABEL) == revisions.current for pod in living)
    updated = sum(labels_of(pod).get(HASH_LABEL) == revisions.update for pod in living)
    name = revisions.current
    rolls = dig(owner, "spec", "updateStrategy", "type", default="RollingUpdate") == "RollingUpdate"
    if rolls and updated == len(pods) == len(ready) == len(identity.ordinals(owner)):
        name, current = revisions.update, updated
    told = dig(owner, "status", "conditions")
    counts = {"readyReplicas": len(ready), "currentReplicas": current, "updatedReplicas": updated}
    return {
        "observedGeneration": meta(owner).get("generation", 0), "replicas": len(pods),
        **{key: count for key, count in counts.items() if count},
        "currentRevision": name, "updateRevision": revisions.update,
        "collisionCount": dig(owner, "status", "collisionCount", default=0),
        "availableReplicas": sum(is_available(pod, min_ready_s, now) for pod in ready),
        **({"conditions": told} if told else {}),  # not ours: this loop has nothing to say there
    }


def _runs(pod: Object) -> bool:
    return phase_of(pod) == "Running" and is_ready(pod)


class _Work:
    """Decides on the pods of one set: makes and mends, then scales down, then rolls."""

    def __init__(
        self, owner: Object, pods: Mapping[int, Object], claims: Mapping[str, Object], revisions: Revisions,
        now: datetime,
    ) -> None:
        self.owner, self.pods, self.claims, self.revisions, self.now = owner, pods, claims, revisions, now
        self.steps: list[Step] = []
        self.notes: list[Note] = []
        self.again_s: float | None = None
        self._ordered = dig(owner, "spec", "podManagementPolicy", default="OrderedReady") == "OrderedReady"
        self._min_ready_s = int(dig(owner, "spec", "minReadySeconds", default=0))
        self._wanted = identity.ordinals(owner)
        self._condemned = sorted((one for one in pods if one not in self._wanted), reverse=True)

    def decide(self) -> None:
        self._retain_or_not()
        if self._make_and_mend() or self._scale_down():
            return
        if dig(self.owner, "spec", "updateStrategy", "type", default="RollingUpdate") == "RollingUpdate":
            self._roll()

    def _retain_or_not(self) -> None:
        for ordinal, pod in sorted(self.pods.items()):
            gone = ordinal not in self._wanted
            self.steps += identity.retention_updates(self.owner, self.claims, ordinal, pod, scaled_down=gone)

    def _make_and_mend(self) -> bool:
        """Pods that should be. True while all else waits: if ordered, for one that is missing or not well."""
        creations: list[Create] = []
        claims: list[Create] = []
        waits = False
        for ordinal in self._wanted:
            pod = self.pods.get(ordinal)
            if pod is None:
                waits = True
                if identity.has_stale_claim(self.owner, self.claims, ordinal):
                    self.again_s = STALE_CLAIM_RETRY_S
                elif going := identity.claims_being_deleted(self.owner, self.claims, ordinal):
                    self.again_s = STALE_CLAIM_RETRY_S
                    self.notes.append(going)
                else:
                    self.notes += identity.conflicting_controllers(self.owner, self.claims, ordinal)
                    revision, template = self.revisions.for_new_pod(self.owner, ordinal)
                    missing = identity.missing_claims(self.owner, self.claims, ordinal)
                    pod_comes = identity.new_pod(self.owner, template, revision, ordinal)
                    creations.append(_one_after_the_other(*missing, pod_comes))
            elif is_finished(pod):
                waits = True
                self._replace(pod)
            else:
                if phase_of(pod) == "Pending" and not is_being_deleted(pod):
                    claims += identity.missing_claims(self.owner, self.claims, ordinal)
                repair = identity.identity_repair(self.owner, pod, ordinal)
                if repair is not None:
                    self.steps.append(repair)
                waits = waits or (self._ordered and not self._healthy(pod))
            if waits and self._ordered:
                break
        if claims:
            self.steps.append(Parallel(tuple(claims)))
        if creations:
            self.steps.append(Parallel(tuple(creations), slow_start=True))
        return waits and self._ordered

    def _replace(self, pod: Object) -> None:
        if is_being_deleted(pod):
            return
        failed = phase_of(pod) == "Failed"
        reason, word = ("RecreatingFailedPod", "failed") if failed else ("RecreatingTerminatedPod", "terminated")
        where = f"StatefulSet {namespace_of(self.owner)}/{name_of(self.owner)}"
        text = f"{where} is recreating {word} Pod {name_of(pod)}"
        self.notes.append(Note(self.owner, WARNING if failed else NORMAL, reason, text))
        self._delete(pod)

    def _scale_down(self) -> bool:
        """Pods beyond the end, highest first. True if there are any that one has to wait for."""
        unhealthy = [ordinal for ordinal, pod in sorted(self.pods.items()) if not self._healthy(pod)]
        for ordinal in self._condemned:
            pod = self.pods[ordinal]
            if is_being_deleted(pod):
                if self._ordered:
                    break
                continue
            if self._ordered and not self._healthy(pod) and ordinal != unhealthy[0]:
                break
            self._delete(pod)
            if self._ordered:
                break
        return self._ordered and bool(self._condemned)

    def _roll(self) -> None:
        """Pods of an old revision: all that are unavailable, and of the others, highest first, as many as may be."""
        rolling = dig(self.owner, "spec", "updateStrategy", "rollingUpdate", default={})
        limit = max(resolve(rolling.get("maxUnavailable", 1), len(self._wanted), up=False), 1)
        first = identity.start_ordinal(self.owner) + int(rolling.get("partition") or 0)
        unavailable = {
            one for one in self._wanted if one not in self.pods or not self._healthy(self.pods[one])
        }
        may_go = limit - len(unavailable)
        for ordinal in reversed(self._wanted):
            pod = self.pods.get(ordinal)
            if ordinal < first or pod is None or labels_of(pod).get(HASH_LABEL) == self.revisions.update:
                continue
            if is_being_deleted(pod) or is_finished(pod):
                continue
            if ordinal not in unavailable:
                may_go -= 1
                if may_go < 0:
                    continue
            self._delete(pod)

    def _healthy(self, pod: Object) -> bool:
        return _runs(pod) and not is_being_deleted(pod) and is_available(pod, self._min_ready_s, self.now)

    def _delete(self, pod: Object) -> None:
        text = f"delete Pod {name_of(pod)} in StatefulSet {name_of(self.owner)}"
        self.steps.append(Delete(
            PODS, name_of(pod), namespace_of(pod), uid=uid_of(pod),
            deleted=Note(self.owner, NORMAL, "SuccessfulDelete", f"{text} successful"),
            failed=Note(self.owner, WARNING, "FailedDelete", f"{text} failed error: {{error}}"),
        ))


def _one_after_the_other(first: Create, *rest: Create) -> Create:
    """A pod comes right after its claims, made now or found, so that none is left for a pod that never came."""
    if not rest:
        return first

    def go_on(claim: Object) -> tuple[Step, ...]:
        return (_one_after_the_other(*rest),)

    return replace(first, then=go_on, on_exists=go_on)


class StatefulSetReconciler:
    """Keys are StatefulSets; a pod concerns its owner, or the sets that would adopt it."""

    def __init__(self, wiring: Wiring) -> None:
        self._sets = wiring.watch(STATEFUL_SETS)
        self._pods = wiring.watch(PODS, self._concerned)
        index_by_owner(self._pods)
        self._claims = wiring.read(PERSISTENT_VOLUME_CLAIMS)
        self._revisions = wiring.watch(CONTROLLER_REVISIONS, owner_key("StatefulSet", "apps"))
        index_by_owner(self._revisions)

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        owner = self._sets.get(name, namespace)
        if owner is None:
            return NOTHING
        pods = tuple(sorted(owned_or_orphaned(self._pods, owner), key=key_of))
        revisions = tuple(sorted(owned_or_orphaned(self._revisions, owner), key=key_of))
        claims: dict[str, Object] = {}
        if identity.claim_templates(owner):
            claims = {name_of(one): one for one in self._claims.list(namespace)}
        return plan(Observed(owner, pods, claims, revisions), effects.now())

    def _concerned(self, pod: Object) -> list[str]:
        namespace, controller = namespace_of(pod), controller_of(pod)
        if controller is not None:
            return [f"{namespace}/{controller['name']}"] if controller.get("kind") == STATEFUL_SETS.kind else []
        parent = self._sets.get(name_of(pod).rpartition("-")[0], namespace)
        return [key_of(parent)] if parent is not None else []
