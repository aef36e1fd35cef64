"""The scheduling cycle: one pod, one snapshot, one decision. Synchronous and without effects.

    pre-filter → filter every node → score those that fit → the best; among equals, chance decides

Ties are broken by `effects.rng()` over the nodes in name order, so a seeded run decides the same way again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sampan import effects
from sampan.scheduler.diagnosis import Diagnosis
from sampan.scheduler.framework.framework import Framework
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.framework.status import Status, unresolvable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Decision:
    """`node_name` is empty when no node fits; then `diagnosis` says why."""

    pod: PodInfo
    node_name: str
    state: CycleState
    diagnosis: Diagnosis


def decide(framework: Framework, snapshot: Snapshot, pod: PodInfo) -> Decision:
    """Where the pod should go."""
    state: CycleState = {}
    diagnosis = Diagnosis(len(snapshot.nodes()))
    feasible = _feasible(framework, snapshot, pod, state, diagnosis)
    if not feasible:
        return Decision(pod, "", state, diagnosis)
    if len(feasible) == 1:
        return Decision(pod, feasible[0].name, state, diagnosis)
    scores = framework.score(state, pod, feasible)
    return Decision(pod, _best(feasible, scores).name, state, diagnosis)


def fits(framework: Framework, snapshot: Snapshot, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
    """Why the pod cannot run on the node, None if it can; with the pods for which room is being made there, too."""
    nominated = [
        other for other in snapshot.nominated.get(node.name, {}).values()
        if other.priority >= pod.priority and other.key != pod.key and other.key not in node.pods
    ]
    if nominated:
        crowded, crowded_state = node.copy(), _copied(state)
        for other in nominated:
            framework.add_pod(crowded_state, pod, other, crowded)
        refusal = framework.filter(crowded_state, pod, crowded)
        if refusal is not None:
            return refusal
    return framework.filter(state, pod, node)


class CycleTrial:
    """See `framework.interface.Trial`."""

    def __init__(self, framework: Framework, snapshot: Snapshot) -> None:
        self._framework = framework
        self._snapshot = snapshot
        self.add_pod = framework.add_pod
        self.remove_pod = framework.remove_pod

    def copy_state(self, state: CycleState) -> CycleState:
        return _copied(state)

    def refusal(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return fits(self._framework, self._snapshot, state, pod, node)


def _feasible(
    framework: Framework, snapshot: Snapshot, pod: PodInfo, state: CycleState, diagnosis: Diagnosis
) -> list[NodeInfo]:
    """The nodes that fit; fills in the diagnosis for the others."""
    before = framework.pre_filter(state, pod, snapshot)
    nodes = snapshot.nodes()
    if before.rejection is not None:
        diagnosis.pre_filter_message = before.rejection.message
        diagnosis.statuses = {node.name: before.rejection for node in nodes}
        diagnosis.plugins.add(before.rejection.plugin)
        return []
    excluded = unresolvable(f"node(s) didn't satisfy plugin(s) [{' '.join(before.limited_by)}]")
    feasible = []
    for node in nodes:
        if before.node_names is not None and node.name not in before.node_names:
            diagnosis.statuses[node.name] = excluded
            diagnosis.plugins.update(before.limited_by)
            continue
        refusal = fits(framework, snapshot, state, pod, node)
        if refusal is None:
            feasible.append(node)
        else:
            diagnosis.statuses[node.name] = refusal
            diagnosis.plugins.add(refusal.plugin)
    return feasible


def _best(nodes: Sequence[NodeInfo], scores: Sequence[int]) -> NodeInfo:
    most = max(scores)
    tied = [node for node, score in zip(nodes, scores, strict=True) if score == most]
    return tied[0] if len(tied) == 1 else effects.rng().choice(tied)


def _copied(state: CycleState) -> CycleState:
    """A copy that a trial may change: plugins keep values there that can copy themselves."""
    return {name: value.copy() if hasattr(value, "copy") else value for name, value in state.items()}
