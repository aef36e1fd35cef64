"""etcd as a local cluster runs it, for `sampan up --store etcd`: one member on the first node, set up as kubeadm does.

Its clients show certificates of an authority that signs nothing else, so nobody but the API server reads the store.
"""

from __future__ import annotations

import shutil

from sampan.cmd.layout import ClusterLayout
from sampan.storage.etcd.config import EtcdConfig

INSTALL = "apt-get install -y --no-install-recommends etcd-server"
_QUOTA_BYTES = 8 << 30
METRICS_ADDRESS = "127.0.0.1:2381"
"""Where it says without certificates how it is, within its own network only; for probes, as kubeadm has it."""


def installed() -> bool:
    return shutil.which("etcd") is not None


def argv(cluster: ClusterLayout) -> tuple[str, ...]:
    """The command that runs it in the foreground."""
    pki, peer = cluster.pki_dir, f"https://{cluster.first_node.address}:2380"
    name = cluster.first_node.name
    return (
        "etcd", "--name", name, "--data-dir", str(cluster.etcd_dir), "--logger=zap",
        "--listen-client-urls", cluster.etcd_url, "--advertise-client-urls", cluster.etcd_url,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"{name}={peer}",
        "--cert-file", f"{pki}/etcd/server.crt", "--key-file", f"{pki}/etcd/server.key",
        "--trusted-ca-file", f"{pki}/etcd/ca.crt", "--client-cert-auth",
        "--peer-cert-file", f"{pki}/etcd/peer.crt", "--peer-key-file", f"{pki}/etcd/peer.key",
        "--peer-trusted-ca-file", f"{pki}/etcd/ca.crt", "--peer-client-cert-auth",
        "--snapshot-count", "10000", "--quota-backend-bytes", str(_QUOTA_BYTES),
    )


def config(cluster: ClusterLayout) -> EtcdConfig:
    """How the API server reaches it."""
    pki = cluster.pki_dir
    return EtcdConfig(
        (cluster.etcd_url,), str(pki / "etcd" / "ca.crt"),
        str(pki / "apiserver-etcd-client.crt"), str(pki / "apiserver-etcd-client.key"),
    )
