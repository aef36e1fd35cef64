"""PodGroups: which pods belong together, as far as the scheduler knows (KEP-4671).

A pod names its group in `spec.schedulingGroup.podGroupName`. The group's object says how many of its pods must find a
place at the same time, and whether they must share a topology domain. Members are counted from the moment they appear,
whether they wait or run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sampan.apimachinery.object import Object, dig
from sampan.scheduler.pod_info import PodInfo


@dataclass(frozen=True, slots=True)
class Gang:
    """A group whose pods are placed all or not at all. `topology_key` is empty when they may be anywhere."""

    key: str
    obj: Object
    min_count: int
    topology_key: str

    def disagreement(self, pods: Collection[PodInfo]) -> str:
        """What is wrong with the group's pods, in upstream's words; empty if nothing is."""
        names = dict.fromkeys(pod.signature.scheduler_name for pod in pods)
        if len(names) > 1:
            first, second = list(names)[:2]
            return (
                "all pods in a single pod group should have the same .spec.schedulerName set, "
                f'got: "{second}" and "{first}"'
            )
        stated = dig(self.obj, "spec", "priority")
        for pod in pods:
            if stated is not None and pod.priority != stated:
                return (
                    "all pods in a single pod group should have the same priority as the pod group's priority, "
                    f"got {pod.priority} and {stated}"
                )
        return ""


def group_of(pod: PodInfo) -> str:
    """The key, `namespace/name`, of the pod's group; empty if it has none."""
    return pod.signature.group


class PodGroups:
    """`find(key)` gives a PodGroup's document, None before it has appeared; `found_by` sets it."""

    def __init__(self) -> None:
        self._members: dict[str, dict[str, PodInfo]] = {}
        self.find: Callable[[str], Object | None] = lambda key: None

    def put(self, pod: PodInfo) -> None:
        """A pod has appeared or changed."""
        key = group_of(pod)
        if key:
            self._members.setdefault(key, {})[pod.key] = pod

    def remove(self, pod: PodInfo) -> None:
        """A pod is gone, or has ended."""
        members = self._members.get(group_of(pod))
        if members is not None:
            members.pop(pod.key, None)
            if not members:
                del self._members[group_of(pod)]

    def members(self, key: str) -> Mapping[str, PodInfo]:
        """The pods of a group, by their key, in the order in which they appeared."""
        return self._members.get(key, {})

    def count(self, key: str) -> int:
        """How many pods of a group run or wait; those that wait and are being deleted do not count."""
        return sum(bool(pod.node_name) or not pod.terminating for pod in self.members(key).values())

    def priority(self, pod: PodInfo) -> int:
        """What counts when pods are preempted: the group's priority for all its pods."""
        key = pod.signature.group
        obj = self.find(key) if key else None
        stated = dig(obj, "spec", "priority") if obj is not None else None
        return pod.signature.priority if stated is None else int(stated)

    def disrupted_together(self, pod: PodInfo) -> str:
        """The key of the pod's group, if that says that all its pods are disrupted or none; else empty."""
        key = pod.signature.group
        obj = self.find(key) if key else None
        return key if obj is not None and dig(obj, "spec", "disruptionMode", "all") is not None else ""

    def gang(self, pod: PodInfo) -> Gang | None:
        """The pod's group, if that has to be placed as a whole."""
        key = group_of(pod)
        obj = self.find(key) if key else None
        if obj is None:
            return None
        least = dig(obj, "spec", "schedulingPolicy", "gang", "minCount")
        constraints = dig(obj, "spec", "schedulingConstraints", "topology") or []
        if least is None and not constraints:
            return None
        return Gang(key, obj, int(least or 1), str(constraints[0]["key"]) if constraints else "")
