"""Which pods have to go for a pod that fits nowhere, and where: the least harm.

On a node, all pods of lower priority go on trial; if the pod fits then, they come back one by one, those that a
disruption budget protects first, the more important before the less, as long as the pod still fits. Of the nodes, the
one wins with the fewest violated budgets, then the lowest highest victim, the smallest sum of priorities, the fewest
victims, the latest start of its most important victims.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.scheduler.reference import rules, selectors
from tests.scheduler.reference.cluster import Cluster, Document, key, labels, name, namespace


@dataclass(frozen=True)
class Harm:
    node: str
    victims: frozenset[str]
    measure: tuple[int, int, int, int]
    started: str

    def is_less_than(self, other: Harm) -> bool:
        return self.measure < other.measure or (self.measure == other.measure and self.started > other.started)


def candidates(cluster: Cluster, pod: Document) -> dict[str, Harm]:
    """By node."""
    found = {name(node): on_node(cluster, pod, node) for node in cluster.nodes.values()}
    return {node: harm for node, harm in found.items() if harm is not None}


def best(found: dict[str, Harm]) -> set[str]:
    """The nodes that none is better than."""
    return {node for node, harm in found.items() if not any(other.is_less_than(harm) for other in found.values())}


def on_node(cluster: Cluster, pod: Document, node: Document) -> Harm | None:
    lower = sorted((o for o in cluster.pods_on(node) if priority(o) < priority(pod)), key=importance)
    if not lower or not rules.fits(cluster.without(lower), pod, node):
        return None
    protected = violating(cluster, lower)
    gone = list(lower)
    for other in [*protected, *(one for one in lower if one not in protected)]:
        back = [one for one in gone if one is not other]
        if rules.fits(cluster.without(back), pod, node):
            gone = back
    if not gone:
        return None
    highest = max(map(priority, gone))
    measure = (
        sum(one in protected for one in gone), highest, sum(priority(one) + 2**31 for one in gone), len(gone),
    )
    return Harm(
        name(node), frozenset(map(key, gone)), measure, min(started(o) for o in gone if priority(o) == highest)
    )


def violating(cluster: Cluster, pods: list[Document]) -> list[Document]:
    """The pods whose end would be one too many for a budget, taken in the order of importance."""
    allowed = [budget["status"]["disruptionsAllowed"] for budget in cluster.budgets]
    found = []
    for pod in pods:
        covering = [
            number for number, budget in enumerate(cluster.budgets)
            if namespace(budget) == namespace(pod) and labels(pod)
            and selectors.matches(budget["spec"].get("selector"), labels(pod))
        ]
        for number in covering:
            allowed[number] -= 1
        if any(allowed[number] < 0 for number in covering):
            found.append(pod)
    return found


def priority(pod: Document) -> int:
    return int(pod["spec"].get("priority") or 0)


def started(pod: Document) -> str:
    return str(pod["status"].get("startTime") or "9")


def importance(pod: Document) -> tuple[int, str, str]:
    return -priority(pod), started(pod), key(pod)
