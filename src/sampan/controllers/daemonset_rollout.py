"""A DaemonSet's rolling update: which old pods to replace next.

Without surge, old pods are deleted, and the loop then finds their nodes empty. Unavailable old pods go at once, for
nobody loses by it; available ones while fewer than `maxUnavailable` nodes lack an available pod. With surge, a new pod
is added beside the old one on at most `maxSurge` nodes, and the old one goes when the new one is available.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sampan.apimachinery.object import Object, dig, is_being_deleted, labels_of
from sampan.controllers.deployment_scaling import resolve
from sampan.controllers.pods import is_available
from sampan.controllers.revision_history import HASH_LABEL


@dataclass(frozen=True, slots=True)
class Budget:
    """How many nodes may lack an available pod, and on how many there may be two."""

    rolls: bool
    unavailable: int
    surge: int

    @classmethod
    def of(cls, daemon_set: Object, desired: int) -> Budget:
        strategy = dig(daemon_set, "spec", "updateStrategy", default={})
        rolling = strategy.get("rollingUpdate") or {}
        surge = resolve(rolling.get("maxSurge", 0), desired, up=True)
        unavailable = resolve(rolling.get("maxUnavailable", 1), desired, up=True)
        if not surge and not unavailable:
            unavailable = 1
        return cls(strategy.get("type", "RollingUpdate") == "RollingUpdate", unavailable, surge)


@dataclass(frozen=True, slots=True)
class NodePods:
    """A node's old and new pod, and whether each is available."""

    name: str
    old: Object | None
    new: Object | None
    old_available: bool
    new_available: bool
    crowded: bool = False
    """Several old pods are there: all but one are cleaned away before a new one comes."""

    @classmethod
    def of(cls, name: str, pods: Sequence[Object], digest: str, min_ready_s: int, now: datetime) -> NodePods:
        new = next((pod for pod in pods if labels_of(pod).get(HASH_LABEL) == digest), None)
        old = next((pod for pod in pods if labels_of(pod).get(HASH_LABEL) != digest), None)

        def available(pod: Object | None) -> bool:
            return pod is not None and not is_being_deleted(pod) and is_available(pod, min_ready_s, now)

        olds = [pod for pod in pods if labels_of(pod).get(HASH_LABEL) != digest and not is_being_deleted(pod)]
        return cls(name, old, new, available(old), available(new), len(olds) > 1)


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
        if node.old is None or node.new is not None:
            lacking += not (node.old_available or node.new_available)
        elif is_being_deleted(node.old):
            lacking += 1
        elif not node.old_available:
            at_once.append(node.old)
            lacking += 1
        else:
            candidates.append(node.old)
    room = max(budget.unavailable - lacking, 0)
    return Replacements((*at_once, *candidates[:room]))


def _with_surge(nodes: Sequence[NodePods], budget: Budget) -> Replacements:
    doubled = 0
    delete: list[Object] = []
    at_once: list[str] = []
    candidates: list[str] = []
    for node in nodes:
        if node.old is None:
            continue
        if node.crowded:
            doubled += 1
        elif node.new is not None:
            if node.new_available and not is_being_deleted(node.old):
                delete.append(node.old)
            elif not node.new_available:
                doubled += 1
        elif node.old_available:
            candidates.append(node.name)
        else:
            at_once.append(node.name)
    room = max(budget.surge - doubled, 0)
    return Replacements(tuple(delete), (*at_once, *candidates[:room]))
