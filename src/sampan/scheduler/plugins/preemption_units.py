"""What is preempted together, in which order, and against which budgets.

A unit is a pod, or all pods of a PodGroup whose disruption mode is `all` (KEP-5710). A group's priority counts for its
pods. The more important unit is spared first: the higher priority, a group before a single pod, the larger group, who
started earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.pod_info import PodInfo

_NOT_STARTED = 10**15
_DIGITS = str.maketrans("", "", "-:TZ.+")


@dataclass(frozen=True, slots=True)
class Unit:
    """`pods` are those whose place is at stake, `elsewhere` those that would have to go with them."""

    pods: tuple[PodInfo, ...]
    priority: int
    is_group: bool = False
    elsewhere: tuple[PodInfo, ...] = ()

    @property
    def importance(self) -> tuple[int, bool, int, int, str]:
        """The most important first."""
        if len(self.pods) == 1 and not self.is_group:
            return -self.priority, True, 0, started(self.pods[0]), self.pods[0].key
        members = (*self.pods, *self.elsewhere)
        return -self.priority, False, -len(members), min(map(started, members)), members[0].key


def exceeding(handle: Handle, units: Sequence[Unit]) -> list[bool]:
    """Whether deleting each, after those before it, would exceed a disruption budget."""
    every = [pod for unit in units for pod in (*unit.pods, *unit.elsewhere)]
    budgets = {namespace: list(handle.disruption_budgets(namespace)) for namespace in {pod.namespace for pod in every}}
    if not any(budgets.values()):
        return [False] * len(units)
    left: dict[tuple[str, int], int] = {}

    def exceeds(pod: PodInfo) -> bool:
        exceeded = False
        for number, budget in enumerate(budgets[pod.namespace]):
            if _covers(budget, pod):
                key = pod.namespace, number
                allowed = left.get(key, (budget.get("status") or {}).get("disruptionsAllowed") or 0)
                left[key] = allowed - 1
                exceeded = exceeded or allowed <= 0
        return exceeded

    return [sum(map(exceeds, (*unit.pods, *unit.elsewhere))) > 0 for unit in units]


def started(pod: PodInfo) -> int:
    """When the pod started, as a number that grows with time; one that has not started is the latest."""
    return int(pod.started.translate(_DIGITS)[:14]) if pod.started else _NOT_STARTED


def _covers(budget: Object, pod: PodInfo) -> bool:
    if pod.name in ((budget.get("status") or {}).get("disruptedPods") or ()):
        return False  # it is counted already
    document = (budget.get("spec") or {}).get("selector")
    return bool(pod.labels) and document is not None and selectors.from_document(document).matches(pod.labels)
