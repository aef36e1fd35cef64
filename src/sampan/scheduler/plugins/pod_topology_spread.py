"""PodTopologySpread: matching pods spread evenly over topologies (zones, hosts), as a filter and as a score (KEP-895).

Filter: on a node, a constraint's skew is the number of matching pods in its topology with the incoming pod, less
the number in the emptiest topology; it must not exceed maxSkew. Score: the fewer matching pods in a node's topologies
the better, a topology with many values (hosts) counting for more than one with few (zones).

The numbers are kept per domain while pods come and go (`pod_counts.py`), so a cycle only looks them up.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
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
from sampan.scheduler.node_table import Bools, Ints, Rows
from sampan.scheduler.pod_counts import Matching, in_namespace
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.signature import Signature
from sampan.scheduler.snapshot import Snapshot
from sampan.scheduler.spread import (
    DO_NOT_SCHEDULE,
    HOSTNAME,
    SCHEDULE_ANYWAY,
    SYSTEM_DEFAULTS,
    SpreadConstraint,
    default_constraints,
    own_constraints,
)
from sampan.scheduler.topology import NO_DOMAIN

_SKEWED = unschedulable("node(s) didn't match pod topology spread constraints")
_NO_LABEL = unresolvable("node(s) didn't match pod topology spread constraints (missing required label)")
_SCORING = "PodTopologySpread scoring"


@dataclass(slots=True)
class _Counted:
    """A constraint with the matching pods in each domain. `moved` is what a trial changes."""

    constraint: SpreadConstraint
    counts: Matching
    includes_itself: bool
    moved: dict[int, int] = field(default_factory=dict)

    def copy(self) -> _Counted:
        return _Counted(self.constraint, self.counts, self.includes_itself, dict(self.moved))

    @property
    def pods(self) -> Ints:
        """By domain."""
        if not self.moved:
            return self.counts.pods
        pods = self.counts.pods.copy()
        for domain, number in self.moved.items():
            pods[domain] += number
        return pods

    def least(self, pods: Ints) -> int:
        """In the emptiest domain; 0 if there are too few domains."""
        present = self.counts.domains_present()
        found = pods[: len(present)][present]
        return 0 if len(found) < self.constraint.min_domains or not len(found) else int(found.min())


class _Filtering(list[_Counted]):
    """The hard constraints of the pod in hand."""

    def copy(self) -> _Filtering:
        return _Filtering(counted.copy() for counted in self)


@dataclass(slots=True)
class _Known:
    """What is kept of a signature: its constraints and where to find their counts."""

    version: int | None
    must_have_labels: bool
    hard: list[SpreadConstraint]
    soft: list[SpreadConstraint]
    hard_counts: list[Matching] = field(default_factory=list)
    soft_counts: list[Matching] = field(default_factory=list)


class PodTopologySpread:
    name: ClassVar[str] = "PodTopologySpread"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset((
        ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS, ClusterEvent.NODE_TAINTS, ClusterEvent.NODE_DELETED,
        ClusterEvent.POD_PLACED, ClusterEvent.POD_LABELS, ClusterEvent.POD_FREED,
    ))
    treats_alike: ClassVar[bool] = True
    row_local: ClassVar[bool] = False

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._handle = handle
        self._nodes = handle.snapshot.table
        self._counts = handle.snapshot.counts
        listed = arguments.get("defaultingType") == "List"
        self._defaults: Sequence[Any] = (arguments.get("defaultConstraints") or ()) if listed else SYSTEM_DEFAULTS
        self._defaults_need_labels = listed
        self._known: weakref.WeakKeyDictionary[Signature, _Known] = weakref.WeakKeyDictionary()

    def hint(self, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        """A pod matters if a constraint counts it; a node, if it is a domain of all constraints."""
        constraints = self._constraints(pod.signature).hard
        if event in (ClusterEvent.POD_PLACED, ClusterEvent.POD_LABELS, ClusterEvent.POD_FREED):
            return any(c.matches(o, pod.namespace) for c in constraints for o in (old, new) if o is not None)
        return any(
            node is not None and all(c.topology_key in labels_of(node) for c in constraints) for node in (old, new)
        )

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        known = self._constraints(pod.signature)
        if not known.hard:
            return SKIP
        known.hard_counts = self._counted(pod.signature, known.hard, known.hard_counts, needs_labels=True)
        state[self.name] = _Filtering(
            _Counted(constraint, counts, constraint.selector.matches(pod.labels))
            for constraint, counts in zip(known.hard, known.hard_counts, strict=True)
        )
        return None

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None:
        self._follow(state, pod, added, node, 1)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None:
        self._follow(state, pod, removed, node, -1)

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        counted: _Counted
        for counted in state[self.name]:
            domain = counted.counts.topology.domain[node.row]
            if domain == NO_DOMAIN:
                return _NO_LABEL
            pods = counted.pods
            if pods[domain] + counted.includes_itself - counted.least(pods) > counted.constraint.max_skew:
                return _SKEWED
        return None

    def filter_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints | None:
        """Code 1: too uneven. Code 2: without the label."""
        codes: Ints | None = None
        counted: _Counted
        for counted in state[self.name]:
            pods = counted.pods
            most = counted.constraint.max_skew + counted.least(pods) - counted.includes_itself
            by_domain = (pods > most).astype(np.int64)
            by_domain[NO_DOMAIN] = 2
            found = by_domain[counted.counts.topology.domain[rows]]
            codes = found if codes is None else np.where(codes == 0, found, codes)
        return codes

    def refusal(self, state: CycleState, pod: PodInfo, code: int) -> Status:
        return _SKEWED if code == 1 else _NO_LABEL

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Candidates) -> Status | None:
        known = self._constraints(pod.signature)
        if not known.soft:
            return SKIP
        known.soft_counts = self._counted(
            pod.signature, known.soft, known.soft_counts, needs_labels=known.must_have_labels
        )
        state[_SCORING] = known, self._labelled(known, nodes.rows) if known.must_have_labels else None
        return None

    def score_rows(self, state: CycleState, pod: PodInfo, rows: Rows) -> Ints:
        known: _Known
        labelled: Bools | None
        known, labelled = state[_SCORING]
        total = np.zeros(self._nodes.count_of(rows), np.float64)
        for constraint, counts in zip(known.soft, known.soft_counts, strict=True):
            domains = counts.topology.domain[rows]
            weight = np.log(_size(constraint, domains if labelled is None else domains[labelled]) + 2)
            by_domain = counts.pods * weight + (constraint.max_skew - 1)
            by_domain[NO_DOMAIN] = 0.0
            total += by_domain[domains]
        scores: Ints = np.floor(total + 0.5).astype(np.int64)
        return scores

    def normalize_rows(self, state: CycleState, pod: PodInfo, rows: Rows, scores: Ints) -> Ints:
        """The node with the fewest matching pods is best; one without the labels gets nothing."""
        labelled: Bools | None = state[_SCORING][1]
        counted = scores if labelled is None else scores[labelled]
        least, most = (int(counted.min()), int(counted.max())) if len(counted) else (0, 0)
        if most == 0:
            scaled = np.full(len(scores), MAX_NODE_SCORE, np.int64)
        else:
            scaled = MAX_NODE_SCORE * (most + least - scores) // most
        return scaled if labelled is None else np.where(labelled, scaled, 0)

    def _constraints(self, pod: Signature) -> _Known:
        version = self._handle.owners_version()
        known = self._known.get(pod)
        if known is None or (not pod.spread and (version is None or known.version != version)):
            hard, soft = own_constraints(pod, DO_NOT_SCHEDULE), own_constraints(pod, SCHEDULE_ANYWAY)
            services, owners = self._handle.services, self._handle.owners
            if not pod.spread:
                hard = default_constraints(pod, self._defaults, DO_NOT_SCHEDULE, services, owners)
                soft = default_constraints(pod, self._defaults, SCHEDULE_ANYWAY, services, owners)
            needs_labels = bool(pod.spread) or self._defaults_need_labels
            known = self._known[pod] = _Known(version, needs_labels, hard, soft)
        return known

    def _counted(
        self, pod: Signature, constraints: list[SpreadConstraint], counts: list[Matching], *, needs_labels: bool
    ) -> list[Matching]:
        """The counts of the constraints, brought up to date; those that are known already, if they can be used."""
        if counts and all(self._counts.is_usable(one) for one in counts):
            return counts
        keys = frozenset(c.topology_key for c in constraints) if needs_labels else frozenset[str]()
        return [self._count(pod, constraint, keys) for constraint in constraints]

    def _count(self, pod: Signature, constraint: SpreadConstraint, keys: frozenset[str]) -> Matching:
        speaks = in_namespace(pod.namespace, constraint.selector.matches)
        key: tuple[Any, ...] = ("spread", pod.namespace, constraint.selector)
        choose: Callable[[], Bools] | None = None
        if not constraint.counts_every_node(pod) or keys - {constraint.topology_key}:
            which = b"" if constraint.counts_every_node(pod) else pod.spec_key
            key += (constraint.honors_affinity, constraint.honors_taints, which, keys)
            choose = lambda: self._eligible(pod, constraint, keys)  # noqa: E731
        return self._counts.matching(key, constraint.topology_key, speaks, choose)

    def _eligible(self, pod: Signature, constraint: SpreadConstraint, keys: frozenset[str]) -> Bools:
        """The rows whose pods belong to the picture."""
        eligible = self._nodes.exists.copy()
        for key in sorted(keys):
            eligible &= self._nodes.topology(key).domain != NO_DOMAIN
        if not constraint.counts_every_node(pod):
            for row in np.flatnonzero(eligible).tolist():
                eligible[row] = constraint.counts_node(pod, self._nodes.info(row))
        return eligible

    def _labelled(self, known: _Known, rows: Rows) -> Bools:
        labelled = np.ones(self._nodes.count_of(rows), np.bool_)
        for counts in known.soft_counts:
            labelled &= counts.topology.domain[rows] != NO_DOMAIN
        return labelled

    def _follow(self, state: CycleState, pod: PodInfo, other: PodInfo, node: NodeInfo, sign: int) -> None:
        counted: _Counted
        for counted in state[self.name]:
            counts = counted.counts
            domain = int(counts.topology.domain[node.row])
            counts_here = domain != NO_DOMAIN and (counts.eligible is None or counts.eligible[node.row])
            if counts_here and counted.constraint.matches(other, pod.namespace):
                counted.moved[domain] = counted.moved.get(domain, 0) + sign


def _size(constraint: SpreadConstraint, domains: Ints) -> int:
    """How many values the topology has among some nodes; there are as many hosts as nodes."""
    if constraint.topology_key == HOSTNAME:
        return len(domains)
    return int(np.count_nonzero(np.bincount(domains)[1:]))
