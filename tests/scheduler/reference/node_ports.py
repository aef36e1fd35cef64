"""No two pods of a node hold the same host port of a protocol on overlapping addresses; 0.0.0.0 overlaps with all."""

from __future__ import annotations

from tests.scheduler.reference.cluster import Cluster, Document


def fits(cluster: Cluster, pod: Document, node: Document) -> bool:
    held = [port for other in cluster.pods_on(node) for port in host_ports(other)]
    return not any(conflict(wanted, taken) for wanted in host_ports(pod) for taken in held)


def host_ports(pod: Document) -> list[Document]:
    init = [c for c in pod["spec"].get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    return [
        port for container in [*pod["spec"]["containers"], *init] for port in container.get("ports") or []
        if port.get("hostPort")
    ]


def conflict(one: Document, other: Document) -> bool:
    if one["hostPort"] != other["hostPort"] or one.get("protocol", "TCP") != other.get("protocol", "TCP"):
        return False
    addresses = {one.get("hostIP") or "0.0.0.0", other.get("hostIP") or "0.0.0.0"}
    return len(addresses) == 1 or "0.0.0.0" in addresses
