"""InterPodAffinity: near these pods, away from those, within topologies given by node labels.

A topology is a (label key, label value) pair, such as one zone. Before filtering, three counts are made per topology:
pods that match the incoming pod's required affinity terms (all of them at once), pods that match its anti-affinity
terms, and pods whose own anti-affinity forbids the incoming pod. A node is then judged by its labels alone. Preferences
of the incoming pod, and of the pods that are there already, add up to a score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.interface import MAX_NODE_SCORE, CycleState, Handle
from sampan.scheduler.framework.status import SKIP, Status, unresolvable, unschedulable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import AffinityTerm, NamespaceLabels, PodInfo
from sampan.scheduler.snapshot import Snapshot

Topology: TypeAlias = tuple[str, str]

_NO_AFFINITY = unresolvable("node(s) didn't match pod affinity rules")
_ANTI_AFFINITY = unschedulable("node(s) didn't match pod anti-affinity rules")
_EXISTING_ANTI_AFFINITY = unschedulable("node(s) didn't satisfy existing pods anti-affinity rules")
_SCORES = "InterPodAffinity scores"


@dataclass(slots=True)
class _Counts:
    """Pods by topology; see the file's docstring."""

    affinity: Counter[Topology] = field(default_factory=Counter)
    anti_affinity: Counter[Topology] = field(default_factory=Counter)
    forbidding: Counter[Topology] = field(default_factory=Counter)

    def copy(self) -> _Counts:
        return _Counts(self.affinity.copy(), self.anti_affinity.copy(), self.forbidding.copy())


class InterPodAffinity:
    name: ClassVar[str] = "InterPodAffinity"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((
        ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS, ClusterEvent.POD_PLACED, ClusterEvent.POD_LABELS,
        ClusterEvent.POD_FREED, ClusterEvent.NAMESPACE,
    ))

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._snapshot = handle.snapshot
        self._namespaces = handle.namespaces
        self._hard_weight = arguments.get("hardPodAffinityWeight", 1)

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        own = pod.affinity
        if not own.required and not own.required_anti and not snapshot.anti_affine_count:
            return SKIP
        counts = _Counts()
        every = bool(own.required or own.required_anti)
        for node in snapshot.nodes():
            for other in (node.pods if every else node.anti_affine_pods).values():
                self._count(counts, pod, other, node, 1)
        state[self.name] = counts
        return None

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None:
        self._count(state[self.name], pod, added, node, 1)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None:
        self._count(state[self.name], pod, removed, node, -1)

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        counts: _Counts = state[self.name]
        if not self._is_near(counts, pod, node):
            return _NO_AFFINITY
        if any(counts.anti_affinity[t] > 0 for t in _topologies(pod.affinity.required_anti, node)):
            return _ANTI_AFFINITY
        if counts.forbidding and any(counts.forbidding[topology] > 0 for topology in node.labels.items()):
            return _EXISTING_ANTI_AFFINITY
        return None

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Status | None:
        own = pod.affinity
        prefers = bool(own.preferred or own.preferred_anti)
        if not prefers and not self._snapshot.affine_count:
            return SKIP
        namespaces = self._namespaces()
        scores: Counter[Topology] = Counter()
        for node in self._snapshot.nodes():
            for other in (node.pods if prefers else node.affine_pods).values():
                self._weigh(scores, pod, other, node, namespaces)
        if not scores:
            return SKIP
        state[_SCORES] = scores
        return None

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        scores: Counter[Topology] = state[_SCORES]
        return sum(scores[topology] for topology in node.labels.items())

    def normalize(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], scores: list[int]) -> None:
        least, most = min(scores), max(scores)
        for position, score in enumerate(scores):
            scores[position] = MAX_NODE_SCORE * (score - least) // (most - least) if most > least else 0

    def _is_near(self, counts: _Counts, pod: PodInfo, node: NodeInfo) -> bool:
        """Whether each affinity term finds a pod in the node's topology.

        The first of a group of pods that want to be together finds none anywhere; it may go anywhere, if it matches
        its own terms.
        """
        terms = pod.affinity.required
        if any(term.topology_key not in node.labels for term in terms):
            return False
        if all(counts.affinity[topology] > 0 for topology in _topologies(terms, node)):
            return True
        nobody = not any(count > 0 for count in counts.affinity.values())
        return nobody and _matches_all(terms, pod, self._namespaces())

    def _count(self, counts: _Counts, pod: PodInfo, other: PodInfo, node: NodeInfo, sign: int) -> None:
        namespaces = self._namespaces()
        own = pod.affinity
        if own.required and _matches_all(own.required, other, namespaces):
            for topology in _topologies(own.required, node):
                counts.affinity[topology] += sign
        for term in own.required_anti:
            if term.matches(other, namespaces):
                for topology in _topologies((term,), node):
                    counts.anti_affinity[topology] += sign
        for term in other.affinity.required_anti:
            if term.matches(pod, namespaces):
                for topology in _topologies((term,), node):
                    counts.forbidding[topology] += sign

    def _weigh(
        self, scores: Counter[Topology], pod: PodInfo, other: PodInfo, node: NodeInfo, namespaces: NamespaceLabels
    ) -> None:
        """What one pod that is there adds to the score of its topologies."""
        wishes = [(term, other, term.weight) for term in pod.affinity.preferred]
        wishes += [(term, other, -term.weight) for term in pod.affinity.preferred_anti]
        wishes += [(term, pod, self._hard_weight) for term in other.affinity.required]
        wishes += [(term, pod, term.weight) for term in other.affinity.preferred]
        wishes += [(term, pod, -term.weight) for term in other.affinity.preferred_anti]
        for term, about, weight in wishes:
            if weight and term.matches(about, namespaces):
                for topology in _topologies((term,), node):
                    scores[topology] += weight


def _topologies(terms: Iterable[AffinityTerm], node: NodeInfo) -> list[Topology]:
    return [(t.topology_key, node.labels[t.topology_key]) for t in terms if t.topology_key in node.labels]


def _matches_all(terms: Iterable[AffinityTerm], pod: PodInfo, namespaces: NamespaceLabels) -> bool:
    return all(term.matches(pod, namespaces) for term in terms)
