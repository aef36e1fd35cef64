"""A DaemonSet's rolling update: which old pods to replace next.

Without surge, old pods are deleted, and the loop then finds their nodes empty. Unavailable old pods go at once, for
nobody loses by it; available ones while fewer than `maxUnavailable` nodes lack an available pod. With surge, a new pod
is added beside the old one on at most `maxSurge` nodes, and the old one goes when the new one is available.

Pods on nodes that no longer take any (a taint that they need not flee from) are old or new as well. Without surge their
old ones are deleted in their turn; with surge, which promises that nobody is missing, only when there are more
available pods than nodes that should have one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sampan.apimachinery.object import Object, dig, is_being_deleted
from sampan.controllers.workloads.deployment_scaling import resolve


@dataclass(frozen=True, slots=True)
class Budget:
    """How many nodes may lack an available pod, on how many there may be two, and how many should have one."""

    rolls: bool
    unavailable: int
    surge: int
    desired: int

    @classmethod
    def of(cls, daemon_set: Object, desired: int) -> Budget:
        strategy = dig(daemon_set, "spec", "updateStrategy", default={})
        rolling = strategy.get("rollingUpdate") or {}
        surge = resolve(rolling.get("maxSurge", 0), desired, up=True)
        unavailable = resolve(rolling.get("maxUnavailable", 1), desired, up=True)
        if not surge and not unavailable:
            unavailable = 1
        return cls(strategy.get("type", "RollingUpdate") == "RollingUpdate", unavailable, surge, desired)


@dataclass(frozen=True, slots=True)
class NodePods:
    """A node's old and new pod, without those that are going, and whether each is available."""

    name: str
    runs: bool
    """Whether a pod should be put there."""
    old: Object | None = None
    new: Object | None = None
    old_available: bool = False
    new_available: bool = False
    crowded: bool = False
    """Several pods of one kind are there: all but one are cleaned away before anything is replaced."""

    @classmethod
    def of(
        cls, name: str, runs: bool, pods: Sequence[Object], is_updated: Callable[[Object], bool],
        is_available: Callable[[Object], bool],
    ) -> NodePods:
        there = [pod for pod in pods if not is_being_deleted(pod)]
        new: list[Object] = []
        old: list[Object] = []
        for pod in there:
            (new if is_updated(pod) else old).append(pod)
        if len(new) > 1 or len(old) > 1:
            return cls(name, runs, crowded=True)
        return cls(
            name, runs, next(iter(old), None), next(iter(new), None), any(map(is_available, old)),
            any(map(is_available, new)),
        )


@dataclass(frozen=True, slots=True)
class Replacements:
    """Old pods to delete, and nodes on which to add a new pod beside the old one."""

    delete: tuple[Object, ...] = ()
    create: tuple[str, ...] = ()


def next_replacements(nodes: Sequence[NodePods], budget: Budget) -> Replacements:
    return _with_surge(nodes, budget) if budget.surge else _without_surge(nodes, budget)


def _without_surge(nodes: Sequence[NodePods], budget: Budget) -> Replacements:
    lacking = 0
    at_once: list[Object] = []
    candidates: list[Object] = []
    for node in nodes:
        if node.crowded or (node.old is None) == (node.new is None):
            lacking += 1  # the loop adds or removes a pod there first
        elif node.old is None:
            lacking += not node.new_available
        elif not node.old_available:
            at_once.append(node.old)
            lacking += 1
        else:
            candidates.append(node.old)
    room = max(budget.unavailable - lacking, 0)
    return Replacements((*at_once, *candidates[:room]))


def _with_surge(nodes: Sequence[NodePods], budget: Budget) -> Replacements:
    doubled = available = 0
    delete: list[Object] = []
    elsewhere: list[Object] = []
    at_once: list[str] = []
    candidates: list[str] = []
    for node in nodes:
        available += node.old_available if node.old is not None else node.new_available
        if node.crowded:
            doubled += 1
        elif node.old is None:
            continue
        elif node.new is not None:
            if node.new_available:
                delete.append(node.old)
            else:
                doubled += 1
        elif node.runs:
            (candidates if node.old_available else at_once).append(node.name)
        else:
            (elsewhere if node.old_available else delete).append(node.old)
    delete += elsewhere[: max(available - budget.desired, 0)]
    room = max(budget.surge - doubled, 0)
    return Replacements(tuple(delete), (*at_once, *candidates[:room]))
