"""From a Service and its EndpointSlices to what a packet may meet: frontends, and the endpoints that serve them here.

Which endpoints are used follows kube-proxy:

- Ready ones; where none is ready, those that are terminating but still serve.
- "Cluster" policies use endpoints anywhere, of this zone (or node) only when every endpoint carries a hint and one is
for
  here. "Local" policies use endpoints of this node only.
- A Service with no endpoints at all refuses connections; one whose policy is Local and that has endpoints only
elsewhere
  drops packets, since a balancer in front should look for another node.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from sampan.apimachinery.object import Object, dig, key_of, labels_of
from sampan.netfilter.ruleset import Family

SERVICE_LABEL = "kubernetes.io/service-name"
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
DEFAULT_AFFINITY_S = 10800
PROTOCOLS = ("tcp", "udp", "sctp")
ADDRESS_TYPES: dict[Family, str] = {"ip": "IPv4", "ip6": "IPv6"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where this proxy runs."""

    node: str
    zone: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """An address and port that serves; `local` when on this node."""

    ip: str
    port: int
    local: bool = False


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service in one address family, with the endpoints to use for each policy."""

    service: str
    """`namespace/name`."""
    name: str
    protocol: str
    """tcp, udp or sctp."""
    port: int
    cluster_ips: tuple[str, ...]
    external_ips: tuple[str, ...] = ()
    balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    node_port: int = 0
    affinity_s: int = 0
    internal_local: bool = False
    external_local: bool = False
    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    any_endpoints: bool = False
    """True when the Service has a usable endpoint somewhere, reachable by its policies or not."""

    @property
    def key(self) -> str:
        return f"{self.service}/{self.protocol}/{self.name or self.port}"

    @property
    def external(self) -> bool:
        return bool(self.external_ips or self.balancer_ips or self.node_port)

    @property
    def internal_endpoints(self) -> tuple[Endpoint, ...]:
        return self.local if self.internal_local else self.cluster

    @property
    def external_endpoints(self) -> tuple[Endpoint, ...]:
        return self.local if self.external_local else self.cluster

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every endpoint that some policy uses."""
        return tuple(sorted({*self.cluster, *self.local}))


@dataclass(frozen=True, slots=True)
class _Candidate:
    endpoint: Endpoint
    ready: bool
    serving: bool
    terminating: bool
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Chosen:
    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    found: list[_Candidate] = field(default_factory=list)


def is_proxied(service: Object) -> bool:
    """False for headless and ExternalName Services, those labelled so, and those that another proxy looks after."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName" or {PROXY_NAME_LABEL, HEADLESS_LABEL} & set(labels_of(service)):
        return False
    return spec.get("clusterIP") not in (None, "", "None")


def service_ports(service: Object, slices: Iterable[Object], place: Place, family: Family = "ip") -> list[ServicePort]:
    """The ports of a Service in one family, with their endpoints as this node should use them.

    Raises ValueError for an address or protocol that is none, whatever the API server let through.
    """
    spec = service.get("spec") or {}
    addresses = _of_family(spec.get("clusterIPs") or [spec.get("clusterIP", "")], family) if is_proxied(service) else ()
    if not addresses:
        return []
    relevant = [piece for piece in slices if piece.get("addressType") == ADDRESS_TYPES[family]]
    balancers = [i for i in dig(service, "status", "loadBalancer", "ingress", default=[]) if i.get("ipMode") != "Proxy"]
    externals = _of_family(spec.get("externalIPs") or [], family)
    balancer_ips = _of_family([i.get("ip", "") for i in balancers], family)
    affinity_s = 0
    if spec.get("sessionAffinity") == "ClientIP":
        affinity_s = int(dig(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds", default=DEFAULT_AFFINITY_S))
    ports = []
    for entry in spec.get("ports") or []:
        node_port = int(entry.get("nodePort") or 0)
        external = bool(externals or balancer_ips or node_port)
        internal_local = spec.get("internalTrafficPolicy") == "Local"
        external_local = external and spec.get("externalTrafficPolicy") == "Local"
        chosen = _choose(_candidates(relevant, entry, place), place)
        ports.append(ServicePort(
            service=key_of(service), name=entry.get("name") or "", protocol=_protocol(entry), port=int(entry["port"]),
            cluster_ips=addresses, external_ips=externals, balancer_ips=balancer_ips,
            source_ranges=_of_family(spec.get("loadBalancerSourceRanges") or [], family) if balancer_ips else (),
            node_port=node_port, affinity_s=affinity_s, internal_local=internal_local, external_local=external_local,
            cluster=chosen.cluster if not internal_local or external else (),
            local=chosen.local if internal_local or external_local else (),
            any_endpoints=any(c.ready or (c.serving and c.terminating) for c in chosen.found),
        ))
    return ports


def _choose(found: list[_Candidate], place: Place) -> _Chosen:
    ready = [c for c in found if c.ready]
    fallback = [c for c in found if c.serving and c.terminating]
    local = [c.endpoint for c in ready if c.endpoint.local] or [c.endpoint for c in fallback if c.endpoint.local]
    return _Chosen(_distinct(c.endpoint for c in _near(ready, place) or fallback), _distinct(local), found)


def _near(ready: list[_Candidate], place: Place) -> list[_Candidate]:
    """Those hinted for this node, else for this zone; all of them unless each has a hint and one is for here."""
    if ready and all(c.nodes for c in ready):
        here = [c for c in ready if place.node in c.nodes]
        if here:
            return here
    if ready and place.zone and all(c.zones for c in ready):
        return [c for c in ready if place.zone in c.zones] or ready
    return ready


def _candidates(slices: list[Object], port: Object, place: Place) -> list[_Candidate]:
    found = []
    for piece in slices:
        number = next((p.get("port") for p in piece.get("ports") or []
                       if (p.get("name") or "") == (port.get("name") or "") and _protocol(p) == _protocol(port)), None)
        if not number:
            continue
        for entry in piece.get("endpoints") or []:
            conditions = entry.get("conditions") or {}
            ready = conditions.get("ready") is not False
            serving = conditions.get("serving", ready) is not False
            hints = entry.get("hints") or {}
            address = str(ipaddress.ip_address(entry["addresses"][0]))  # it becomes part of a rule: it must be one
            endpoint = Endpoint(address, int(number), entry.get("nodeName") == place.node)
            found.append(_Candidate(
                endpoint, ready, serving, bool(conditions.get("terminating")),
                zones=tuple(hint["name"] for hint in hints.get("forZones") or []),
                nodes=tuple(hint["name"] for hint in hints.get("forNodes") or []),
            ))
    return found


def _distinct(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Sorted, each address and port once; an endpoint may be in two slices while it moves between them."""
    return tuple(sorted({(e.ip, e.port): e for e in endpoints}.values()))


def _protocol(entry: Object) -> str:
    protocol = str(entry.get("protocol") or "TCP").lower()
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol {protocol!r} must be one of {', '.join(PROTOCOLS)}")
    return protocol


def _of_family(addresses: Iterable[str], family: Family) -> tuple[str, ...]:
    """Addresses or CIDRs of the family, in their shortest notation."""
    found: dict[str, None] = {}
    for address in addresses:
        if address and address != "None":
            network = ipaddress.ip_network(address.strip(), strict=False)
            if network.version == (4 if family == "ip" else 6):
                found[str(network) if "/" in address else str(network.network_address)] = None
    return tuple(found)
