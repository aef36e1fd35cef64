"""Invariants of StatefulSets and DaemonSets: one pod an ordinal, in order; one pod a node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sampan.apimachinery.object import Object, dig, is_being_deleted, key_of, labels_of, name_of, namespace_of, uid_of
from sampan.sim.invariants.numbers import share
from sampan.sim.invariants.pods import ordinal_of
from sampan.sim.invariants.replicas import size
from sampan.sim.world import PODS, Change, GroupResource, World, is_active, is_finished, is_ready, title

STATEFUL_SETS: Final[GroupResource] = ("apps", "statefulsets")
DAEMON_SETS: Final[GroupResource] = ("apps", "daemonsets")
CLAIMS: Final[GroupResource] = ("core", "persistentvolumeclaims")
BY_SET: Final = "statefulset-controller"
RETENTION_S: Final = 30.0
"""How long it may take until claims follow a changed policy."""


class StatefulSetOrder:
    """A pod is made when those before it are ready, and taken when none after it is left or still to come back.

    Only a rolling update takes pods to make them anew: from its partition on, those that are not ready at any time, the
    others while no more than `maxUnavailable` are not ready. What is made again below the partition is of the revision
    that the set had before.
    """

    name = "stateful set order"
    resources = (PODS, STATEFUL_SETS)

    def check(self, world: World, change: Change) -> Iterator[str]:
        obj = change.obj
        if change.resource == STATEFUL_SETS:
            if change.new is not None:
                world.note(uid_of(obj), "plan", plan_of(obj))
                world.note(uid_of(obj), "image", dig(obj, "spec", "template", "spec", "containers", 0, "image"))
                world.note(uid_of(obj), "current", dig(obj, "status", "currentRevision", default=""))
            return
        owner = world.owner(obj, STATEFUL_SETS)
        if owner is None:
            return
        ordinal = ordinal_of(obj)
        is_there = change.new is not None and is_active(change.new)
        world.note(uid_of(owner), f"ready {ordinal}", is_there and is_ready(obj))
        if change.old is None:
            yield from self._made(world, change, owner, ordinal)
        elif change.new is not None and is_being_deleted(change.new) and is_active(change.old):
            yield from self._taken(world, change, owner, ordinal)

    def _made(self, world: World, change: Change, owner: Object, ordinal: int) -> Iterator[str]:
        pod, uid = change.obj, uid_of(owner)
        if name_of(pod) != f"{name_of(owner)}-{ordinal}":
            yield f"{title(pod)} is no name of {title(owner)}"
            return
        informed = world.informed_until_s(change.cause)
        plans = world.lately(uid, "plan", informed)
        fitting = [plan for plan in plans if plan.start <= ordinal < plan.end]
        if not fitting:
            yield f"{title(pod)} is beyond the {plans[-1].end - plans[-1].start} of {title(owner)}"
        if all(plan.rolls and ordinal < plan.first for plan in fitting):
            current = world.lately(uid, "current", informed)
            made_of = labels_of(pod).get("controller-revision-hash")
            if fitting and "" not in current and made_of not in current:
                yield f"{title(pod)} is below the partition, and not of the current revision {current[-1]}"
        if dig(owner, "spec", "podManagementPolicy") == "Parallel":
            return
        for before in range(max((plan.start for plan in fitting), default=ordinal), ordinal):
            if not any(world.lately(uid, f"ready {before}", informed)):
                yield f"{title(pod)} was made before {name_of(owner)}-{before} was ready"

    def _taken(self, world: World, change: Change, owner: Object, ordinal: int) -> Iterator[str]:
        if change.cause.by != BY_SET:
            return
        uid, informed = uid_of(owner), world.informed_until_s(change.cause)
        ordered = dig(owner, "spec", "podManagementPolicy") != "Parallel"
        there = {ordinal_of(pod): pod for pod in world.pods_of[uid].values()}
        changed = len(world.lately(uid, "image", informed)) > 1
        for plan in world.lately(uid, "plan", informed):
            if not plan.start <= ordinal < plan.end:
                above = [one for one in there if one > ordinal and not plan.start <= one < plan.end]
                if not ordered or not any(is_active(there[one]) for one in above):
                    return  # not wanted any more, and the last such one
            elif plan.rolls and ordinal >= plan.first and (changed or _is_outdated(change.obj, owner)):
                missed = [
                    one for one in range(plan.start, plan.end)
                    if one != ordinal and not any(world.lately(uid, f"ready {one}", informed))
                ]
                if not all(world.lately(uid, f"ready {ordinal}", informed)) or len(missed) < plan.unavailable:
                    return  # to be made anew: it was of no use anyway, or enough of the others are well
        yield f"{title(change.obj)} was taken though neither its turn to go nor to be made anew had come"


@dataclass(frozen=True, slots=True)
class SetPlan:
    """Which ordinals a set has, from `start` up to `end`, and which of them a rolling update replaces how."""

    start: int
    end: int
    rolls: bool
    first: int
    unavailable: int


def plan_of(owner: Object) -> SetPlan:
    start, strategy = dig(owner, "spec", "ordinals", "start", default=0), dig(owner, "spec", "updateStrategy")
    rolling = dig(strategy, "rollingUpdate", default={}) if strategy else {}
    return SetPlan(
        start, start + size(owner), dig(strategy or {}, "type", default="RollingUpdate") == "RollingUpdate",
        start + int(rolling.get("partition") or 0),
        max(1, share(rolling.get("maxUnavailable") or 1, size(owner), up=False)),
    )


def _is_outdated(pod: Object, owner: Object) -> bool:
    """Of an old revision: by what the status says, or by the template, of which the status may not know yet."""
    update = dig(owner, "status", "updateRevision")
    image, wanted = (dig(one, "spec", "containers", 0, "image") for one in (pod, dig(owner, "spec", "template")))
    return labels_of(pod).get("controller-revision-hash") != update or image != wanted or is_finished(pod)


class DaemonPerNode:
    """A DaemonSet has one pod a node, two while it surges."""

    name = "daemon per node"
    resources = (PODS,)

    def check(self, world: World, change: Change) -> Iterator[str]:
        new = change.new
        if new is None or change.old is not None:
            return
        owner = world.owner(new, DAEMON_SETS)
        if owner is None:
            return
        target = target_of(new)
        there = {
            key: pod for key, pod in world.pods_of[uid_of(owner)].items()
            if target_of(pod) == target and is_active(pod)
        }
        surge = dig(owner, "spec", "updateStrategy", "rollingUpdate", "maxSurge", default=0)
        allowed = 1 + bool(surge not in (0, "0%")) + world.unacknowledged(there)
        if len(there) > allowed:
            yield f"{title(owner)} has {len(there)} pods for {target}: {', '.join(sorted(there))}"


def target_of(pod: Object) -> str:
    """The node that a daemon's pod is for: it is pinned there by affinity before it is bound."""
    terms = dig(
        pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms",
        default=[],
    )
    for term in terms:
        for field in term.get("matchFields") or []:
            if field.get("key") == "metadata.name" and field.get("values"):
                return str(field["values"][0])
    return str(dig(pod, "spec", "nodeName", default=""))


class ClaimsOfSets:
    """A StatefulSet's pod runs with the claim of its own ordinal; nobody collects a claim that is to be retained."""

    name = "claims of sets"
    resources = (PODS, STATEFUL_SETS, CLAIMS)

    def check(self, world: World, change: Change) -> Iterator[str]:
        new = change.new
        if change.resource == STATEFUL_SETS:
            if new is not None:
                policy = dig(new, "spec", "persistentVolumeClaimRetentionPolicy", default={})
                world.note(f"claims of {key_of(new)}", "retained", all(one == "Retain" for one in policy.values()))
                world.note(uid_of(new), "when scaled", policy.get("whenScaled", "Retain"))
                if change.old is not None:
                    self._note_gone_before(world, change.old, new)
            return
        if change.resource == CLAIMS:
            world.note(change.key, "claim", new is not None)
            yield from self._collected(world, change)
            return
        if change.old is not None:
            self._note_taken(world, change, change.old)
        if new is None or change.old is not None or is_finished(new):
            return
        owner = world.owner(new, STATEFUL_SETS)
        if owner is None:
            return
        volumes = {one["name"]: one for one in dig(new, "spec", "volumes", default=[])}
        for template in dig(owner, "spec", "volumeClaimTemplates", default=[]):
            wanted = f"{template['metadata']['name']}-{name_of(new)}"
            found = dig(volumes.get(template["metadata"]["name"]), "persistentVolumeClaim", "claimName")
            if found != wanted:
                yield f"{title(new)} has claim {found}, not {wanted}"
            elif not any(world.lately(f"{namespace_of(new)}/{wanted}", "claim", world.informed_until_s(change.cause))):
                yield f"{title(new)} was made before its claim {wanted}"

    def _note_gone_before(self, world: World, old: Object, new: Object) -> None:
        """Pods that were gone, or going, when the set shrank: a claim goes with its pod, so theirs stay."""
        start = dig(new, "spec", "ordinals", "start", default=0)
        there = world.pods_in[namespace_of(new)].values()
        living = {name_of(pod) for pod in there if not is_being_deleted(pod)}
        for ordinal in range(start + size(new), start + size(old)):
            if (pod := f"{name_of(new)}-{ordinal}") not in living:
                world.note(uid_of(new), "gone before", pod)

    def _note_taken(self, world: World, change: Change, old: Object) -> None:
        """The same for one that somebody else takes after its set shrank, and before the set's controller knows."""
        owner, is_going = world.owner(old, STATEFUL_SETS), change.new is None or is_being_deleted(change.new)
        if owner is None or not is_going or is_being_deleted(old) or change.cause.by == BY_SET:
            return
        start = dig(owner, "spec", "ordinals", "start", default=0)
        if ordinal_of(old) not in range(start, start + size(owner)):
            world.note(uid_of(owner), "gone before", name_of(old))

    def _collected(self, world: World, change: Change) -> Iterator[str]:
        old, new = change.old, change.new
        if old is None or is_being_deleted(old) or not (new is None or is_being_deleted(new)):
            return
        if change.cause.by == "user":
            return
        owner = name_of(old).partition("-")[2].rpartition("-")[0]
        since = world.informed_until_s(change.cause) - RETENTION_S
        retained = world.lately(f"claims of {namespace_of(old)}/{owner}", "retained", since)
        if retained and all(retained):
            yield f"{title(old)} was taken by {change.cause.by}, and StatefulSet {owner} retains its claims"
