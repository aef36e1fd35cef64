"""InterPodAffinity: near these pods, away from those, within topologies given by node labels.

Three sorts of counts per topology domain say which nodes a pod may have: pods that match its required affinity terms
(all of them at once), pods that match its anti-affinity terms, and pods whose own anti-affinity forbids it. Preferences
of the incoming pod, and of the pods that are there already, add up to a score. All counts are kept while pods come and
go (`pod_counts.py`); a cycle only looks them up.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sampan.apimachinery.object import labels_of
from sampan.scheduler.framework.candidates import Candidates
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import MAX_NODE_SCORE, CycleState
from sampan.scheduler.framework.status import SKIP, Status, unresolvable, unschedulable
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import Ints, Rows
from sampan.scheduler.pod_affinity import AffinityTerm
from sampan.scheduler.pod_counts import DomainCounts, Holding, Matching, speaks_of
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.signature import Signature
from sampan.scheduler.snapshot import Snapshot
from sampan.scheduler.topology import NO_DOMAIN

_NO_AFFINITY = unresolvable("node(s) didn't match pod affinity rules")
_ANTI_AFFINITY = unschedulable("node(s) didn't match pod anti-affinity rules")
_EXISTING_ANTI_AFFINITY = unschedulable("node(s) didn't satisfy existing pods anti-affinity rules")
_REFUSALS = (_NO_AFFINITY, _ANTI_AFFINITY, _EXISTING_ANTI_AFFINITY)
_SCORES = "InterPodAffinity scores"


@dataclass(slots=True)
class _Counted:
    """Pods per domain of one topology. `moved` is what a trial changes."""

    counts: DomainCounts
    moved: dict[int, int] = field(default_factory=dict)

    def copy(self) -> _Counted:
        return _Counted(self.counts, dict(self.moved))

    def domain(self, row: int) -> int:
        return int(self.counts.topology.domain[row])

    def at(self, row: int) -> int:
        """How many pods there are in a node's domain."""
        domain = self.domain(row)
        return 0 if domain == NO_DOMAIN else int(self.counts.pods[domain]) + self.moved.get(domain, 0)

    def move(self, row: int, sign: int) -> None:
        domain = self.domain(row)
        if domain != NO_DOMAIN:
            self.moved[domain] = self.moved.get(domain, 0) + sign

    def is_empty(self) -> bool:
        """Whether there is no pod in any domain."""
        if self.moved:
            pods = self.counts.pods.copy()
            for domain, number in self.moved.items():
                pods[domain] += number
            return not pods.any()
        return not self.counts.pods.any()


@dataclass(slots=True)
class _Filtering:
    """See the file's docstring. `trial_forbidding` is of terms that only pods on trial hold: (key, value) → pods."""

    affinity: list[_Counted]
    anti_affinity: list[_Counted]
    forbidding: dict[Holding, _Counted]
    trial_forbidding: dict[tuple[str, int], int] = field(default_factory=dict)

    def copy(self) -> _Filtering:
        return _Filtering(
            [one.copy() for one in self.affinity], [one.copy() for one in self.anti_affinity],
            {holding: one.copy() for holding, one in self.forbidding.items()}, dict(self.trial_forbidding),
        )


@dataclass(slots=True)
class _Known:
    """What is kept of a signature: where to find the counts of its own terms."""

    affinity: list[Matching] = field(default_factory=list)
    anti_affinity: list[Matching] = field(default_factory=list)
    preferred: list[tuple[Matching, int]] = field(default_factory=list)
    is_made: bool = False

    def counts(self) -> Iterable[Matching]:
        yield from self.affinity
        yield from self.anti_affinity
        yield from (counts for counts, _ in self.preferred)


class InterPodAffinity:
    name: ClassVar[str] = "InterPodAffinity"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((
        ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS, ClusterEvent.POD_PLACED, ClusterEvent.POD_LABELS,
        ClusterEvent.POD_FREED, ClusterEvent.NAMESPACE,
    ))
    treats_alike: ClassVar[bool] = True
    row_local: ClassVar[bool] = False

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._nodes = handle.snapshot.table
        self._counts = handle.snapshot.counts
        self._namespaces = handle.namespaces
        self._hard_weight: int = arguments.get("hardPodAffinityWeight", 1)
        self._ignores_others: bool = arguments.get("ignorePreferredTermsOfExistingPods", False)
        self._known: weakref.WeakKeyDictionary[Signature, _Known] = weakref.WeakKeyDictionary()

    def hint(self, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        """A pod matters if a term of either is about the other; a node, if it has a label that a term is about."""
        own, namespaces = pod.affinity, self._namespaces()
        if event is ClusterEvent.NAMESPACE:
            return any(not t.namespace_selector.selects_nothing for t in (*own.required, *own.required_anti))
        if event in (ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS):
            labels = labels_of(new)
            return all(term.topology_key in labels for term in own.required)
        return any(
            _speaks(term, other, namespaces) for other in (old, new) if other is not None
            for term in (*own.required, *own.required_anti)
        ) or any(
            _speaks(term, pod, namespaces) for other in (old, new) if other is not None
            for term in other.affinity.required_anti
        )

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        own = pod.signature.affinity
        forbidding = self._speaking(pod, ("required_anti",)) if self._counts.roles["required_anti"] else ()
        if not own.required and not own.required_anti and not forbidding:
            return SKIP
        known = self._terms(pod.signature)
        state[self.name] = _Filtering(
            [_Counted(counts) for counts in known.affinity], [_Counted(counts) for counts in known.anti_affinity],
            {holding: _Counted(holding) for holding in forbidding},
        )
        return None

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None:
        self._follow(state[self.name], pod, added, node.row, 1)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None:
        self._follow(state[self.name], pod, removed, node.row, -1)

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        found: _Filtering = state[self.name]
        row = node.row
        if any(one.domain(row) == NO_DOMAIN for one in found.affinity):
            return _NO_AFFINITY
        if any(one.at(row) <= 0 for one in found.affinity) and not self._is_first(found, pod):
            return _NO_AFFINITY
        if any(one.at(row) > 0 for one in found.anti_affinity):
            return _ANTI_AFFINITY
        if any(one.at(row) > 0 for one in found.forbidding.values()):
            return _EXISTING_ANTI_AFFINITY
        for (key, domain), number in found.trial_forbidding.items():
            if number > 0 and self._nodes.topology(key).domain[row] == domain:
                return _EXISTING_ANTI_AFFINITY
        return None

    def filter_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints | None:
        """The code is the place in `_REFUSALS` plus one."""
        found: _Filtering = state[self.name]
        codes = np.zeros(self._nodes.count_of(rows), np.int64)
        if found.affinity:
            is_first = self._is_first(found, pod)
            for one in found.affinity:
                far = one.counts.pods <= 0
                far[1:] &= not is_first
                codes[far[one.counts.topology.domain[rows]]] = 1
        for code, group in ((2, found.anti_affinity), (3, list(found.forbidding.values()))):
            for one in group:
                near = one.counts.pods > 0
                codes[near[one.counts.topology.domain[rows]] & (codes == 0)] = code
        return codes

    def refusal(self, state: CycleState, pod: PodInfo, code: int) -> Status:
        return _REFUSALS[code - 1]

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Candidates) -> Status | None:
        own, roles = pod.signature.affinity, self._counts.roles
        prefers = bool(own.preferred or own.preferred_anti)
        weighed: list[tuple[DomainCounts, int]] = []
        if prefers:
            weighed += self._terms(pod.signature).preferred
        others_prefer = roles["preferred"] or roles["preferred_anti"] or (roles["required"] and self._hard_weight)
        if others_prefer and (prefers or not self._ignores_others):
            weighed += [(h, self._weight(h)) for h in self._speaking(pod, tuple(roles)) if self._weight(h)]
        weighed = [(counts, weight) for counts, weight in weighed if counts.pods.any()]
        if not weighed:
            return SKIP
        state[_SCORES] = weighed
        return None

    def score_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints:
        total = np.zeros(self._nodes.count_of(rows), np.int64)
        for counts, weight in state[_SCORES]:
            total += weight * counts.pods[counts.topology.domain[rows]]
        return total

    def normalize_rows(self, state: CycleState, pod: PodInfo, rows: Rows, scores: Ints) -> Ints:
        least, most = int(scores.min()), int(scores.max())
        if most == least:
            return scores * 0
        scaled: Ints = (float(MAX_NODE_SCORE) * ((scores - least) / (most - least))).astype(np.int64)
        return scaled

    def _is_first(self, found: _Filtering, pod: PodInfo) -> bool:
        """Whether the pod is the first of a group that wants to be together: it may go anywhere with the labels."""
        return all(one.is_empty() for one in found.affinity) and all(
            _speaks(term, pod, self._namespaces()) for term in pod.affinity.required
        )

    def _terms(self, pod: Signature) -> _Known:
        known = self._known.get(pod)
        if known is None:
            known = self._known[pod] = _Known()
        usable = known.is_made and all(self._counts.is_usable(counts) for counts in known.counts())
        if not usable:
            own = pod.affinity
            known.affinity = [self._count(own.required, term.topology_key) for term in own.required]
            known.anti_affinity = [self._count((term,), term.topology_key) for term in own.required_anti]
            known.preferred = [
                (self._count((term,), term.topology_key), sign * term.weight)
                for sign, terms in ((1, own.preferred), (-1, own.preferred_anti)) for term in terms
            ]
            known.is_made = True
        return known

    def _count(self, terms: tuple[AffinityTerm, ...], topology_key: str) -> Matching:
        return self._counts.matching(("affinity", terms), topology_key, speaks_of(terms, self._namespaces))

    def _speaking(self, pod: PodInfo, roles: tuple[str, ...]) -> list[Holding]:
        return [h for h in self._counts.speaking_of(pod.signature) if h.total and h.role in roles]

    def _weight(self, holding: Holding) -> int:
        match holding.role:
            case "required":
                return self._hard_weight
            case "preferred":
                return holding.term.weight
            case "preferred_anti":
                return -holding.term.weight
        return 0

    def _follow(self, found: _Filtering, pod: PodInfo, other: PodInfo, row: int, sign: int) -> None:
        own, namespaces = pod.affinity, self._namespaces()
        if own.required and all(_speaks(term, other, namespaces) for term in own.required):
            for one in found.affinity:
                one.move(row, sign)
        for term, one in zip(own.required_anti, found.anti_affinity, strict=True):
            if _speaks(term, other, namespaces):
                one.move(row, sign)
        for term in other.affinity.required_anti:
            if not _speaks(term, pod, namespaces):
                continue
            known = next((one for h, one in found.forbidding.items() if h.term == term), None)
            if known is not None:
                known.move(row, sign)
                continue
            domain = int(self._nodes.topology(term.topology_key).domain[row])
            if domain != NO_DOMAIN:
                place = (term.topology_key, domain)
                found.trial_forbidding[place] = found.trial_forbidding.get(place, 0) + sign


def _speaks(term: AffinityTerm, pod: PodInfo, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    return term.matches(pod.namespace, pod.labels, namespaces)
