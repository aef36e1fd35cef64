"""The gang cycle: all waiting pods of a gang against one snapshot, and one decision about all of them.

Every pod is decided on and assumed in turn, so that the next one counts it. If in the end enough have a place (those
of the gang that run already count), they keep them; otherwise everything is taken back as if nothing had been tried.
Nothing waits in between, so no other pod sees half a gang.

A gang that must share a topology domain is tried in one domain after the other. It takes the first in which all its
pods find a place, else the one with room for most of them; if some run already, only theirs comes into question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sampan.scheduler.cycle import Decision, Outside, decide
from sampan.scheduler.framework.framework import Framework
from sampan.scheduler.framework.status import Status
from sampan.scheduler.pod_groups import Gang
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

PLUGIN = "GangScheduling"


@dataclass(slots=True)
class Outcome:
    """What became of each pod. If the gang has enough, `placed` are assumed and reserved; otherwise nothing is."""

    needed: int
    placed: list[Decision] = field(default_factory=list)
    refused: list[tuple[Decision, Status | None]] = field(default_factory=list)
    """With the status of what refused it after a node was found, None if none was found."""

    @property
    def enough(self) -> bool:
        return len(self.placed) >= self.needed


@dataclass(frozen=True, slots=True)
class GangCycle:
    """`pods` wait; `running` are the members that have a node. `outside`: what extenders said of some pods, by key."""

    framework: Framework
    snapshot: Snapshot
    gang: Gang
    pods: Sequence[PodInfo]
    running: Sequence[PodInfo] = ()
    outside: Mapping[str, Outside] = field(default_factory=dict)

    def run(self) -> Outcome:
        """Place the gang, or leave everything as it was."""
        best: Outcome | None = None
        best_domain: frozenset[str] | None = None
        for domain in self._domains():
            outcome = self._try(domain)
            if outcome.enough and len(outcome.placed) == len(self.pods):
                return outcome
            self.take_back(outcome)
            if best is None or len(outcome.placed) > len(best.placed):
                best, best_domain = outcome, domain
        if best is None:
            return Outcome(self._needed)
        return self._try(best_domain) if best.enough else best

    @property
    def _needed(self) -> int:
        return max(1, self.gang.min_count - len(self.running))

    def _try(self, nodes: frozenset[str] | None) -> Outcome:
        """Everything assumed and reserved that finds a place on these nodes (None: on any)."""
        outcome = Outcome(self._needed)
        try:
            self._fill(outcome, nodes)
        except BaseException:
            self.take_back(outcome)
            raise
        return outcome

    def _fill(self, outcome: Outcome, nodes: frozenset[str] | None) -> None:
        for position, pod in enumerate(self.pods):
            if len(outcome.placed) + len(self.pods) - position < outcome.needed:
                break  # too few are left
            decision = decide(
                self.framework, self.snapshot, pod, only=nodes, outside=self.outside.get(pod.key)
            )
            if not decision.node_name:
                outcome.refused.append((decision, None))
                continue
            self.snapshot.assume(pod, decision.node_name)
            status = self.framework.reserve(decision.state, pod, decision.node_name)
            if status is None:
                outcome.placed.append(decision)
            else:
                self.snapshot.forget(pod)
                outcome.refused.append((decision, status))

    def take_back(self, outcome: Outcome) -> None:
        """As if nothing had been placed."""
        for decision in reversed(outcome.placed):
            self.framework.unreserve(decision.state, decision.pod, decision.node_name)
            self.snapshot.forget(decision.pod)

    def _domains(self) -> Sequence[frozenset[str] | None]:
        """The sets of nodes to try, by the value of the label; one without limit if there is no constraint."""
        key = self.gang.topology_key
        if not key:
            return (None,)
        domains: dict[str, list[str]] = {}
        for node in self.snapshot.nodes():
            if key in node.labels:
                domains.setdefault(node.labels[key], []).append(node.name)
        taken = {value for value, names in domains.items() if any(pod.node_name in names for pod in self.running)}
        return [frozenset(domains[value]) for value in sorted(domains) if not taken or value in taken]


    def too_few(self, outcome: Outcome) -> str:
        """Why the gang is not placed."""
        placed = len(self.running) + len(outcome.placed)
        return f"minCount ({self.gang.min_count}) cannot be satisfied: {placed} of the pod group's pods have a place"
