"""A pod that names its node goes there or nowhere."""

from __future__ import annotations

from tests.scheduler.reference.cluster import Cluster, Document, name


def fits(cluster: Cluster, pod: Document, node: Document) -> bool:
    return pod["spec"].get("nodeName") in (None, "", name(node))
