"""Where etcd is, and how to prove who asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EtcdConfig:
    """Where etcd is: `endpoints` as in `--etcd-servers` (`https://10.0.0.1:2379`, all of one scheme).

    The files are PEM: the authority that signed etcd's certificates, and what this client shows of itself.
    """

    endpoints: tuple[str, ...] = ("http://127.0.0.1:2379",)
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def __post_init__(self) -> None:
        schemes = {endpoint.partition("://")[0] for endpoint in self.endpoints}
        if schemes not in ({"http"}, {"https"}):
            raise ValueError(f"etcd's endpoints must be all http:// or all https:// addresses: {self.endpoints}")

    @property
    def secure(self) -> bool:
        return self.endpoints[0].startswith("https://")

    @property
    def target(self) -> str:
        """The endpoints as gRPC names them: addresses together, a name alone."""
        hosts = [endpoint.partition("://")[2].rstrip("/") for endpoint in self.endpoints]
        if any(host.startswith("[") for host in hosts):
            return "ipv6:" + ",".join(hosts)
        if all(host.rpartition(":")[0].replace(".", "").isdigit() for host in hosts):
            return "ipv4:" + ",".join(hosts)
        return f"dns:///{hosts[0]}"
