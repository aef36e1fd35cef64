"""What runs on a node, as parts of a process: kubelet, pod network, service proxy, cluster DNS, local volumes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from sampan.client.client import Client
from sampan.cmd import credentials, topology
from sampan.cmd.layout import ClusterLayout, NodeLayout
from sampan.cmd.process import Part, inherited_sockets

if TYPE_CHECKING:
    from sampan.network.policy.agent import PolicyAgent


@contextlib.asynccontextmanager
async def _client(cluster: ClusterLayout, identity: str, field_manager: str) -> AsyncIterator[Client]:
    client = credentials.client(cluster, identity, field_manager=field_manager)
    try:
        yield client
    finally:
        await client.close()


def policies(node: NodeLayout) -> PolicyAgent:
    """Shared by a node's network, which keeps NetworkPolicies, and its kubelet, which starts pods behind them."""
    from sampan.network.policy.agent import PolicyAgent, PolicyConfig

    return PolicyAgent(PolicyConfig(node.name))


def kubelet(cluster: ClusterLayout, node: NodeLayout, agent: PolicyAgent) -> Part:
    """The kubelet, after the infra container's image is in the runtime's store."""

    async def part() -> None:
        from sampan.cri import images
        from sampan.kubelet.config import KubeletConfig, ServerTLS
        from sampan.kubelet.kubelet import run

        await images.ensure_pause(topology.containerd_config(node).socket)
        serving = cluster.pki_dir / "nodes" / node.name / "kubelet"
        config = KubeletConfig(
            node_name=node.name, node_ip=node.address, runtime_socket=str(node.containerd_socket),
            root_dir=node.kubelet_dir, static_pod_dir=node.manifest_dir, cluster_dns=(cluster.dns_address,),
            cluster_domain=cluster.domain, server_address=node.address,
            tls=ServerTLS(serving.with_suffix(".crt"), serving.with_suffix(".key"), cluster.pki_dir / "ca.crt"),
            cgroup_root=f"/{node.machines.cgroup}/{node.name}/kubepods",
        )
        async with _client(cluster, credentials.node_identity(node), "kubelet") as client:
            await run(client, config, before_start=agent.admit)

    return part


def network(cluster: ClusterLayout, node: NodeLayout, agent: PolicyAgent) -> Part:
    """CNI configuration, routes, network policies."""

    async def part() -> None:
        from sampan.network.agent import NetworkConfig, run
        from sampan.network.cni import CNIConfig

        cni = CNIConfig(node.machines.network, node.cni_conf_dir, node.state_dir / "cni-leases")
        # A kubelet may read no other node than its own; the proxy may.
        async with _client(cluster, "kube-proxy", "network") as client, asyncio.TaskGroup() as group:
            group.create_task(run(client, NetworkConfig(node.name, cni)), name="pod network")
            group.create_task(agent.run(client), name="network policies")

    return part


def proxy(cluster: ClusterLayout, node: NodeLayout) -> Part:
    """Services as nftables rules."""

    async def part() -> None:
        from sampan.proxy.proxy import ProxyConfig, run

        async with _client(cluster, "kube-proxy", "kube-proxy") as client:
            await run(client, ProxyConfig(node.name, cluster.pod_range, cluster.service_range))

    return part


def dns(cluster: ClusterLayout, node: NodeLayout) -> Part:
    """The cluster's names at the node's address."""

    async def part() -> None:
        from sampan.dns.server import DNSConfig, run

        async with _client(cluster, "kube-dns", "kube-dns") as client:
            sockets = inherited_sockets(*topology.dns_listeners(node))
            await run(client, DNSConfig(addresses=(node.address,), domain=cluster.domain, sockets=sockets))

    return part


def storage(cluster: ClusterLayout, node: NodeLayout) -> Part:
    """Volumes of the default StorageClass, which are directories of the node."""

    async def part() -> None:
        from sampan.addons.storage.provisioner import StorageConfig, run

        async with _client(cluster, "node-local-storage", "node-local-storage") as client:
            await run(client, StorageConfig(node.name, node.volume_dir))

    return part
