"""Invariants of StatefulSets and DaemonSets: one pod an ordinal, in order; one pod a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sampan.apimachinery.object import Object, dig, is_being_deleted, labels_of, name_of, namespace_of, uid_of
from sampan.sim.invariants.pods import ordinal_of
from sampan.sim.invariants.replicas import size
from sampan.sim.world import PODS, Change, GroupResource, World, is_active, is_finished, is_ready, title

STATEFUL_SETS: Final[GroupResource] = ("apps", "statefulsets")
DAEMON_SETS: Final[GroupResource] = ("apps", "daemonsets")


class StatefulSetOrder:
    """A pod is made when those before it are ready, and taken when none after it is left or still to come back."""

    name = "stateful set order"
    resources = (PODS, STATEFUL_SETS)

    def check(self, world: World, change: Change) -> Iterator[str]:
        obj = change.obj
        if change.resource == STATEFUL_SETS:
            if change.new is not None:
                world.note(uid_of(obj), "replicas", size(obj))
                world.note(uid_of(obj), "image", dig(obj, "spec", "template", "spec", "containers", 0, "image"))
            return
        owner = world.owner(obj, STATEFUL_SETS)
        if owner is None:
            return
        ordinal = ordinal_of(obj)
        is_there = change.new is not None and is_active(change.new)
        world.note(uid_of(owner), f"ready {ordinal}", is_there and is_ready(obj))
        world.note(uid_of(owner), f"there {ordinal}", is_there)
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
        start = dig(owner, "spec", "ordinals", "start", default=0)
        end = start + max(world.lately(uid, "replicas", informed))
        if not start <= ordinal < end:
            yield f"{title(pod)} is beyond the {end - start} of {title(owner)}"
        if dig(owner, "spec", "podManagementPolicy") == "Parallel":
            return
        for before in range(start, ordinal):
            if not any(world.lately(uid, f"ready {before}", informed)):
                yield f"{title(pod)} was made before {name_of(owner)}-{before} was ready"

    def _taken(self, world: World, change: Change, owner: Object, ordinal: int) -> Iterator[str]:
        if change.cause.by != "statefulset-controller" or dig(owner, "spec", "podManagementPolicy") == "Parallel":
            return
        uid, informed = uid_of(owner), world.informed_until_s(change.cause)
        start = dig(owner, "spec", "ordinals", "start", default=0)
        after = {
            ordinal_of(pod): pod for pod in world.pods_of[uid].values() if ordinal_of(pod) > ordinal
        }
        for end in {start + number for number in world.lately(uid, "replicas", informed)}:
            if ordinal >= end and not any(is_active(pod) for pod in after.values()):
                return  # beyond the end, and the last one
            ready = (any(world.lately(uid, f"ready {one}", informed)) for one in after if one < end)
            changed = len(world.lately(uid, "image", informed)) > 1
            if ordinal < end and (changed or _is_outdated(change.obj, owner)) and all(ready):
                return  # to be made anew, and those after it are well
        yield f"{title(change.obj)} was taken though neither its turn to go nor to be made anew had come"


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
    """A StatefulSet's pod runs with the claim of its own ordinal."""

    name = "claims of sets"
    resources = (PODS,)

    def check(self, world: World, change: Change) -> Iterator[str]:
        new = change.new
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
            elif world.get(("core", "persistentvolumeclaims"), f"{namespace_of(new)}/{wanted}") is None:
                yield f"{title(new)} was made before its claim {wanted}"
