"""Better where the pod's images are already: each counts with its size times the share of nodes that have it.

The sum is scaled from 23 MB (0) to 1000 MB a container (100). A name without a tag means `latest`.
"""

from __future__ import annotations

from tests.scheduler.reference.cluster import Cluster, Document, name

MB = 1024 * 1024


def scores(cluster: Cluster, pod: Document, nodes: list[Document]) -> dict[str, int]:
    return {name(node): _score(cluster, pod, node) for node in nodes}


def _score(cluster: Cluster, pod: Document, node: Document) -> int:
    containers = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    total = 0
    for image in (container["image"] for container in containers):
        size = sizes(node).get(tagged(image))
        if size is not None:
            having = sum(tagged(image) in sizes(other) for other in cluster.nodes.values())
            total += int(size * (having / len(cluster.nodes)))
    low, high = 23 * MB, 1000 * MB * len(containers)
    return 100 * (min(max(total, low), high) - low) // (high - low)


def sizes(node: Document) -> dict[str, int]:
    return {named: image["sizeBytes"] for image in node["status"].get("images") or [] for named in image["names"]}


def tagged(image: str) -> str:
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"
