"""Which processes make up a local cluster: a pure function of its layout.

    combined   containerd-N, node-N (kubelet, proxy, DNS, routes); control-plane (API server, controllers, scheduler)
    separate   containerd-N, kubelet-N, proxy-N, dns-N; apiserver, controller-manager, scheduler
    either     etcd, where the cluster keeps its state there
    static-pods   containerd-N, node-N; the control plane and etcd are the kubelet's (cmd/control_plane_pods.py)

Every process runs in a node's network namespace. The sockets of API server and DNS are opened by the supervisor and
handed down, so that a killed server comes back on the same ones and no connection is refused, no query lost meanwhile.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from sampan.cmd import etcd
from sampan.cmd.layout import ClusterLayout, NodeLayout
from sampan.cri import containerd

LOCAL_LISTENER = "apiserver-local"
NODE_LISTENER = "apiserver-node"
DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to keep running: its command, the network namespace it enters, the listeners it gets."""

    name: str
    argv: tuple[str, ...]
    namespace: str
    listeners: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    """Files that must exist before it is worth starting, such as containerd's socket before the kubelet."""
    hostname: str = ""
    """What the machine is called in there; "" for the host's own name."""


@dataclass(frozen=True, slots=True)
class ListenerSpec:
    """A TCP (or UDP) socket that the supervisor holds; `namespace` "" is the host's own."""

    name: str
    namespace: str
    address: str
    port: int
    udp: bool = False


def listeners(cluster: ClusterLayout) -> tuple[ListenerSpec, ...]:
    """Every socket that must outlive the process which serves on it."""
    first = cluster.first_node
    return (
        ListenerSpec(LOCAL_LISTENER, "", "127.0.0.1", cluster.api_port),
        ListenerSpec(NODE_LISTENER, first.namespace, first.address, cluster.node_port),
        *(
            ListenerSpec(name, node.namespace, node.address, DNS_PORT, udp=name == dns_listeners(node)[0])
            for node in cluster.nodes
            for name in dns_listeners(node)
        ),
    )


def dns_listeners(node: NodeLayout) -> tuple[str, str]:
    """The names of a node's UDP and TCP sockets for DNS."""
    return f"dns-udp-{node.index}", f"dns-tcp-{node.index}"


def containerd_config(node: NodeLayout) -> containerd.ContainerdConfig:
    return containerd.ContainerdConfig(
        root_dir=node.containerd_root, state_dir=node.containerd_state, cni_conf_dir=node.cni_conf_dir,
        registry_dir=node.state_dir / "registries",
    )


def processes(cluster: ClusterLayout) -> tuple[ProcessSpec, ...]:
    """All processes in the order in which they are started."""
    first = cluster.first_node.namespace
    both = (LOCAL_LISTENER, NODE_LISTENER)
    specs = [
        ProcessSpec(
            f"containerd-{node.index}", tuple(containerd.argv(containerd_config(node))), node.namespace,
            hostname=node.name,  # pods in the node's network have no name of their own: they see this one
        )
        for node in cluster.nodes
    ]
    if cluster.processes == "static-pods":
        return (*specs, *(_node_process(cluster, node, "node") for node in cluster.nodes))
    if cluster.store == "etcd":
        specs.append(ProcessSpec("etcd", etcd.argv(cluster), first))
    if cluster.processes == "combined":
        specs.append(_python(cluster, "control-plane", "control_plane", namespace=first, listeners=both))
        specs += [_node_process(cluster, node, "node") for node in cluster.nodes]
        return tuple(specs)
    specs.append(_python(cluster, "apiserver", "apiserver", namespace=first, listeners=both))
    specs.append(_python(cluster, "controller-manager", "controller_manager", namespace=first))
    specs.append(_python(cluster, "scheduler", "scheduler", namespace=first))
    specs += [_node_process(cluster, node, part) for node in cluster.nodes for part in ("kubelet", "proxy", "dns")]
    return tuple(specs)


def _node_process(cluster: ClusterLayout, node: NodeLayout, part: str) -> ProcessSpec:
    needs = (str(node.containerd_socket),) if part in ("node", "kubelet") else ()
    return ProcessSpec(
        name=f"{part}-{node.index}", namespace=node.namespace, needs=needs,
        listeners=dns_listeners(node) if part in ("node", "dns") else (),
        argv=(sys.executable, "-m", f"sampan.cmd.{part}", "--cluster", cluster.name, "--node", str(node.index)),
    )


def _python(
    cluster: ClusterLayout, name: str, module: str, *, namespace: str, listeners: tuple[str, ...] = (),
) -> ProcessSpec:
    argv = (sys.executable, "-m", f"sampan.cmd.{module}", "--cluster", cluster.name)
    return ProcessSpec(name, argv, namespace, listeners)
