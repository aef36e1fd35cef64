"""A cordoned node takes only pods that tolerate the taint node.kubernetes.io/unschedulable:NoSchedule."""

from __future__ import annotations

from tests.scheduler.reference import taint_toleration
from tests.scheduler.reference.cluster import Cluster, Document

TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def fits(cluster: Cluster, pod: Document, node: Document) -> bool:
    return not node["spec"].get("unschedulable") or taint_toleration.tolerates(pod, TAINT)
