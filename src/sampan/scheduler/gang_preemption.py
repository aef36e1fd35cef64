"""Room for a gang: which pods of lower priority have to go so that enough of it finds a place (KEP-5710).

All pods that could go are taken off the snapshot on trial, and the gang is placed on what is left. Then, the important
before the less and those that a disruption budget protects before all, each is put back where it was if every pod of
the gang can stay where it was placed. What cannot be put back are the victims. At the end the snapshot is as it was.

When nothing but resources keeps the gang's pods away, putting back a pod concerns only those placed on the same node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sampan.apimachinery.object import dig
from sampan.scheduler.cycle import Decision, fits
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.gang_cycle import GangCycle
from sampan.scheduler.plugins.preemption_units import Unit, exceeding
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Placed

NO_VICTIMS = "No preemption victims found for incoming preemptor"
NOT_HELPFUL = "Preemption is not helpful for scheduling"


@dataclass(frozen=True, slots=True)
class GangRoom:
    """`nodes` has the node of each pod of the gang by its key, empty if preemption does not help."""

    victims: tuple[PodInfo, ...]
    nodes: Mapping[str, str]
    message: str


def priority_of(cycle: GangCycle) -> int:
    stated = dig(cycle.gang.obj, "spec", "priority")
    return cycle.pods[0].priority if stated is None else int(stated)


def preempts(cycle: GangCycle) -> bool:
    stated = dig(cycle.gang.obj, "spec", "preemptionPolicy")
    return cycle.pods[0].signature.preempts if stated is None else stated != "Never"


def find_room(cycle: GangCycle, handle: Handle) -> GangRoom:
    """The least harm that lets the gang in, as far as this order finds it."""
    units = sorted(_units(cycle, handle), key=lambda unit: unit.importance)
    if not units:
        return GangRoom((), {}, NO_VICTIMS)
    lifted = {pod.key: cycle.snapshot.lift(pod.key) for unit in units for pod in unit.pods}
    try:
        outcome = cycle.run()
        if not outcome.enough:
            return GangRoom((), {}, NOT_HELPFUL)
        try:
            victims = _not_spared(cycle, outcome.placed, _by_budget(handle, units), lifted)
        finally:
            cycle.take_back(outcome)
    finally:
        for placed in lifted.values():
            cycle.snapshot.put_back(placed)
    nodes = {decision.pod.key: decision.node_name for decision in outcome.placed}
    return GangRoom(victims, nodes, f"found a placement for podgroup, preempting {len(victims)} victims")


def _units(cycle: GangCycle, handle: Handle) -> Iterable[Unit]:
    """Everything on a node that is less important than the gang."""
    limit, groups = priority_of(cycle), handle.groups
    together: dict[str, list[PodInfo]] = {}
    for placed in cycle.snapshot.placed().values():
        pod = placed.pod
        if pod.signature.group == cycle.gang.key or cycle.snapshot.node(pod.node_name) is None:
            continue
        priority = groups.priority(pod)
        if priority >= limit:
            continue
        if key := groups.disrupted_together(pod):
            together.setdefault(key, []).append(pod)
        else:
            yield Unit((pod,), priority)
    for pods in together.values():
        yield Unit(tuple(pods), groups.priority(pods[0]), True)


def _by_budget(handle: Handle, units: Sequence[Unit]) -> list[Unit]:
    """Those that a budget protects first."""
    exceeded = exceeding(handle, units)
    protected = [unit for unit, exceeds in zip(units, exceeded, strict=True) if exceeds]
    return protected + [unit for unit, exceeds in zip(units, exceeded, strict=True) if not exceeds]


def _not_spared(
    cycle: GangCycle, gang: Sequence[Decision], units: Sequence[Unit], lifted: dict[str, Placed]
) -> tuple[PodInfo, ...]:
    """Put back what can be; the others, the most important first. Who is put back is no longer in `lifted`."""
    is_alone = [cycle.framework.only_resources_can_refuse(decision.state) for decision in gang]
    victims: list[Unit] = []
    for unit in units:
        nodes = {pod.node_name for pod in unit.pods}
        concerned = [
            decision for decision, alone in zip(gang, is_alone, strict=True) if not alone or decision.node_name in nodes
        ]
        for pod in unit.pods:
            cycle.snapshot.put_back(lifted[pod.key])
        if all(_stays(cycle, decision) for decision in concerned):
            for pod in unit.pods:
                del lifted[pod.key]
        else:
            for pod in unit.pods:
                cycle.snapshot.lift(pod.key)
            victims.append(unit)
    return tuple(pod for unit in sorted(victims, key=lambda unit: unit.importance) for pod in unit.pods)


def _stays(cycle: GangCycle, decision: Decision) -> bool:
    """Whether a pod of the gang could still be placed where it was, beside the others."""
    snapshot, pod = cycle.snapshot, decision.pod
    snapshot.forget(pod)
    try:
        node, state = snapshot.node(decision.node_name), CycleState()
        before, _ = cycle.framework.pre_filter(state, pod)
        if node is None or before.rejection is not None:
            return False
        if before.node_names is not None and node.name not in before.node_names:
            return False
        return fits(cycle.framework, snapshot, state, pod, node) is None
    finally:
        snapshot.assume(pod, decision.node_name)
