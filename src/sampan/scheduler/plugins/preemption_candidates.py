"""Where preemption could make room, and at what price: the candidates of DefaultPreemption.

On a node, all pods of lower priority are taken away on trial; if the pod fits then, as many as possible are put back,
those that a disruption budget protects first and the more important ones before the less. What cannot be put back are
the victims. The candidate with the least harm wins: fewest violated budgets, then the lowest highest victim, the
smallest sum of priorities, the fewest victims, the latest started important victim.

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
from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.framework.verdicts import Verdicts
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import Bools, Indexes, grown
from sampan.scheduler.pod_info import PodInfo

_KEPT_SPECS = 32
_NOT_STARTED = 10**15
_DIGITS = str.maketrans("", "", "-:TZ.+")

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
        earliest = min(_started(victim) for victim in self.victims if victim.priority == highest)
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
        lower = _lower(pod, node)
        if not lower:
            return None
        twin, twin_state = node.copy(), trial.copy_state(state)
        for other in lower:
            trial.remove_pod(twin_state, pod, other, twin)
        if trial.refusal(twin_state, pod, twin) is not None:
            return None
        victims: list[PodInfo] = []
        violations = 0
        for other, is_violation in self._by_budget(lower):
            trial.add_pod(twin_state, pod, other, twin)
            if trial.refusal(twin_state, pod, twin) is not None:
                trial.remove_pod(twin_state, pod, other, twin)
                victims.append(other)
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
        lower = _lower(pod, node)
        if not lower:
            return None
        names = [name for name, asked in pod.requests.items() if asked]
        free = [node.allocatable.get(n, 0) - node.requested.get(n, 0) - pod.requests[n] for n in names]
        slots = node.max_pods - len(node.pods) - 1
        for other in self._handle.snapshot.nominated.get(node.name, {}).values():
            if other.priority >= pod.priority and other.key != pod.key and other.key not in node.pods:
                free = [left - other.requests.get(name, 0) for left, name in zip(free, names, strict=True)]
                slots -= 1
        for other in lower:
            free = [left + other.requests.get(name, 0) for left, name in zip(free, names, strict=True)]
        slots += len(lower)
        if slots < 0 or min(free, default=0) < 0:
            return None
        victims: list[PodInfo] = []
        violations = 0
        for other, is_violation in self._by_budget(lower):
            left = [amount - other.requests.get(name, 0) for amount, name in zip(free, names, strict=True)]
            if slots > 0 and min(left, default=0) >= 0:
                free, slots = left, slots - 1
            else:
                victims.append(other)
                violations += is_violation
        return _candidate(node, victims, violations)

    def _by_budget(self, pods: list[PodInfo]) -> Iterable[tuple[PodInfo, bool]]:
        """The pods in the order in which they are put back, and whether deleting each would exceed a budget."""
        ordered = sorted(pods, key=_importance)
        budgets = {namespace: self._budgets(namespace) for namespace in dict.fromkeys(p.namespace for p in ordered)}
        if not any(budgets.values()):
            return [(pod, False) for pod in ordered]
        allowed: dict[tuple[str, int], int] = {}
        protected: list[tuple[PodInfo, bool]] = []
        free: list[tuple[PodInfo, bool]] = []
        for pod in ordered:
            exceeded = False
            for number, budget in enumerate(budgets[pod.namespace]):
                if not _covers(budget, pod):
                    continue
                key = (pod.namespace, number)
                left = allowed.get(key, (budget.get("status") or {}).get("disruptionsAllowed") or 0)
                allowed[key] = left - 1
                exceeded = exceeded or left <= 0
            (protected if exceeded else free).append((pod, exceeded))
        return [*protected, *free]

    def _budgets(self, namespace: str) -> list[Object]:
        return list(self._handle.disruption_budgets(namespace))


def _candidate(node: NodeInfo, victims: list[PodInfo], violations: int) -> Candidate | None:
    return Candidate(node.name, tuple(victims), violations) if victims else None


def _lower(pod: PodInfo, node: NodeInfo) -> list[PodInfo]:
    return [other for other in node.pods.values() if other.signature.priority < pod.signature.priority]


def _importance(pod: PodInfo) -> tuple[int, int, str]:
    """The most important first."""
    return -pod.signature.priority, _started(pod), pod.key


def _started(pod: PodInfo) -> int:
    """When the pod started, as a number that grows with time; one that has not started is the latest."""
    return int(pod.started.translate(_DIGITS)[:14]) if pod.started else _NOT_STARTED


def _covers(budget: Object, pod: PodInfo) -> bool:
    if pod.name in ((budget.get("status") or {}).get("disruptedPods") or ()):
        return False  # it is counted already
    document = (budget.get("spec") or {}).get("selector")
    return bool(pod.labels) and document is not None and selectors.from_document(document).matches(pod.labels)
