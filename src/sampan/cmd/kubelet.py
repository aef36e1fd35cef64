"""The kubelet, the node's pod network and its local volumes as a process of its own."""

from __future__ import annotations

from sampan.cmd import node_parts
from sampan.cmd.process import Process, start


async def body(process: Process) -> None:
    cluster, node = process.cluster, process.node
    policies = node_parts.policies(node)
    await process.run({
        "kubelet": node_parts.kubelet(cluster, node, policies), "network": node_parts.network(cluster, node, policies),
        "storage": node_parts.storage(cluster, node),
    })


if __name__ == "__main__":
    start("kubelet", body, of_node=True)
