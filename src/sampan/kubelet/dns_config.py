"""A pod's resolv.conf, by its dnsPolicy and dnsConfig. Pure, except for reading the node's own resolv.conf."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sampan.apimachinery.object import Object, namespace_of
from sampan.cri.runtime import DNSConfig
from sampan.kubelet import spec

MAX_SERVERS = 3
MAX_SEARCHES = 32
CLUSTER_OPTIONS = ("ndots:5",)


@dataclass(frozen=True, slots=True)
class ClusterDNS:
    """The cluster's name servers and domain, and what the node itself uses."""

    servers: tuple[str, ...]
    domain: str
    host: DNSConfig


def read_resolv_conf(path: Path) -> DNSConfig:
    """The node's resolver configuration; empty when there is none."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    try:
        text = path.read_text()
    except OSError:
        return DNSConfig()
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] == "search":
            searches = [word for word in words[1:] if word != "."]
        elif words[0] == "options":
            options = words[1:]
    return DNSConfig(tuple(servers), tuple(searches), tuple(options))


def dns_config(pod: Object, cluster: ClusterDNS) -> DNSConfig:
    """What the pod's /etc/resolv.conf says."""
    base = _by_policy(pod, cluster)
    extra = pod["spec"].get("dnsConfig") or {}
    options: dict[str, str | None] = dict(_split(option) for option in base.options)
    for option in extra.get("options") or []:
        options[option["name"]] = option.get("value")
    return DNSConfig(
        servers=_unique((*base.servers, *(extra.get("nameservers") or [])))[:MAX_SERVERS],
        searches=_unique((*base.searches, *(extra.get("searches") or [])))[:MAX_SEARCHES],
        options=tuple(name if value is None else f"{name}:{value}" for name, value in options.items()),
    )


def _by_policy(pod: Object, cluster: ClusterDNS) -> DNSConfig:
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    if policy == "None":
        return DNSConfig()
    wants_cluster = policy == "ClusterFirstWithHostNet" or (
        policy == "ClusterFirst" and not spec.uses_host_network(pod)
    )
    if not wants_cluster or not cluster.servers:
        return cluster.host
    domain = cluster.domain
    searches = (f"{namespace_of(pod)}.svc.{domain}", f"svc.{domain}", domain) if domain else ()
    return DNSConfig(cluster.servers, (*searches, *cluster.host.searches), CLUSTER_OPTIONS)


def _split(option: str) -> tuple[str, str | None]:
    name, colon, value = option.partition(":")
    return name, value if colon else None


def _unique(items: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
