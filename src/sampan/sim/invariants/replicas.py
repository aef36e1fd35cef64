"""Invariants of Deployments and ReplicaSets: never more pods than allowed, never fewer available than promised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sampan.apimachinery.object import Object, annotations_of, dig, uid_of
from sampan.sim.invariants.numbers import max_surge, max_unavailable
from sampan.sim.world import (
    PODS,
    Change,
    GroupResource,
    World,
    controller_uid,
    is_active,
    is_finished,
    is_ready,
    title,
)

REPLICA_SETS: Final[GroupResource] = ("apps", "replicasets")
REPLICATION_CONTROLLERS: Final[GroupResource] = ("core", "replicationcontrollers")
DEPLOYMENTS: Final[GroupResource] = ("apps", "deployments")
DESIRED: Final = "deployment.kubernetes.io/desired-replicas"


def size(obj: Object) -> int:
    return int(dig(obj, "spec", "replicas", default=0))


class ReplicaCount:
    """A ReplicaSet or ReplicationController never makes a pod beyond its size; beyond what it knew, to be exact."""

    name = "replica count"
    resources = (PODS, REPLICA_SETS, REPLICATION_CONTROLLERS)

    def check(self, world: World, change: Change) -> Iterator[str]:
        new = change.new
        if change.resource != PODS:
            if new is not None:
                world.note(uid_of(new), "replicas", size(new))
            return
        if new is None or change.old is not None or not controller_uid(new):
            return
        owner = world.owner(new, REPLICA_SETS) or world.owner(new, REPLICATION_CONTROLLERS)
        if owner is None:
            return
        pods = world.pods_of[uid_of(owner)]
        active = sum(1 for pod in pods.values() if is_active(pod))
        wanted = max(world.lately(uid_of(owner), "replicas", world.informed_until_s(change.cause)))
        allowed = wanted + world.unacknowledged(pods)
        if active > allowed:
            yield f"{title(owner)} has {active} pods with {title(new)}, {allowed} are allowed"


class RolloutSize:
    """A Deployment never asks for more pods than its size and maxSurge; when it recreates, old ones are gone first."""

    name = "rollout size"
    resources = (DEPLOYMENTS, REPLICA_SETS)

    def check(self, world: World, change: Change) -> Iterator[str]:
        new = change.new
        if new is None:
            return
        if change.resource == DEPLOYMENTS:
            world.note(uid_of(new), "most", size(new) + max_surge(new))
            world.note(uid_of(new), "size", size(new))
            return
        before = size(change.old) if change.old is not None else 0
        deployment = world.owner(new, DEPLOYMENTS)
        if deployment is None or size(new) <= before or change.cause.by != "deployment-controller":
            return
        siblings = [one for one in world.all(*REPLICA_SETS) if controller_uid(one) == uid_of(deployment)]
        total = sum(map(size, siblings))
        informed = world.informed_until_s(change.cause)
        most = max(world.lately(uid_of(deployment), "most", informed))
        if total > most:
            yield f"{title(deployment)} asks for {total} pods with {title(new)} at {size(new)}, {most} are allowed"
        if dig(deployment, "spec", "strategy", "type") == "Recreate":
            for sibling in siblings:
                if sibling is not new and self._runs(world, sibling, informed):
                    yield f"{title(deployment)} makes new pods while old ones of {title(sibling)} run"

    def _runs(self, world: World, replica_set: Object, informed: float) -> bool:
        pods = world.pods_of[uid_of(replica_set)].values()
        return any(not is_finished(pod) and world.known[uid_of(pod)].born_at_s < informed for pod in pods)


class RolloutAvailability:
    """A rolling update takes away what is available only down to the size less maxUnavailable."""

    name = "rollout availability"
    resources = (DEPLOYMENTS, REPLICA_SETS)

    def check(self, world: World, change: Change) -> Iterator[str]:
        new, old = change.new, change.old
        if change.resource == DEPLOYMENTS:
            if new is not None:
                world.note(uid_of(new), "fewest", size(new) - max_unavailable(new))
            return
        if new is not None:
            world.note(uid_of(new), "available", dig(new, "status", "availableReplicas", default=0))
        if new is None or old is None or size(new) >= size(old) or change.cause.by != "deployment-controller":
            return
        deployment = world.owner(new, DEPLOYMENTS)
        if deployment is None or dig(deployment, "spec", "strategy", "type") != "RollingUpdate":
            return
        uid, informed = uid_of(deployment), world.informed_until_s(change.cause)
        if world.disturbed_at_s.get(uid, float("-inf")) >= informed or self._resizes(world, change, deployment):
            return
        fewest = min(world.lately(uid, "fewest", informed))
        siblings = [one for one in world.all(*REPLICA_SETS) if controller_uid(one) == uid]
        available = {uid_of(one): self._available(world, one, informed) for one in siblings}
        after = sum(min(available[uid_of(one)], size(one)) for one in siblings)
        # A pod that became available a moment ago is not missed by who was told that it is not.
        told = min(world.lately(uid_of(new), "available", informed), default=available[uid_of(new)])
        before = after - min(available[uid_of(new)], size(new)) + min(told, size(old))
        if after < min(before, fewest):
            yield f"{title(deployment)} takes {title(new)} to {size(new)}: {after} stay available, {fewest} must"

    def _resizes(self, world: World, change: Change, deployment: Object) -> bool:
        """Whether the Deployment's size has just changed: then its sets are resized in proportion, ready or not."""
        assert change.old is not None
        told = annotations_of(change.old).get(DESIRED)
        sizes = world.lately(uid_of(deployment), "size", world.informed_until_s(change.cause))
        return len(set(sizes)) > 1 or (told is not None and told != str(size(deployment)))

    def _available(self, world: World, replica_set: Object, informed: float) -> int:
        """As many as are, or as its status said when the controller decided: it has nothing else to go by."""
        pods = world.pods_of[uid_of(replica_set)].values()
        truth = sum(1 for pod in pods if is_active(pod) and is_ready(pod))
        return int(max(truth, *world.lately(uid_of(replica_set), "available", informed)))
