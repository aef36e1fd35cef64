"""Explanation: what every filter says about every node, and the least that would have to change.

An attempt stops at the first plugin that refuses a node; here all of them are asked, because what would help is the
change that satisfies all. The node whose changes weigh least is the answer. Where they can be made on paper (a
toleration, a label, more room) they are, and the filters are asked again, so that the recommendation is known to work.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sampan.scheduler.framework.framework import Framework
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.framework.status import Status, unresolvable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo, parse
from sampan.scheduler.snapshot import Snapshot
from sampan.scheduler.why import node_remedies
from sampan.scheduler.why.neighbour_remedies import Neighbours
from sampan.scheduler.why.remedy import BEYOND, Remedy

Remedies: TypeAlias = Callable[[PodInfo, NodeInfo, Status], Iterator[Remedy]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One plugin's verdict on one node, and what would change it; no remedies where nobody knows any."""

    plugin: str
    reason: str
    remedies: tuple[Remedy, ...]

    @property
    def weight(self) -> float:
        return sum(remedy.weight for remedy in self.remedies) if self.remedies else BEYOND


@dataclass(frozen=True, slots=True)
class NodeVerdict:
    node: str
    refusals: tuple[Refusal, ...]

    @property
    def weight(self) -> float:
        return sum(refusal.weight for refusal in self.refusals)

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """Each once: uncordoning helps against the flag and against the taint."""
        return tuple({remedy.text: remedy for refusal in self.refusals for remedy in refusal.remedies}.values())


@dataclass(frozen=True, slots=True)
class Explanation:
    """`rejection` stands for all nodes; otherwise `verdicts` are the nodes that refuse and `fitting` those that do not.

    `smallest` is the verdict whose changes weigh least; `is_confirmed` if they were tried on paper and the pod then
    fits.
    """

    pod: PodInfo
    rejection: Status | None
    fitting: tuple[str, ...]
    verdicts: tuple[NodeVerdict, ...]
    smallest: NodeVerdict | None
    is_confirmed: bool


def explain(framework: Framework, snapshot: Snapshot, pod: PodInfo) -> Explanation:
    """Why the pod is or is not placed. The snapshot is the caller's own: it is changed and put back."""
    gate = framework.pre_enqueue(pod)
    if gate is not None:
        return Explanation(pod, gate, (), (), None, False)
    state: CycleState = {}
    before, _ = framework.pre_filter(state, pod)
    if before.rejection is not None:
        return Explanation(pod, before.rejection, (), (), None, False)
    known = _remedies(Neighbours(snapshot, pod, framework.handle.namespaces()))
    fitting, verdicts = [], []
    for node in snapshot.nodes():
        refusals = tuple(_refusals(framework, state, pod, node, known))
        if before.node_names is not None and node.name not in before.node_names and not refusals:
            plugin = before.limited_by[0]
            refusals = (Refusal(plugin, "node(s) didn't satisfy plugin(s)", ()),)
        if refusals:
            verdicts.append(NodeVerdict(node.name, refusals))
        else:
            fitting.append(node.name)
    smallest = min(verdicts, key=lambda verdict: verdict.weight, default=None) if not fitting else None
    confirmed = smallest is not None and _fits_when_changed(framework, snapshot, pod, smallest)
    return Explanation(pod, None, tuple(fitting), tuple(verdicts), smallest, confirmed)


def _remedies(neighbours: Neighbours) -> Mapping[str, Remedies]:
    """By plugin. Of volumes, devices and extenders only their own reasons are known."""
    return {
        "NodeUnschedulable": node_remedies.schedulable, "NodeName": node_remedies.name,
        "TaintToleration": node_remedies.taints, "NodeAffinity": node_remedies.labels, "NodePorts": node_remedies.ports,
        "NodeResourcesFit": node_remedies.room, "PodTopologySpread": neighbours.spread,
        "InterPodAffinity": neighbours.affinity,
    }


def _refusals(
    framework: Framework, state: CycleState, pod: PodInfo, node: NodeInfo, remedies: Mapping[str, Remedies]
) -> Iterator[Refusal]:
    for status in framework.refusals(state, pod, node):
        known = remedies.get(status.plugin)
        yield Refusal(status.plugin, status.message, tuple(known(pod, node, status)) if known else ())


def _fits_when_changed(framework: Framework, snapshot: Snapshot, pod: PodInfo, verdict: NodeVerdict) -> bool:
    """Whether the pod fits on the node once all remedies are applied; False if one cannot be tried."""
    remedies, info = verdict.remedies, snapshot.node(verdict.node)
    if info is None or info.node is None or pod.obj is None:
        return False
    if any(not refusal.remedies for refusal in verdict.refusals):
        return False
    if any(remedy.pod is None and remedy.node is None for remedy in remedies):
        return False
    before = info.node
    node, changed = copy.deepcopy(before), copy.deepcopy(pod.obj)
    for remedy in remedies:
        if remedy.node is not None:
            remedy.node(node)
        if remedy.pod is not None:
            remedy.pod(changed)
    snapshot.set_node(node)
    try:
        return _refusal(framework, snapshot, parse(changed), verdict.node) is None
    finally:
        snapshot.set_node(before)


def _refusal(framework: Framework, snapshot: Snapshot, pod: PodInfo, node_name: str) -> Status | None:
    state: CycleState = {}
    before, _ = framework.pre_filter(state, pod)
    if before.rejection is not None:
        return before.rejection
    if before.node_names is not None and node_name not in before.node_names:
        return unresolvable("another node is wanted")
    node = snapshot.node(node_name)
    assert node is not None, f"{node_name} was there a moment ago"
    return framework.filter(state, pod, node)


def summary(explanation: Explanation) -> Sequence[tuple[tuple[str, ...], tuple[Refusal, ...]]]:
    """Verdicts that read alike, once, with the nodes that they are about; the ones that weigh least come first."""
    groups: dict[tuple[tuple[str, str, tuple[str, ...]], ...], list[NodeVerdict]] = {}
    for verdict in sorted(explanation.verdicts, key=lambda verdict: (verdict.weight, verdict.node)):
        words = tuple((one.plugin, one.reason, tuple(r.text for r in one.remedies)) for one in verdict.refusals)
        groups.setdefault(words, []).append(verdict)
    return [(tuple(verdict.node for verdict in group), group[0].refusals) for group in groups.values()]
