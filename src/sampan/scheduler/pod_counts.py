"""Counts of pods per topology domain, kept while pods come and go, never recounted while nodes stay as they are.

Two sorts of counts answer everything that pods ask about other pods:

    matching    how many pods of a sort (those that a selector in some namespaces means) are in each domain;
                of the incoming pod's own affinity terms and spread constraints
    holding     how many pods that hold a certain affinity term themselves are in each domain; asked with an incoming
                pod that the term speaks of

Pods are filed by *group*: same namespace, same labels, both being deleted or not. A count is tried against a group
once; from then on a pod of the group adds itself to the counts that its group is part of. When a node's labels change,
the counts over that label are made again at the next question, from groups, not pods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from sampan.scheduler.node_table import Bools, Ints, NodeTable
from sampan.scheduler.pod_affinity import AffinityTerm, Labels, NamespaceLabels
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.signature import Signature
from sampan.scheduler.topology import NO_DOMAIN, Topology

Speaks: TypeAlias = Callable[["PodGroup"], bool]
"""Whether the pods of a group are of the sort that is counted."""

_MOST_COUNTS = 4096


@dataclass(slots=True, eq=False)
class PodGroup:
    """Pods that no selector can tell apart. `rows` says how many of them are on each node's row."""

    namespace: str
    labels: Labels
    terminating: bool
    rows: dict[int, int] = field(default_factory=dict)
    counts: list[DomainCounts] = field(default_factory=list)
    tried: int = 0
    """Up to which count `counts` is complete."""


class DomainCounts:
    """Pods per domain of one topology. `pods[domain]` is current after `PodCounts` has handed it out."""

    __slots__ = ("eligible", "is_current", "pods", "topology")

    def __init__(self, topology: Topology, eligible: Bools | None = None) -> None:
        self.topology = topology
        self.eligible = eligible
        """Only pods on these rows count; None is all."""
        self.is_current = False
        self.pods: Ints = np.zeros(topology.domains, np.int64)

    def add(self, row: int, number: int) -> None:
        if not self.is_current or not self._is_eligible(row):
            return
        domain = self.topology.domain[row]
        if domain != NO_DOMAIN:
            self.reach(domain)
            self.pods[domain] += number

    def _is_eligible(self, row: int) -> bool:
        """A row that came after the rows were chosen: they are chosen, and counted, anew at the next question."""
        return self.eligible is None or (row < len(self.eligible) and bool(self.eligible[row]))

    def reach(self, domain: int) -> None:
        """Have room for a domain."""
        missing = domain + 1 - len(self.pods)
        if missing > 0:
            self.pods = np.concatenate((self.pods, np.zeros(missing + len(self.pods), np.int64)))

    def clear(self) -> None:
        self.pods = np.zeros(self.topology.domains, np.int64)
        self.is_current = True


class Matching(DomainCounts):
    """Pods of which `speaks` is true, on the rows that `choose` gives, if it is there."""

    __slots__ = ("choose", "number", "present", "speaks", "version")

    def __init__(self, topology: Topology, speaks: Speaks, choose: Callable[[], Bools] | None, number: int) -> None:
        super().__init__(topology)
        self.speaks = speaks
        self.choose = choose
        self.number = number
        """Its place among all, -1 once it is forgotten: then ask anew."""
        self.version = -1
        self.present: Bools = np.zeros(0, np.bool_)

    def domains_present(self) -> Bools:
        """The domains in which there is a node that counts."""
        size = self.topology.domains
        if self.eligible is None:
            return self.topology.nodes[:size] > 0
        return self.present


class Holding(DomainCounts):
    """Pods that hold `term` in the role `required`, `required_anti`, `preferred` or `preferred_anti`."""

    __slots__ = ("role", "rows", "term", "total")

    def __init__(self, role: str, term: AffinityTerm, topology: Topology) -> None:
        super().__init__(topology)
        self.role = role
        self.term = term
        self.rows: dict[int, int] = {}
        self.total = 0


@dataclass(slots=True)
class _Spoken:
    """Which of the holdings speak of a group, as far as they were tried."""

    tried: int = 0
    found: list[Holding] = field(default_factory=list)


class PodCounts:
    """Every count over one node table. `namespaces` gives the labels of each namespace."""

    def __init__(self, nodes: NodeTable, namespaces: Callable[[], NamespaceLabels]) -> None:
        self._nodes = nodes
        self._namespaces = namespaces
        self._groups: dict[tuple[str, frozenset[tuple[str, str]], bool], PodGroup] = {}
        self._counts: dict[Any, Matching] = {}
        self._in_order: list[Matching] = []
        self._holdings: dict[tuple[str, AffinityTerm], Holding] = {}
        self._holdings_in_order: list[Holding] = []
        self._prune_at = _MOST_COUNTS
        self._held: dict[Signature, tuple[Holding, ...]] = {}
        self._spoken: dict[tuple[str, frozenset[tuple[str, str]]], _Spoken] = {}
        self.roles: dict[str, int] = {"required": 0, "required_anti": 0, "preferred": 0, "preferred_anti": 0}
        """How many pods hold a term of the role."""

    # questions

    def matching(
        self, key: Any, topology_key: str, speaks: Speaks, choose: Callable[[], Bools] | None = None
    ) -> Matching:
        """How many pods of which `speaks` is true each domain has. `key` stands for `speaks` and `choose`.

        `choose` gives the rows whose pods count; it is asked again when nodes have changed. The answer may be kept;
        `is_usable` has to be asked before each use.
        """
        key = (key, topology_key)
        counts = self._counts.get(key)
        if counts is None:
            if len(self._counts) >= _MOST_COUNTS:
                self._forget_counts()
            counts = Matching(self._nodes.topology(topology_key), speaks, choose, len(self._in_order))
            self._counts[key] = counts
            self._in_order.append(counts)
        self.is_usable(counts)
        return counts

    def is_usable(self, counts: Matching) -> bool:
        """Bring a count up to date; False if it was forgotten and has to be asked for anew."""
        if counts.number < 0:
            return False
        if counts.choose is not None and counts.version != self._nodes.version:
            counts.version = self._nodes.version
            counts.eligible = counts.choose()
            counts.present = np.zeros(counts.topology.domains, np.bool_)
            counts.present[counts.topology.domain[: len(counts.eligible)][counts.eligible]] = True
            counts.present[NO_DOMAIN] = False
            counts.is_current = False
        if not counts.is_current:
            self._recount(counts)
        counts.reach(counts.topology.domains - 1)
        return True

    def speaking_of(self, pod: Signature) -> list[Holding]:
        """Terms of placed pods that speak of the pod, whatever their role; `total` may have become 0."""
        key = (pod.namespace, pod.labels_key)
        spoken = self._spoken.get(key)
        if spoken is None:
            if len(self._spoken) > _MOST_COUNTS:
                self._spoken.clear()
            spoken = self._spoken[key] = _Spoken()
        if spoken.tried < len(self._holdings_in_order):
            namespaces = self._namespaces()
            spoken.found += [
                holding for holding in self._holdings_in_order[spoken.tried:]
                if holding.term.matches(pod.namespace, pod.labels, namespaces)
            ]
            spoken.tried = len(self._holdings_in_order)
        for holding in spoken.found:
            if not holding.is_current:
                holding.clear()
                for row, number in holding.rows.items():
                    holding.add(row, number)
            holding.reach(holding.topology.domains - 1)
        return spoken.found

    # changes

    def add(self, row: int, pod: PodInfo, sign: int) -> None:
        """A pod came to a row or left it."""
        group = self._group(pod)
        _tally(group.rows, row, sign)
        if group.tried < len(self._in_order):
            self._try(group)
        for counts in group.counts:
            counts.add(row, sign)
        if pod.signature.affinity:
            for role in self.roles:
                self.roles[role] += sign * bool(getattr(pod.signature.affinity, role))
            for holding in self._held_by(pod.signature):
                _tally(holding.rows, row, sign)
                holding.total += sign
                holding.add(row, sign)

    def nodes_moved(self) -> None:
        """A node with pods has another label: the counts are made again when they are asked for."""
        for counts in self._in_order:
            counts.is_current = False
        for holding in self._holdings_in_order:
            holding.is_current = False

    def namespaces_changed(self) -> None:
        """Namespace selectors may mean other pods now."""
        self._forget_counts()
        self._spoken.clear()

    def _forget_counts(self) -> None:
        for counts in self._in_order:
            counts.number = -1
        self._counts.clear()
        self._in_order.clear()
        for group in self._groups.values():
            group.counts.clear()
            group.tried = 0

    def _recount(self, counts: Matching) -> None:
        counts.clear()
        for key, group in list(self._groups.items()):
            if not group.rows:
                del self._groups[key]
                continue
            if group.tried <= counts.number:
                self._try(group)
            if counts in group.counts:
                for row, number in group.rows.items():
                    counts.add(row, number)

    def _try(self, group: PodGroup) -> None:
        """Bring the group's list up to date; counts that are already current have its pods from `_recount`."""
        group.counts += [counts for counts in self._in_order[group.tried:] if counts.speaks(group)]
        group.tried = len(self._in_order)

    def _group(self, pod: PodInfo) -> PodGroup:
        signature = pod.signature
        key = (signature.namespace, signature.labels_key, pod.terminating)
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = PodGroup(signature.namespace, signature.labels, pod.terminating)
        return found

    def _held_by(self, pod: Signature) -> tuple[Holding, ...]:
        held = self._held.get(pod)
        if held is None:
            if len(self._held) > _MOST_COUNTS:
                self._held.clear()
            if len(self._holdings_in_order) > self._prune_at:
                self._forget_unheld()
            held = self._held[pod] = tuple(
                self._holding(role, term) for role in self.roles for term in getattr(pod.affinity, role)
            )
        return held

    def _forget_unheld(self) -> None:
        """Terms whose last pod is gone."""
        self._holdings = {key: holding for key, holding in self._holdings.items() if holding.total}
        self._holdings_in_order = list(self._holdings.values())
        self._prune_at = max(_MOST_COUNTS, 2 * len(self._holdings))
        self._held.clear()
        self._spoken.clear()

    def _holding(self, role: str, term: AffinityTerm) -> Holding:
        found = self._holdings.get((role, term))
        if found is None:
            found = Holding(role, term, self._nodes.topology(term.topology_key))
            found.is_current = True
            self._holdings[role, term] = found
            self._holdings_in_order.append(found)
        return found


def _tally(rows: dict[int, int], row: int, sign: int) -> None:
    number = rows.get(row, 0) + sign
    if number:
        rows[row] = number
    else:
        del rows[row]


def speaks_of(terms: tuple[AffinityTerm, ...], namespaces: Callable[[], NamespaceLabels]) -> Speaks:
    """Whether all terms speak of a group's pods."""

    def speaks(group: PodGroup) -> bool:
        known = namespaces()
        return all(term.matches(group.namespace, group.labels, known) for term in terms)

    return speaks


def in_namespace(namespace: str, matches: Callable[[Mapping[str, str]], bool]) -> Speaks:
    """Whether a group's pods are in the namespace, are selected, and are not being deleted (KEP-895)."""
    return lambda group: not group.terminating and group.namespace == namespace and matches(group.labels)
