"""Matching pods spread evenly over topologies.

Hard: with the pod, the number of matching pods in the node's topology exceeds that of the emptiest by at most maxSkew;
with fewer topologies than minDomains the emptiest counts as 0. Topologies are those of nodes that carry the keys of all
constraints and that the constraint's policies admit. Soft: the fewer matching pods in a node's topologies the better,
each constraint weighted with log(topologies + 2); nodes that lack a key are out. A pod without constraints that belongs
to a Service is spread softly by host (skew 3) and zone (skew 5), and there nodes without the keys are not out; unless
the plugin lists default constraints (`defaultingType: List`): these stand for the pod's own.
"""

from __future__ import annotations

import math

from tests.scheduler.reference import node_affinity, selectors, taint_toleration
from tests.scheduler.reference.cluster import Cluster, Document, labels, name, namespace

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
SYSTEM = [
    {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "ScheduleAnyway"} for key, skew in ((HOST, 3), (ZONE, 5))
]


def fits(cluster: Cluster, pod: Document, node: Document) -> bool:
    hard = own(cluster, pod, "DoNotSchedule")
    for constraint in hard:
        key = constraint["topologyKey"]
        if key not in labels(node):
            return False
        counts = {
            labels(other)[key]: 0 for other in cluster.nodes.values()
            if carries_all(other, hard) and admitted(cluster, constraint, pod, other)
        }
        for topology in counts:
            counts[topology] = matching(cluster, constraint, pod, hard, topology)
        least = 0 if len(counts) < (constraint.get("minDomains") or 1) else min(counts.values(), default=0)
        itself = 1 if selects(constraint, pod, pod) else 0
        if counts.get(labels(node)[key], 0) + itself - least > constraint["maxSkew"]:
            return False
    return True


def scores(cluster: Cluster, pod: Document, nodes: list[Document]) -> dict[str, int]:
    lists = cluster.argument("PodTopologySpread", "defaultingType") == "List"
    strict = lists or bool(pod["spec"].get("topologySpreadConstraints"))
    soft = own(cluster, pod, "ScheduleAnyway") if strict else from_services(cluster, pod, SYSTEM)
    if not soft:
        return {name(node): 0 for node in nodes}
    judged = [node for node in nodes if not strict or carries_all(node, soft)]
    raw = {name(node): _cost(cluster, pod, node, soft, judged, strict=strict) for node in judged}
    least, most = min(raw.values(), default=0), max(raw.values(), default=0)
    result = {name(node): 0 for node in nodes}
    for node, cost in raw.items():
        result[node] = 100 * (most + least - cost) // most if most else 100
    return result


def _cost(
    cluster: Cluster, pod: Document, node: Document, soft: list[Document], judged: list[Document], *, strict: bool
) -> int:
    total = 0.0
    for constraint in soft:
        key = constraint["topologyKey"]
        if key not in labels(node):
            continue
        values = {labels(other)[key] for other in judged if key in labels(other)}
        weight = math.log((len(judged) if key == HOST else len(values)) + 2)
        keys = soft if strict else [constraint]
        count = matching(cluster, constraint, pod, keys, labels(node)[key])
        total += count * weight + (constraint["maxSkew"] - 1)
    return math.floor(total + 0.5)


def own(cluster: Cluster, pod: Document, action: str) -> list[Document]:
    constraints = pod["spec"].get("topologySpreadConstraints") or []
    if not constraints and cluster.argument("PodTopologySpread", "defaultingType") == "List":
        constraints = from_services(cluster, pod, cluster.argument("PodTopologySpread", "defaultConstraints", []))
    return [one for one in constraints if one["whenUnsatisfiable"] == action]


def from_services(cluster: Cluster, pod: Document, constraints: list[Document]) -> list[Document]:
    """The constraints over what every Service of the pod selects."""
    wanted: dict[str, str] = {}
    for service in cluster.services:
        selector = service["spec"].get("selector") or {}
        if selector and namespace(service) == namespace(pod) and selectors.matches(
            {"matchLabels": selector}, labels(pod)
        ):
            wanted.update(selector)
    if not wanted:
        return []
    return [{**one, "labelSelector": {"matchLabels": wanted}} for one in constraints]


def carries_all(node: Document, constraints: list[Document]) -> bool:
    return all(constraint["topologyKey"] in labels(node) for constraint in constraints)


def admitted(cluster: Cluster, constraint: Document, pod: Document, node: Document) -> bool:
    """nodeAffinityPolicy is Honor, nodeTaintsPolicy Ignore, unless said otherwise."""
    if constraint.get("nodeAffinityPolicy", "Honor") == "Honor" and not node_affinity.is_wanted(pod, node):
        return False
    return constraint.get("nodeTaintsPolicy", "Ignore") == "Ignore" or taint_toleration.fits(cluster, pod, node)


def matching(
    cluster: Cluster, constraint: Document, pod: Document, all_constraints: list[Document], topology: str
) -> int:
    """Pods in one topology, on the nodes that count."""
    return sum(
        selects(constraint, pod, other)
        for node in cluster.nodes.values()
        if labels(node).get(constraint["topologyKey"]) == topology and carries_all(node, all_constraints)
        and admitted(cluster, constraint, pod, node)
        for other in cluster.pods_on(node)
        if namespace(other) == namespace(pod) and not other["metadata"].get("deletionTimestamp")
    )


def selects(constraint: Document, pod: Document, other: Document) -> bool:
    """matchLabelKeys add the incoming pod's own values."""
    if not selectors.matches(constraint.get("labelSelector"), labels(other)):
        return False
    return all(
        labels(other).get(key) == labels(pod)[key]
        for key in constraint.get("matchLabelKeys") or [] if key in labels(pod)
    )
