"""From one port of a Service to chains, map elements and sets of nftables; and the frame they hang in. All of it pure.

A packet to a Service goes by verdict maps, so its cost does not grow with the number of Services:

    nat prerouting, output  → services → @service-ips (address . protocol . port)  ┐
                                         @service-nodeports (protocol . port)      ┴→ external-X → service-X | local-X
    service-X, local-X      who spoke with an endpoint before (affinity), else a random one → endpoint-X
    endpoint-X              dnat
    nat postrouting         masquerades what was marked: hairpin, from outside the pods, by node port
    filter input, forward, output   what no endpoint took: @no-endpoint-services → reject or drop

The layout and names follow kube-proxy's nftables mode, so who can read its rules can read these.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from sampan.netfilter.ruleset import Contribution, Family, TableFrame
from sampan.proxy.model import Endpoint, ServicePort

MASQUERADE_MARK = "0x4000"
MAX_NAME = 120
_UNSAFE = re.compile(r"[^A-Za-z0-9/_.-]")


@dataclass(frozen=True, slots=True)
class Frame:
    """What all rules of one table share. `cluster_cidr` is where pods are: other sources are masqueraded."""

    table: str = "sampan-proxy"
    family: Family = "ip"
    cluster_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"

    @property
    def address_type(self) -> str:
        return "ipv4_addr" if self.family == "ip" else "ipv6_addr"

    @property
    def loopback(self) -> str:
        return "127.0.0.0/8" if self.family == "ip" else "::1"


MAPS = ("service-ips", "service-nodeports", "no-endpoint-services", "no-endpoint-nodeports", "firewall-ips")


def base(frame: Frame) -> list[str]:
    """The commands that make the table's fixed part, whatever is there already."""
    at = f"{frame.family} {frame.table}"
    frontend = f"{frame.address_type} . inet_proto . inet_service : verdict"
    nodeport = "inet_proto . inet_service : verdict"
    lines = [f'add table {at} {{ comment "rules of sampan\'s service proxy"; }}']
    lines += [f"add set {at} cluster-ips {{ type {frame.address_type}; }}"]
    for name in MAPS:
        lines.append(f"add map {at} {name} {{ type {nodeport if name.endswith('nodeports') else frontend}; }}")
    rules = _fixed_rules(frame)
    for name in rules:
        hook = f" {{ {_HOOKS[name]}; }}" if name in _HOOKS else ""
        lines.append(f"add chain {at} {name}{hook}")
    for name, body in rules.items():
        lines.append(f"flush chain {at} {name}")
        lines += [f"add rule {at} {name} {rule}" for rule in body]
    return lines


_HOOKS = {
    "filter-prerouting": "type filter hook prerouting priority -110",
    "filter-input": "type filter hook input priority -110",
    "filter-forward": "type filter hook forward priority -110",
    "filter-output": "type filter hook output priority -110",
    "filter-output-post-dnat": "type filter hook output priority -90",
    "nat-prerouting": "type nat hook prerouting priority -100",
    "nat-output": "type nat hook output priority -100",
    "nat-postrouting": "type nat hook postrouting priority 100",
}


def _fixed_rules(frame: Frame) -> dict[str, tuple[str, ...]]:
    """Chains in an order in which each jumps only to earlier ones."""
    address = frame.family
    frontend = f"{address} daddr . meta l4proto . th dport"
    nodeport = f"fib daddr type local {address} daddr != {frame.loopback} meta l4proto . th dport"
    unallocated = (f"{address} daddr {frame.service_cidr} drop",) if frame.service_cidr else ()
    return {
        "mark-for-masquerade": (f"meta mark set meta mark or {MASQUERADE_MARK}",),
        "reject-chain": ("meta l4proto tcp reject with tcp reset", "reject"),
        "services": (f"{frontend} vmap @service-ips", f"{nodeport} vmap @service-nodeports"),
        "service-endpoints-check": (f"{frontend} vmap @no-endpoint-services",),
        "nodeport-endpoints-check": (f"{nodeport} vmap @no-endpoint-nodeports",),
        # What is still addressed to a Service here was taken by none of its ports, or belongs to no Service.
        "cluster-ips-check": (f"{address} daddr @cluster-ips goto reject-chain", *unallocated),
        "firewall-check": (f"{frontend} vmap @firewall-ips",),
        "masquerading": (
            f"meta mark and {MASQUERADE_MARK} == 0 return",
            f"meta mark set meta mark xor {MASQUERADE_MARK}",
            "masquerade fully-random",
        ),
        "filter-prerouting": ("ct state new jump firewall-check",),
        "filter-input": ("ct state new jump nodeport-endpoints-check", "ct state new jump service-endpoints-check"),
        "filter-forward": ("ct state new jump service-endpoints-check", "ct state new jump cluster-ips-check"),
        "filter-output": ("ct state new jump service-endpoints-check", "ct state new jump firewall-check"),
        "filter-output-post-dnat": ("ct state new jump cluster-ips-check",),
        "nat-prerouting": ("jump services",),
        "nat-output": ("jump services",),
        "nat-postrouting": ("jump masquerading",),
    }


def table_frame(frame: Frame) -> TableFrame:
    """The table without any Service. A new proxy keeps what an earlier one remembered of affinity."""
    return TableFrame(
        frame.family, frame.table, tuple(base(frame)), frozenset(_fixed_rules(frame)), frozenset(MAPS),
        frozenset({"cluster-ips"}), keeps_sets=True,
    )


def contribution(port: ServicePort, frame: Frame) -> Contribution:
    """Everything that exists because of this service port."""
    found = Contribution()
    name = _name(port.key)
    if port.cluster:
        found.chains[f"service-{name}"] = _policy_rules(port, port.cluster, frame, internal=not port.internal_local)
    if port.local:
        found.chains[f"local-{name}"] = _policy_rules(port, port.local, frame, internal=port.internal_local)
    for endpoint in port.endpoints:
        found.chains[_endpoint_name("endpoint", port, endpoint)] = _endpoint_rules(port, endpoint, frame)
        if port.affinity_s:
            name_of_set = _endpoint_name("affinity", port, endpoint)
            found.sets[name_of_set] = (
                f"type {frame.address_type}; flags dynamic, timeout; timeout {port.affinity_s}s;"
            )
    if port.external and port.external_local and (port.cluster or port.local):
        found.chains[f"external-{name}"] = _local_external_rules(port, frame)
    elif port.external and port.cluster:
        found.chains[f"external-{name}"] = ("jump mark-for-masquerade", f"goto service-{name}")
    if port.balancer_ips and port.source_ranges:
        allowed = ", ".join(port.source_ranges)
        found.chains[f"firewall-{name}"] = (f"{frame.family} saddr {{ {allowed} }} return", "drop")
    _add_elements(found, port, name)
    return found


def _add_elements(found: Contribution, port: ServicePort, name: str) -> None:
    inside = "local" if port.internal_local else "service"
    nothing = "drop" if port.any_endpoints else "goto reject-chain"
    for address in port.cluster_ips:
        key = f"{address} . {port.protocol} . {port.port}"
        found.elements["cluster-ips", address] = ""
        if port.internal_endpoints:
            found.elements["service-ips", key] = f"goto {inside}-{name}"
        else:
            found.elements["no-endpoint-services", key] = nothing
    outside = f"external-{name}" in found.chains
    for address in (*port.external_ips, *port.balancer_ips):
        key = f"{address} . {port.protocol} . {port.port}"
        if outside:
            found.elements["service-ips", key] = f"goto external-{name}"
        if not port.external_endpoints:
            found.elements["no-endpoint-services", key] = nothing
        if f"firewall-{name}" in found.chains and address in port.balancer_ips:
            found.elements["firewall-ips", key] = f"goto firewall-{name}"
    if port.node_port:
        key = f"{port.protocol} . {port.node_port}"
        if outside:
            found.elements["service-nodeports", key] = f"goto external-{name}"
        if not port.external_endpoints:
            found.elements["no-endpoint-nodeports", key] = nothing


def _policy_rules(
    port: ServicePort, endpoints: tuple[Endpoint, ...], frame: Frame, *, internal: bool
) -> tuple[str, ...]:
    """Choose one of the endpoints."""
    rules = []
    if internal and frame.cluster_cidr:
        rules += [
            f"{frame.family} daddr {address} {port.protocol} dport {port.port} "
            f"{frame.family} saddr != {frame.cluster_cidr} jump mark-for-masquerade"
            for address in port.cluster_ips
        ]
    names = [_endpoint_name("endpoint", port, endpoint) for endpoint in endpoints]
    if port.affinity_s:
        rules += [f"{frame.family} saddr @{_endpoint_name('affinity', port, endpoint)} goto {name}"
                  for endpoint, name in zip(endpoints, names, strict=True)]
    choices = ", ".join(f"{number} : goto {name}" for number, name in enumerate(names))
    return (*rules, f"numgen random mod {len(names)} vmap {{ {choices} }}")


def _endpoint_rules(port: ServicePort, endpoint: Endpoint, frame: Frame) -> tuple[str, ...]:
    target = f"{endpoint.ip}:{endpoint.port}" if frame.family == "ip" else f"[{endpoint.ip}]:{endpoint.port}"
    remember = f"update @{_endpoint_name('affinity', port, endpoint)} {{ {frame.family} saddr }}"
    return (
        f"{frame.family} saddr {endpoint.ip} jump mark-for-masquerade",
        *((remember,) if port.affinity_s else ()),
        f"meta l4proto {port.protocol} dnat to {target}",
    )


def _local_external_rules(port: ServicePort, frame: Frame) -> tuple[str, ...]:
    """From outside only to this node's endpoints, under the client's own address; from inside to any."""
    name = _name(port.key)
    rules = []
    if port.cluster:
        if frame.cluster_cidr:
            rules.append(f"{frame.family} saddr {frame.cluster_cidr} goto service-{name}")
        rules += ["fib saddr type local jump mark-for-masquerade", f"fib saddr type local goto service-{name}"]
    if port.local:
        rules.append(f"goto local-{name}")
    return tuple(rules)


def _name(key: str) -> str:
    """Unique by its hash, readable by its rest; no character in it can end a name, whatever a Service is called."""
    return f"{_hash(key)}-{_UNSAFE.sub('_', key)}"[:MAX_NAME - len("endpoint-")]


def _hash(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest())[:8].decode()


def _endpoint_name(kind: str, port: ServicePort, endpoint: Endpoint) -> str:
    place = f"{endpoint.ip}/{endpoint.port}"
    key = f"{port.key}__{place.replace(':', '.')}"
    if kind == "affinity":  # another timeout is another set: a set's timeout cannot be changed
        return f"affinity-{_hash(f'{key} {port.affinity_s}')}-{_UNSAFE.sub('_', key)}"[:MAX_NAME]
    return f"{kind}-{_name(key)}"[:MAX_NAME]
