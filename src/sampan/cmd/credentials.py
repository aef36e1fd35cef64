"""How the processes of a cluster find and prove who they are: PKI files to client credentials."""

from __future__ import annotations

from sampan.addons.metrics import objects as metrics
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.transport import HTTPTransport
from sampan.cmd.layout import ClusterLayout, NodeLayout, context_name
from sampan.pki import encryption
from sampan.pki import kubeconfig as admin_kubeconfig
from sampan.pki.cluster import ClusterNames, ClusterPKI


def ensure(cluster: ClusterLayout) -> ClusterPKI:
    """The cluster's PKI, every node's certificates, the key for Secrets; made where missing, renewed where due."""
    pki = ClusterPKI.ensure(cluster.pki_dir, ClusterNames(
        addresses=(cluster.first_node.address,), service_address=cluster.kubernetes_address, domain=cluster.domain,
    ))
    for node in cluster.nodes:
        pki.ensure_node(node.name, [node.address])
    if cluster.store == "etcd":
        pki.ensure_etcd([cluster.first_node.address])
    pki.ensure_serving(metrics.NAME, (metrics.SERVER_NAME,), (cluster.first_node.address,))
    encryption.ensure(cluster.pki_dir)
    return pki


def write_admin_kubeconfig(cluster: ClusterLayout, pki: ClusterPKI, *, asked: bool = False) -> None:
    """The file that `sampan kubeconfig path` names. Who `asked` through sudo gets it; otherwise it keeps its owner."""
    write = admin_kubeconfig.write if asked and admin_kubeconfig.invoking_user() else admin_kubeconfig.rewrite
    write(cluster.kubeconfig, pki.kubeconfig("admin", cluster.host_url, context_name(cluster.name)))


def client(
    cluster: ClusterLayout, identity: str, *, server: str = "", field_manager: str = "", impersonate: str = ""
) -> Client:
    """A client over HTTPS as one of the identities of `pki.cluster`; its certificate may rotate meanwhile."""
    document = {
        "clusters": [{"name": "c", "cluster": {
            "server": server or cluster.node_url, "certificate-authority": str(cluster.pki_dir / "ca.crt"),
        }}],
        "users": [{"name": "u", "user": {
            "client-certificate": str(cluster.pki_dir / f"{identity}.crt"),
            "client-key": str(cluster.pki_dir / f"{identity}.key"), "as": impersonate,
        }}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x",
    }
    credentials = kubeconfig.from_document(document, directory=cluster.pki_dir)
    agent = field_manager or identity.rpartition("/")[2]
    return Client(HTTPTransport.from_credentials(credentials, user_agent=f"sampan/{agent}"), field_manager=agent)


def node_identity(node: NodeLayout) -> str:
    return f"nodes/{node.name}/kubelet-client"
