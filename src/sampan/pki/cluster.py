"""Every key and certificate of a cluster, in one directory, laid out as kubeadm does.

`ClusterPKI.ensure` makes what is missing, damaged, due for renewal, signed by another authority or lacking a name that
it now needs, and leaves the rest alone: calling it twice changes nothing. Identities are those of upstream:

    file                          user                                            groups
    apiserver-kubelet-client      kube-apiserver-kubelet-client                   system:masters
    admin                         kubernetes-admin                                system:masters
    controller-manager            system:kube-controller-manager
    scheduler                     system:kube-scheduler
    kube-proxy                    system:kube-proxy
    kube-dns                      system:serviceaccount:kube-system:kube-dns      system:serviceaccounts, …:kube-system
    node-local-storage            …:kube-system:node-local-storage                (the same)
    front-proxy-client            front-proxy-client                              (signed by the front proxy authority)
    nodes/NODE/kubelet-client     system:node:NODE                                system:nodes
    nodes/NODE/kubelet            serves the kubelet's API
    apiserver                     serves the API
    apiserver-etcd-client         kube-apiserver-etcd-client                      (signed by etcd's authority)
    etcd/server, etcd/peer        serve etcd                                      (likewise)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sampan import effects
from sampan.pki import kubeconfig
from sampan.pki.authority import CertificateAuthority, client, server
from sampan.pki.certificate import CertificateSpec, Credential, KeyPair, Usage
from sampan.pki.kubeconfig import Document
from sampan.pki.rotation import Renewable, is_due
from sampan.pki.service_account import SigningKey

IDENTITIES: dict[str, CertificateSpec] = {
    "apiserver-kubelet-client": client("kube-apiserver-kubelet-client", "system:masters"),
    "admin": client("kubernetes-admin", "system:masters"),
    "controller-manager": client("system:kube-controller-manager"),
    "scheduler": client("system:kube-scheduler"),
    "kube-proxy": client("system:kube-proxy"),
    "kube-dns": client(
        "system:serviceaccount:kube-system:kube-dns", "system:serviceaccounts", "system:serviceaccounts:kube-system"
    ),
    "node-local-storage": client(
        "system:serviceaccount:kube-system:node-local-storage", "system:serviceaccounts",
        "system:serviceaccounts:kube-system",
    ),
}


@dataclass(frozen=True, slots=True)
class ClusterNames:
    """What the API server is reached by. `addresses` holds each control plane node's address."""

    addresses: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    service_address: str = "10.96.0.1"
    domain: str = "cluster.local"

    @property
    def apiserver(self) -> CertificateSpec:
        qualified = "kubernetes.default.svc"
        service = ("kubernetes", "kubernetes.default", qualified, f"{qualified}.{self.domain}")
        return server(
            "kube-apiserver",
            list(dict.fromkeys((*service, "localhost", *self.dns_names))),
            list(dict.fromkeys((self.service_address, "127.0.0.1", "::1", *self.addresses))),
        )


@dataclass(frozen=True, slots=True)
class NodeCredentials:
    """A node's client certificate and the one its kubelet serves with."""

    client: KeyPair
    serving: KeyPair


@dataclass
class ClusterPKI:
    """Where everything is, and the authorities to make more."""

    directory: Path
    ca: CertificateAuthority
    front_proxy_ca: CertificateAuthority
    service_account_key: SigningKey
    renewables: list[Renewable] = field(default_factory=list)
    """What `rotation.keep_renewed` should look after."""

    @classmethod
    def ensure(cls, directory: Path, names: ClusterNames | None = None) -> ClusterPKI:
        """The whole set, made where it is missing. The directory is 0700."""
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        pki = cls(
            directory,
            CertificateAuthority.ensure(KeyPair.named(directory, "ca"), "kubernetes"),
            CertificateAuthority.ensure(KeyPair.named(directory, "front-proxy-ca"), "front-proxy-ca"),
            SigningKey.ensure(directory),
        )
        pki._ensure("apiserver", (names or ClusterNames()).apiserver, pki.ca)
        for name, spec in IDENTITIES.items():
            pki._ensure(name, spec, pki.ca)
        pki._ensure("front-proxy-client", client("front-proxy-client"), pki.front_proxy_ca)
        return pki

    def ensure_node(self, name: str, addresses: Sequence[str], dns_names: Sequence[str] = ()) -> NodeCredentials:
        """A node's two certificates."""
        subject = f"system:node:{name}"
        serving = server(subject, (name, *dns_names), addresses)
        serving = CertificateSpec(subject, ("system:nodes",), serving.dns_names, serving.addresses, serving.usages)
        return NodeCredentials(
            client=self._ensure(f"nodes/{name}/kubelet-client", client(subject, "system:nodes"), self.ca),
            serving=self._ensure(f"nodes/{name}/kubelet", serving, self.ca),
        )

    def ensure_serving(self, name: str, dns_names: Sequence[str], addresses: Sequence[str]) -> KeyPair:
        """What one of the cluster's own servers, known by these names, serves with."""
        return self._ensure(name, server(name, dns_names, addresses), self.ca)

    def ensure_etcd(self, addresses: Sequence[str]) -> None:
        """etcd's own authority, what its members serve with, and what the API server shows them."""
        authority = CertificateAuthority.ensure(self.pair("etcd/ca"), "etcd-ca")
        for name in ("server", "peer"):
            spec = server("etcd", ("localhost",), ("127.0.0.1", *addresses))
            spec = replace(spec, usages=(Usage.SERVER, Usage.CLIENT))  # members are each other's clients
            self._ensure(f"etcd/{name}", spec, authority)
        self._ensure("apiserver-etcd-client", client("kube-apiserver-etcd-client"), authority)

    def pair(self, name: str) -> KeyPair:
        """Where a credential is: `admin`, `apiserver`, `nodes/NODE/kubelet`, …"""
        return KeyPair.named(self.directory, name)

    @property
    def ca_path(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def front_proxy_ca_path(self) -> Path:
        return self.directory / "front-proxy-ca.crt"

    def kubeconfig(self, identity: str, server_url: str, cluster_name: str) -> Document:
        """A kubeconfig document, everything embedded, for one of the identities above."""
        credential = self.pair(identity).load()
        assert credential is not None, f"no credential {identity}"
        return kubeconfig.document(cluster_name, server_url, self.ca.certificate_pem, credential)

    def _ensure(self, name: str, spec: CertificateSpec, authority: CertificateAuthority) -> KeyPair:
        pair = self.pair(name)

        def issue() -> Credential:
            return authority.issue(spec)

        present = pair.load()
        if present is None or not _still_good(present, spec, authority):
            pair.save(issue())
        self.renewables = [known for known in self.renewables if known.name != name]
        self.renewables.append(Renewable(name, pair, issue))
        return pair


def _still_good(credential: Credential, spec: CertificateSpec, authority: CertificateAuthority) -> bool:
    certificate = credential.certificate
    return (
        authority.issued(certificate) and spec.satisfied_by(certificate) and not is_due(certificate, effects.now())
    )

