"""Scores of how full nodes would be: what NodeResourcesFit's three strategies have in common, over columns.

All arithmetic is in integers and rounds as upstream's does (pkg/scheduler/framework/plugins/noderesources), so scores
are equal to the last unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sampan.apimachinery.object import Object, dig
from sampan.scheduler.framework.interface import MAX_NODE_SCORE
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import Ints, NodeTable, Rows
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.resources import CPU, EPHEMERAL_STORAGE, MEMORY

Weights: TypeAlias = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Scorer:
    """`score` is of what would be requested and the capacity, which is not 0. `of_positive`: resources that score 0 are
    left out of the mean, which is rounded then."""

    score: Callable[[Ints, Ints], Ints]
    single: Callable[[int, int], int]
    """The same of one node."""
    of_positive: bool = False


_NATIVE = (CPU, MEMORY, EPHEMERAL_STORAGE)
_SHAPE_UNIT = 10
"""Scores of a shape are 0 to 10."""


def weights_of(listed: Sequence[Object] | None) -> Weights:
    """From ResourceSpecs; CPU and memory alike if there are none."""
    return tuple((entry["name"], entry.get("weight") or 1) for entry in listed or ({"name": CPU}, {"name": MEMORY}))


def mean_score(nodes: NodeTable, rows: Rows, pod: PodInfo, weights: Weights, scorer: Scorer) -> Ints:
    """The weighted mean over the resources that a node has. A device that the pod does not ask for has no say."""
    total: Ints = np.zeros(nodes.count_of(rows), np.int64)
    divisor = total.copy()
    asked = pod.signature.scoring_requests
    for name, weight in weights:
        if name not in _NATIVE and not asked.get(name):
            continue
        capacity = nodes.allocatable(name, rows)
        has = capacity > 0
        used = nodes.scoring_requested(name, rows) + asked.get(name, 0)
        scores = np.where(has, scorer.score(used, np.maximum(capacity, 1)), 0)
        total += weight * scores
        divisor += weight * (scores > 0 if scorer.of_positive else has)
    divisor = np.maximum(divisor, 1)
    return (2 * total + divisor) // (2 * divisor) if scorer.of_positive else total // divisor


def mean_score_of(node: NodeInfo, pod: PodInfo, weights: Weights, scorer: Scorer) -> int:
    """As `mean_score`, of one node."""
    total = divisor = 0
    asked, allocatable = pod.signature.scoring_requests, node.allocatable
    for name, weight in weights:
        capacity = allocatable.get(name, 0)
        if capacity <= 0 or (name not in _NATIVE and not asked.get(name)):
            continue
        requested = node.scoring_requested if name in node.scoring_requested else node.requested
        score = scorer.single(requested.get(name, 0) + asked.get(name, 0), capacity)
        total += weight * score
        if score or not scorer.of_positive:
            divisor += weight
    if not divisor:
        return 0
    return (2 * total + divisor) // (2 * divisor) if scorer.of_positive else total // divisor


def least_allocated(strategy: Mapping[str, Any]) -> Scorer:
    """The share that is left free."""
    return Scorer(
        lambda used, capacity: np.maximum(capacity - used, 0) * MAX_NODE_SCORE // capacity,
        lambda used, capacity: max(capacity - used, 0) * MAX_NODE_SCORE // capacity,
    )


def most_allocated(strategy: Mapping[str, Any]) -> Scorer:
    """The share that is taken."""
    return Scorer(
        lambda used, capacity: np.minimum(used, capacity) * MAX_NODE_SCORE // capacity,
        lambda used, capacity: min(used, capacity) * MAX_NODE_SCORE // capacity,
    )


def requested_to_capacity_ratio(strategy: Mapping[str, Any]) -> Scorer:
    """A curve of straight pieces through the points of `requestedToCapacityRatio.shape`."""
    points = sorted(
        (int(point.get("utilization") or 0), int(point.get("score") or 0) * MAX_NODE_SCORE // _SHAPE_UNIT)
        for point in dig(strategy, "requestedToCapacityRatio", "shape") or ()
    )
    assert points, "the configuration is validated before: a shape has a point"
    curve = [_on_curve(points, percent) for percent in range(MAX_NODE_SCORE + 1)]
    column = np.array(curve, np.int64)
    return Scorer(
        lambda used, capacity: column[np.minimum(used * MAX_NODE_SCORE // capacity, MAX_NODE_SCORE)],
        lambda used, capacity: curve[min(used * MAX_NODE_SCORE // capacity, MAX_NODE_SCORE)], of_positive=True,
    )


def _on_curve(points: Sequence[tuple[int, int]], at: int) -> int:
    before = points[0]
    for point in points:
        if at <= point[0]:
            if point is points[0]:
                return point[1]
            return before[1] + int((point[1] - before[1]) * (at - before[0]) / (point[0] - before[0]))
        before = point
    return before[1]


SCORERS: Mapping[str, Callable[[Mapping[str, Any]], Scorer]] = {
    "LeastAllocated": least_allocated,
    "MostAllocated": most_allocated,
    "RequestedToCapacityRatio": requested_to_capacity_ratio,
}
