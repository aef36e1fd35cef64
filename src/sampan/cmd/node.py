"""Everything that runs on a node in one process: kubelet, pod network, service proxy, cluster DNS, local volumes."""

from __future__ import annotations

from sampan.cmd.process import Process, start


async def body(process: Process) -> None:
    from sampan.cmd import node_parts
    from sampan.cmd.certificates import certificates

    cluster, node = process.cluster, process.node
    policies = node_parts.policies(node)
    keys = {"certificates": certificates(cluster)} if cluster.processes == "static-pods" and node.index == 1 else {}
    await process.run({
        "kubelet": node_parts.kubelet(cluster, node, policies), "network": node_parts.network(cluster, node, policies),
        "proxy": node_parts.proxy(cluster, node), "dns": node_parts.dns(cluster, node),
        "storage": node_parts.storage(cluster, node), **keys,
    })


if __name__ == "__main__":
    start("node", body, of_node=True)
