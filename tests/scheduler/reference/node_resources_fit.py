"""What a pod requests must be free, with a place for the pod; `ignoredResources` and groups are not looked at.

The score of a resource follows the strategy: LeastAllocated is the share that would be left free, MostAllocated the
share that would be taken, RequestedToCapacityRatio a curve through the points of a shape (scores there are 0 to 10)
over the share taken. A node's score is their weighted mean; with a shape, over those that score above 0, and rounded.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

from tests.scheduler.reference import amounts
from tests.scheduler.reference.amounts import Amounts
from tests.scheduler.reference.cluster import Cluster, Document, name

EXTENDED = "/"


def fits(cluster: Cluster, pod: Document, node: Document) -> bool:
    offered = amounts.amounts(node["status"]["allocatable"])
    pods = cluster.pods_on(node)
    if len(pods) + 1 > offered.get("pods", 0):
        return False
    taken = amounts.add(*map(amounts.requested, pods))
    return all(
        not asked or is_ignored(cluster, resource) or asked + taken.get(resource, 0) <= offered.get(resource, 0)
        for resource, asked in amounts.requested(pod).items()
    )


def is_ignored(cluster: Cluster, resource: str) -> bool:
    names, groups = (cluster.argument("NodeResourcesFit", f"ignored{kind}", []) for kind in
                     ("Resources", "ResourceGroups"))
    return EXTENDED in resource and (resource in names or resource.partition("/")[0] in groups)


def scores(cluster: Cluster, pod: Document, nodes: list[Document]) -> dict[str, int]:
    return {name(node): _score(cluster, pod, node) for node in nodes}


def _score(cluster: Cluster, pod: Document, node: Document) -> int:
    strategy = cluster.argument("NodeResourcesFit", "scoringStrategy", {})
    kind = strategy.get("type", "LeastAllocated")
    listed = strategy.get("resources") or [{"name": "cpu"}, {"name": "memory"}]
    offered = amounts.amounts(node["status"]["allocatable"])
    asked = amounts.requested(pod, amounts.SMALL)
    used = amounts.add(*(amounts.requested(one, amounts.SMALL) for one in [*cluster.pods_on(node), pod]))
    total = weights = 0
    for one in listed:
        resource, weight = one["name"], one.get("weight") or 1
        if not offered.get(resource) or (EXTENDED in resource and not asked.get(resource)):
            continue
        score = _of_resource(kind, strategy, used, offered, resource)
        if kind != "RequestedToCapacityRatio" or score > 0:
            total, weights = total + weight * score, weights + weight
    if not weights:
        return 0
    return math.floor(total / weights + 0.5) if kind == "RequestedToCapacityRatio" else total // weights


def _of_resource(kind: str, strategy: Document, used: Amounts, offered: Amounts, resource: str) -> int:
    taken = min(used.get(resource, Fraction(0)) / offered[resource], Fraction(1))
    if kind == "LeastAllocated":
        return int((1 - taken) * 100)
    if kind == "MostAllocated":
        return int(taken * 100)
    return on_curve([(p["utilization"], p["score"] * 10) for p in strategy["requestedToCapacityRatio"]["shape"]],
                    int(taken * 100))


def on_curve(points: list[tuple[int, int]], at: int) -> int:
    """Straight between the points, level before the first and after the last."""
    if at <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if at <= x1:
            return y0 + int(Fraction((y1 - y0) * (at - x0), x1 - x0))
    return points[-1][1]
