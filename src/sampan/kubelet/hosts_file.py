"""The /etc/hosts that every container of a pod sees, in upstream's form. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.apimachinery.object import Object

HEADER = "# Kubernetes-managed hosts file.\n"
HEADER_HOST_NETWORK = "# Kubernetes-managed hosts file (host network).\n"

_LOCAL = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)


def hosts_file(ips: Sequence[str], hostname: str, domain: str, aliases: Sequence[Object]) -> str:
    """For a pod with its own network: its addresses under its fully qualified and short name."""
    names = f"{hostname}.{domain}\t{hostname}" if domain else hostname
    own = "".join(f"{ip}\t{names}\n" for ip in ips)
    return HEADER + _LOCAL + own + _aliases(aliases)


def host_network_hosts_file(node_file: str, ip: str, node: str, aliases: Sequence[Object]) -> str:
    """For a pod in the node's network: the machine's own file, and the node's name where that does not know it."""
    known = any(node in line.partition("#")[0].split()[1:] for line in node_file.splitlines())
    own = "" if known else f"{ip}\t{node}\n"
    return HEADER_HOST_NETWORK + node_file + own + _aliases(aliases)


def _aliases(aliases: Sequence[Object]) -> str:
    if not aliases:
        return ""
    lines = "".join(f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or []) + "\n" for alias in aliases)
    return "\n# Entries added by HostAliases.\n" + lines
