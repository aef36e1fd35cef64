"""Invariants of pods: they are bound once, end once, fit their nodes, and are removed by who may remove them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sampan.apimachinery.object import Object, dig, is_being_deleted, name_of, uid_of
from sampan.apimachinery.quantity import Quantity
from sampan.sim.cause import Cause
from sampan.sim.world import (
    PODS,
    Change,
    GroupResource,
    World,
    controller_uid,
    is_active,
    is_finished,
    is_ready,
    node_of,
    phase_of,
    title,
)

NODES: Final[GroupResource] = ("core", "nodes")
OF_PODS: Final[Sequence[GroupResource]] = (PODS,)
JUST_NOW_S: Final = 8.0
"""A controller asks, and acts within this time on what it was told, even where each request takes three seconds."""
_ORDER: Final = {"Pending": 0, "Unknown": 1, "Running": 1, "Succeeded": 2, "Failed": 2}


class Disturbances:
    """Checks nothing; notes when a pod stopped being available though its controller did not want that."""

    name = "disturbances"
    resources = OF_PODS

    def check(self, world: World, change: Change) -> Iterator[str]:
        old, new = change.old, change.new
        if old is None or not (is_active(old) and is_ready(old)):
            return iter(())
        if new is not None and is_active(new) and is_ready(new) and controller_uid(old) == controller_uid(new):
            return iter(())
        if change.cause.by == "replicaset-controller" and new is not None:
            return iter(())
        owner = world.owner(old, ("apps", "replicasets"))
        for uid in (controller_uid(old), controller_uid(owner) if owner is not None else ""):
            if uid:
                world.disturbed_at_s[uid] = change.at_s
        return iter(())


class PodLifecycle:
    """A phase never goes back, an ended pod stays ended, a pod is bound once, and to a node that was there."""

    name = "pod lifecycle"
    resources = OF_PODS

    def check(self, world: World, change: Change) -> Iterator[str]:
        old, new = change.old, change.new
        if new is None:
            return
        if old is None:
            if node_of(new) and world.get(NODES, node_of(new)) is None and is_scheduler(change.cause):
                yield f"{title(new)} was bound to {node_of(new)}, which is not there"
            return
        if node_of(old) and node_of(new) != node_of(old):
            yield f"{title(new)} was bound to {node_of(old)} and then to {node_of(new) or 'none'}"
        before, now = phase_of(old), phase_of(new)
        if _ORDER.get(now, 0) < _ORDER.get(before, 0) or (is_finished(old) and now != before):
            yield f"{title(new)} went from {before} to {now}"


class PodRemoval:
    """A bound pod that may still run is removed by its node, or by force: else its name is free while it runs."""

    name = "pod removal"
    resources = OF_PODS

    def check(self, world: World, change: Change) -> Iterator[str]:
        old = change.old
        if change.new is not None or old is None or not node_of(old) or is_finished(old):
            return
        by = change.cause.by
        if by in ("nodes", "user", "system:nodes", "kubernetes-admin"):
            return
        if by == "pod-garbage-collector" and world.get(NODES, node_of(old)) is None:
            return
        yield f"{title(old)} was removed by {by} while it may run on {node_of(old)}"


class PodGarbage:
    """What is collected as left over is: its node is gone, or it was never bound and is to go, or it has ended."""

    name = "pod garbage"
    resources = OF_PODS

    def check(self, world: World, change: Change) -> Iterator[str]:
        old, new = change.old, change.new
        if change.cause.by != "pod-garbage-collector" or old is None:
            return
        if new is not None and phase_of(new) == phase_of(old):
            return
        node = world.get(NODES, node_of(old))
        if node is not None and world.known[uid_of(node)].born_at_s > change.cause.sent_at_s - JUST_NOW_S:
            return  # it was gone when the collector asked, which it does whatever it has seen
        is_left = (node is None and node_of(old)) or (is_being_deleted(old) and not node_of(old))
        if not is_left and not (new is None and is_finished(old)) and not dig(node or {}, "spec", "taints"):
            yield f"{title(old)} was collected, and it runs on {node_of(old) or 'no node, and is to'}"


class NodeCapacity:
    """What is bound to a node fits it. A binding whose sender never learned of it is nobody's mistake."""

    name = "node capacity"
    resources = OF_PODS

    def __init__(self) -> None:
        self._unknown: dict[str, str] = {}
        """uid → node, of pods that were bound by a request whose answer was lost."""
        self._binds: dict[str, Change] = {}

    def check(self, world: World, change: Change) -> Iterator[str]:
        new = change.new
        if new is None:
            self._binds.pop(uid_of(change.obj), None)
            return
        place = node_of(new)
        if not place or (change.old is not None and node_of(change.old) == place):
            return
        self._binds[uid_of(new)] = change
        node = world.get(NODES, place)
        if node is None or change.cause.lost:
            return
        there = [pod for pod in world.pods_on[place].values() if not is_finished(pod)]
        if any(self._is_unknown(pod) for pod in there):
            return
        allocatable = dig(node, "status", "allocatable", default={})
        for resource in ("cpu", "memory", "pods"):
            room = amount(allocatable.get(resource, "0"))
            used = sum(requested(pod, resource) for pod in there)
            if used > room:
                yield f"{place} has {room / 1e9:g} {resource}, and {used / 1e9:g} are bound to it with {title(new)}"

    def _is_unknown(self, pod: Object) -> bool:
        bind = self._binds.get(uid_of(pod))
        return bind is not None and bind.cause.lost


def is_scheduler(cause: Cause) -> bool:
    """Whether a scheduler, or one of its replicas, wrote."""
    return cause.by.startswith("scheduler")


def amount(text: object) -> int:
    """In units of 10⁻⁹."""
    return Quantity.parse(str(text)).nanos


def requested(pod: Object, resource: str) -> int:
    """What a pod asks for of a resource, in units of 10⁻⁹; one of `pods`."""
    if resource == "pods":
        return amount("1")
    texts = (
        dig(container, "resources", "requests", resource) for container in dig(pod, "spec", "containers", default=[])
    )
    return sum(amount(text) for text in texts if text is not None)


def ordinal_of(pod: Object) -> int:
    """The number at the end of a StatefulSet's pod's name, -1 if there is none."""
    tail = name_of(pod).rpartition("-")[2]
    return int(tail) if tail.isdigit() else -1


def is_going(pod: Object) -> bool:
    return is_being_deleted(pod) or is_finished(pod)
