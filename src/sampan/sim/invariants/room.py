"""What nodes have room for, in plain resources: the arithmetic that invariants of scheduling share.

Amounts are CPU, memory and pods in units of 10⁻⁹. Nothing else that keeps a pod from a node is looked at, so what does
not fit here cannot be placed at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from sampan.apimachinery.object import Object, dig, namespace_of
from sampan.sim.invariants.pods import amount, requested
from sampan.sim.world import GroupResource, World

RESOURCES: Final = ("cpu", "memory", "pods")
GROUPS: Final[GroupResource] = ("scheduling.k8s.io", "podgroups")
Amounts: TypeAlias = tuple[int, ...]
NOTHING: Final[Amounts] = (0, 0, 0)


def asked(pod: Object) -> Amounts:
    return tuple(requested(pod, resource) for resource in RESOURCES)


def total(pods: Iterable[Object]) -> Amounts:
    return add(*map(asked, pods))


def add(*amounts: Amounts) -> Amounts:
    return tuple(map(sum, zip(NOTHING, *amounts, strict=True)))


def allocatable(node: Object | None) -> Amounts:
    """Nothing, of a node that is not there."""
    found = dig(node, "status", "allocatable", default={}) if node is not None else {}
    return tuple(amount(found.get(resource, "0")) for resource in RESOURCES)


def fits(wanted: Amounts, room: Amounts) -> bool:
    return all(one <= other for one, other in zip(wanted, room, strict=True))


def copies(wanted: Amounts, room: Amounts, used: Amounts) -> int:
    """How many pods of a size fit beside what is used."""
    left = [(of - taken, one) for of, taken, one in zip(room, used, wanted, strict=True) if one]
    return max(0, min(free // one for free, one in left))


def group_key(pod: Object) -> str:
    """The key of the PodGroup that a pod names; empty if it names none."""
    name = dig(pod, "spec", "schedulingGroup", "podGroupName", default="")
    return f"{namespace_of(pod)}/{name}" if name else ""


def group_of(world: World, pod: Object) -> Object | None:
    key = group_key(pod)
    return world.get(GROUPS, key) if key else None


def priority_of(world: World, pod: Object) -> int:
    """What counts when pods are preempted: the group's priority, if it states one."""
    stated = dig(group_of(world, pod) or {}, "spec", "priority")
    return int(dig(pod, "spec", "priority", default=0) if stated is None else stated)


def may_preempt(world: World, pod: Object) -> bool:
    stated = dig(group_of(world, pod) or {}, "spec", "preemptionPolicy") or dig(pod, "spec", "preemptionPolicy")
    return bool(stated != "Never")


def least_of(group: Object) -> int | None:
    """How many pods a gang needs; None if the group is no gang."""
    least = dig(group, "spec", "schedulingPolicy", "gang", "minCount")
    return None if least is None else int(least)
