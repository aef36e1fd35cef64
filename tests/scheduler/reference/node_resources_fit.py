"""What a pod requests must be free, with a place for the pod; the emptier node is better (LeastAllocated)."""

from __future__ import annotations

from fractions import Fraction

from tests.scheduler.reference import amounts
from tests.scheduler.reference.cluster import Cluster, Document, name


def fits(cluster: Cluster, pod: Document, node: Document) -> bool:
    offered = amounts.amounts(node["status"]["allocatable"])
    pods = cluster.pods_on(node)
    if len(pods) + 1 > offered.get("pods", 0):
        return False
    taken = amounts.add(*map(amounts.requested, pods))
    return all(
        not asked or asked + taken.get(resource, 0) <= offered.get(resource, 0)
        for resource, asked in amounts.requested(pod).items()
    )


def scores(cluster: Cluster, pod: Document, nodes: list[Document]) -> dict[str, int]:
    """The mean share of CPU and memory that would be left; CPU is counted in thousandths of a core."""
    return {name(node): _score(cluster, pod, node) for node in nodes}


def _score(cluster: Cluster, pod: Document, node: Document) -> int:
    offered = amounts.amounts(node["status"]["allocatable"])
    used = amounts.add(*(amounts.requested(one, amounts.SMALL) for one in [*cluster.pods_on(node), pod]))
    shares = [
        int(max(offered[resource] - used.get(resource, Fraction(0)), Fraction(0)) * 100 / offered[resource])
        for resource in ("cpu", "memory") if offered.get(resource)
    ]
    return sum(shares) // len(shares) if shares else 0
