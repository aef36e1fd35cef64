"""Where preemption could make room, and at what price: the candidates of DefaultPreemption.

On a node, all pods of lower priority are taken away on trial; if the pod fits then, as many as possible are put back,
those that a disruption budget protects first and the more important ones before the less. What cannot be put back are
the victims. Pods of a group that is disrupted as a whole are taken away and put back together, and if they are victims,
those of its pods that are elsewhere go, too. The candidate with the least harm wins: fewest violated budgets, then the
lowest highest victim, the smallest sum of priorities, the fewest victims, the latest started important victim.

When nothing but resources keeps the pod away, which is the usual case, the trial is arithmetic, and what it found for
a node holds for every pod with the same spec until that node changes; so the next preemption judges only the nodes
that changed. Otherwise each node is tried with all filters, as many as upstream tries: a tenth of them, at least 100
candidates, beginning at a random one.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from sampan import effects
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.framework.verdicts import Verdicts
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import Bools, Indexes, grown
from sampan.scheduler.plugins.preemption_units import Unit, exceeding, started
from sampan.scheduler.pod_info import PodInfo

_KEPT_SPECS = 32

Harm = tuple[int, int, int, int, int]
"""Less is better; see the file's docstring."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node, and which pods would have to go."""

    node_name: str
    victims: tuple[PodInfo, ...]
    violations: int

    @property
    def harm(self) -> Harm:
        highest = max(victim.priority for victim in self.victims)
        earliest = min(started(victim) for victim in self.victims if victim.priority == highest)
        total = sum(victim.priority + 2**31 for victim in self.victims)
        return self.violations, highest, total, len(self.victims), -earliest


@dataclass(slots=True)
class _Known:
    """What is known for one spec: each judged row's candidate, and the best first. Old entries of the heap are those
    whose candidate is no longer the row's."""

    position: int
    budgets: int | None
    judged: Bools
    """By row."""
    by_row: dict[int, Candidate] = field(default_factory=dict)
    heap: list[tuple[Harm, int, int, Candidate]] = field(default_factory=list)
    pushed: int = 0

    def put(self, row: int, candidate: Candidate | None) -> None:
        self.judged[row] = True
        if candidate is not None:
            self.by_row[row] = candidate
            self.pushed += 1
            heapq.heappush(self.heap, (candidate.harm, row, self.pushed, candidate))

    def best(self) -> Candidate | None:
        while self.heap:
            _, row, _, candidate = self.heap[0]
            if self.by_row.get(row) is candidate:
                return candidate
            heapq.heappop(self.heap)
        return None


class Candidates:
    """Finds the best candidate. The two minima are those of DefaultPreemptionArgs."""

    def __init__(self, handle: Handle, least_percentage: int, least_absolute: int) -> None:
        self._handle = handle
        self._least_percentage = least_percentage
        self._least_absolute = least_absolute
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def best(self, state: CycleState, pod: PodInfo, verdicts: Verdicts) -> Candidate | None:
        """The least harm that makes the pod fit somewhere; None if nothing does."""
        assert self._handle.trial is not None, "the framework sets the trial before the first cycle"
        rows = verdicts.resolvable()
        if not len(rows):
            return None
        if self._handle.trial.only_resources_can_refuse(state) and not pod.ports:
            return self._best_by_arithmetic(pod, rows)
        found = self._tried(state, pod, rows.tolist())
        return min(found, key=lambda candidate: candidate.harm, default=None)

    def tried(self, state: CycleState, pod: PodInfo, verdicts: Verdicts) -> list[Candidate]:
        """Candidates, found with all filters."""
        rows = verdicts.resolvable()
        return self._tried(state, pod, rows.tolist()) if len(rows) else []

    def on(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Candidate | None:
        """The least that has to go from this node, tried with all filters; None if even everything is not enough."""
        trial = self._handle.trial
        assert trial is not None
        lower = self._lower(pod, node)
        if not lower:
            return None
        twin, twin_state = node.copy(), trial.copy_state(state)
        for other in (one for unit in lower for one in unit.pods):
            trial.remove_pod(twin_state, pod, other, twin)
        if trial.refusal(twin_state, pod, twin) is not None:
            return None
        victims: list[Unit] = []
        violations = 0
        for unit, is_violation in self._by_budget(lower):
            for other in unit.pods:
                trial.add_pod(twin_state, pod, other, twin)
            if trial.refusal(twin_state, pod, twin) is not None:
                for other in unit.pods:
                    trial.remove_pod(twin_state, pod, other, twin)
                victims.append(unit)
                violations += is_violation
        return _candidate(node, victims, violations)

    def _tried(self, state: CycleState, pod: PodInfo, rows: list[int]) -> list[Candidate]:
        table = self._handle.snapshot.table
        enough = self._enough(len(table))
        offset = effects.rng().randrange(len(rows)) if len(rows) > enough else 0
        found: list[Candidate] = []
        for row in rows[offset:] + rows[:offset]:
            candidate = self.on(state, pod, table.info(row))
            if candidate is not None:
                found.append(candidate)
                if len(found) >= enough:
                    break
        return found

    def _enough(self, nodes: int) -> int:
        return max(nodes * self._least_percentage // 100, self._least_absolute)

    def _best_by_arithmetic(self, pod: PodInfo, rows: Indexes) -> Candidate | None:
        known = self._of_spec(pod)
        table = self._handle.snapshot.table
        enough = self._enough(len(table))
        fresh: list[int] = rows[~known.judged[rows]].tolist()
        if len(fresh) > enough:
            offset = effects.rng().randrange(len(fresh))
            fresh = fresh[offset:] + fresh[:offset]
        judged = 0
        for row in fresh:
            candidate = self._by_arithmetic(pod, table.info(row))
            known.put(row, candidate)
            if candidate is not None and any(victim.signature.group for victim in candidate.victims):
                known.judged[row] = False  # it depends on other nodes, too
            judged += candidate is not None
            if judged >= enough:
                break
        return known.best()

    def _of_spec(self, pod: PodInfo) -> _Known:
        """What is known for the pod's spec and still holds."""
        table, budgets = self._handle.snapshot.table, self._handle.budgets_version()
        known = self._known.pop(pod.signature.spec_key, None)
        changed = table.changed_since(known.position) if known is not None else None
        if known is None or changed is None or budgets is None or known.budgets != budgets:
            known = _Known(table.position, budgets, np.zeros(len(table.exists), np.bool_))
        else:
            if len(known.judged) < len(table.exists):
                known.judged = grown(known.judged, len(table.exists) - len(known.judged))
            for row in changed:
                known.judged[row] = False
                known.by_row.pop(row, None)
            known.position = table.position
        self._known[pod.signature.spec_key] = known
        if len(self._known) > _KEPT_SPECS:
            self._known.popitem(last=False)
        return known

    def _by_arithmetic(self, pod: PodInfo, node: NodeInfo) -> Candidate | None:
        """As `on`, where only resources matter."""
        lower = self._lower(pod, node)
        if not lower:
            return None
        names = [name for name, asked in pod.requests.items() if asked]
        free = [node.allocatable.get(n, 0) - node.requested.get(n, 0) - pod.requests[n] for n in names]
        slots = node.max_pods - len(node.pods) - 1
        for other in self._handle.snapshot.nominated.get(node.name, {}).values():
            if other.priority >= pod.priority and other.key != pod.key and other.key not in node.pods:
                free = [left - other.requests.get(name, 0) for left, name in zip(free, names, strict=True)]
                slots -= 1
        for other in (one for unit in lower for one in unit.pods):
            free = [left + other.requests.get(name, 0) for left, name in zip(free, names, strict=True)]
            slots += 1
        if slots < 0 or min(free, default=0) < 0:
            return None
        victims: list[Unit] = []
        violations = 0
        for unit, is_violation in self._by_budget(lower):
            left = [
                amount - sum([other.requests.get(name, 0) for other in unit.pods])
                for amount, name in zip(free, names, strict=True)
            ]
            if slots >= len(unit.pods) and min(left, default=0) >= 0:
                free, slots = left, slots - len(unit.pods)
            else:
                victims.append(unit)
                violations += is_violation
        return _candidate(node, victims, violations)

    def _by_budget(self, units: list[Unit]) -> Iterable[tuple[Unit, bool]]:
        """The units in the order in which they are put back, and whether deleting each would exceed a budget."""
        ordered = sorted(units, key=lambda unit: unit.importance)
        exceeded = exceeding(self._handle, ordered)
        return [
            *((unit, True) for unit, exceeds in zip(ordered, exceeded, strict=True) if exceeds),
            *((unit, False) for unit, exceeds in zip(ordered, exceeded, strict=True) if not exceeds),
        ]

    def _lower(self, pod: PodInfo, node: NodeInfo) -> list[Unit]:
        """What could go from a node; of a group that is disrupted as a whole, the pods here stand for all."""
        groups, limit = self._handle.groups, pod.signature.priority
        found: list[Unit] = []
        together: dict[str, list[PodInfo]] = {}
        for other in node.pods.values():
            if not other.signature.group:
                if other.signature.priority < limit:
                    found.append(Unit((other,), other.signature.priority))
            elif (priority := groups.priority(other)) < limit:
                if key := groups.disrupted_together(other):
                    together.setdefault(key, []).append(other)
                else:
                    found.append(Unit((other,), priority))
        return found + [self._group(key, pods) for key, pods in together.items()]

    def _group(self, key: str, here: list[PodInfo]) -> Unit:
        placed = self._handle.snapshot.placed()
        members = (placed.get(member) for member in self._handle.groups.members(key))
        elsewhere = [one.pod for one in members if one is not None and one.pod.node_name != here[0].node_name]
        return Unit(tuple(here), self._handle.groups.priority(here[0]), True, tuple(elsewhere))


def _candidate(node: NodeInfo, victims: list[Unit], violations: int) -> Candidate | None:
    pods = tuple(pod for unit in victims for pod in (*unit.pods, *unit.elsewhere))
    return Candidate(node.name, pods, violations) if pods else None
