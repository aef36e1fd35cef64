"""Which processes make up a cluster."""

from __future__ import annotations

import pytest

from sampan.cmd import etcd, layout, topology
from sampan.cmd.layout import ClusterLayout


def test_combined_needs_three_processes_for_one_node() -> None:
    names = [spec.name for spec in topology.processes(ClusterLayout("a", 6443))]
    assert names == ["containerd-1", "control-plane", "node-1"]


def test_separate_gives_every_component_its_own_and_every_node_its_set() -> None:
    names = [spec.name for spec in topology.processes(ClusterLayout("a", 6443, node_count=2, processes="separate"))]
    assert names == [
        "containerd-1", "containerd-2", "apiserver", "controller-manager", "scheduler",
        "kubelet-1", "proxy-1", "dns-1", "kubelet-2", "proxy-2", "dns-2",
    ]


def test_a_cluster_on_etcd_runs_it_on_the_first_node_for_nobody_but_the_api_server() -> None:
    cluster = ClusterLayout("a", 6443, store="etcd")
    spec = {spec.name: spec for spec in topology.processes(cluster)}["etcd"]
    assert spec.namespace == "sampan-a-a-1"
    assert "--client-cert-auth" in spec.argv
    assert etcd.config(cluster).target == "ipv4:172.30.0.11:2379"
    assert etcd.config(cluster).secure


def test_the_kubelet_waits_for_its_own_nodes_runtime() -> None:
    second = ClusterLayout("a", 6443, node_count=2)
    spec = {spec.name: spec for spec in topology.processes(second)}["node-2"]
    assert spec.namespace == "sampan-a-a-2"
    assert spec.needs == (str(second.nodes[1].containerd_socket),)


def test_addresses_follow_the_ranges() -> None:
    cluster = ClusterLayout("a", 6443)
    assert cluster.kubernetes_address == "10.96.0.1"
    assert cluster.dns_address == "10.96.0.10"
    assert [node.address for node in ClusterLayout("a", 6443, node_count=2).nodes] == ["172.30.0.11", "172.30.0.12"]


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a/../b", "x" * 21])
def test_a_name_that_cannot_be_part_of_paths_is_refused(name: str) -> None:
    with pytest.raises(layout.InvalidClusterName, match="no cluster name"):
        layout.checked_name(name)
