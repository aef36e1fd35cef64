"""All rules together: the nodes that fit, and the total score of each."""

from __future__ import annotations

from tests.scheduler.reference import (
    balanced_allocation,
    image_locality,
    inter_pod_affinity,
    node_affinity,
    node_name,
    node_ports,
    node_resources_fit,
    node_unschedulable,
    pod_topology_spread,
    taint_toleration,
)
from tests.scheduler.reference.cluster import Cluster, Document

FILTERS = (
    node_unschedulable, node_name, taint_toleration, node_affinity, node_ports, node_resources_fit,
    pod_topology_spread, inter_pod_affinity,
)
SCORES = (
    (taint_toleration, 3), (node_affinity, 2), (node_resources_fit, 1), (pod_topology_spread, 2),
    (inter_pod_affinity, 2), (balanced_allocation, 1), (image_locality, 1),
)


def fits(cluster: Cluster, pod: Document, node: Document) -> bool:
    return all(rule.fits(cluster, pod, node) for rule in FILTERS)


def feasible(cluster: Cluster, pod: Document) -> set[str]:
    return {name for name, node in cluster.nodes.items() if fits(cluster, pod, node)}


def totals(cluster: Cluster, pod: Document, nodes: set[str]) -> dict[str, int]:
    """The weighted sum of all scores, by node."""
    chosen = [cluster.nodes[name] for name in sorted(nodes)]
    result = dict.fromkeys(sorted(nodes), 0)
    for rule, weight in SCORES:
        for node, score in rule.scores(cluster, pod, chosen).items():
            assert 0 <= score <= 100, f"{rule.__name__} scores {node} with {score}"
            result[node] += weight * score
    return result
