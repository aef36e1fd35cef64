"""Better where the pod evens out the shares of CPU and memory in use.

The balance is 100 times one minus the standard deviation of the shares; the score is 50 and half of 50 plus what the
balance gains. A pod that requests nothing of either has no say.
"""

from __future__ import annotations

from fractions import Fraction

from tests.scheduler.reference import amounts
from tests.scheduler.reference.amounts import Amounts
from tests.scheduler.reference.cluster import Cluster, Document, name

RESOURCES = ("cpu", "memory")


def scores(cluster: Cluster, pod: Document, nodes: list[Document]) -> dict[str, int]:
    asked = amounts.requested(pod)
    if not any(asked.get(resource) for resource in RESOURCES):
        return {name(node): 0 for node in nodes}
    return {name(node): _score(cluster, asked, node) for node in nodes}


def _score(cluster: Cluster, asked: Amounts, node: Document) -> int:
    offered = amounts.amounts(node["status"]["allocatable"])
    used = amounts.add(*map(amounts.requested, cluster.pods_on(node)))
    gain = balance(amounts.add(used, asked), offered) - balance(used, offered)
    return 50 + int((50 + gain) / 2)


def balance(used: Amounts, offered: Amounts) -> int:
    shares = [
        min(float(used.get(resource, Fraction(0))) / float(offered[resource]), 1.0)
        for resource in RESOURCES if offered.get(resource)
    ]
    deviation = abs((shares[0] - shares[1]) / 2) if len(shares) == 2 else 0.0
    return int((1 - deviation) * 100)
