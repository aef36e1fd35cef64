"""From one NetworkPolicy to chains, sets and rules of nftables. Pure.

A policy becomes a chain for each direction, with a rule for each peer and the ports that go with it; each accepts, and
whoever is not accepted by a policy of its own returns to the pod's chain, which drops:

    forward (and input)  →  @egress-pods: source   → pod-out-X  → jump out-P, jump out-Q, drop
    forward              →  @ingress-pods: target  → pod-in-X   → jump in-P, drop

Peers that are chosen by selectors are the elements of a set, and so are named ports: a pod that comes or goes brings
and takes its own elements, and no rule changes. Addresses are what packets carry between the translation to a Service's
endpoint and any masquerading.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sampan.apimachinery.object import Object, key_of
from sampan.netfilter.ruleset import Contribution, TableFrame

Direction: TypeAlias = Literal["ingress", "egress"]

TABLE = "sampan-policy"
PEERS: Mapping[Direction, tuple[str, str]] = {"ingress": ("from", "saddr"), "egress": ("to", "daddr")}
DNS_PORT = 53
NAMED_PORT = "type ipv4_addr . inet_proto . inet_service;"

_CHECKED = ("ct state established,related accept", "ip saddr . ip daddr @own accept")


@dataclass(frozen=True, slots=True)
class Peer:
    """A pod, as rules see it: its address, and its container ports by (name, protocol)."""

    ip: str
    ports: Mapping[tuple[str, str], int]


def frame() -> TableFrame:
    """The table without any policy. Filters see packets after translation, and nothing that the node itself sends."""
    at = f"ip {TABLE}"
    hooks = {
        "egress-forward": ("forward priority -5", (*_CHECKED, "ip saddr vmap @egress-pods")),
        "egress-input": ("input priority -5", (*_CHECKED, "ip saddr vmap @egress-pods")),
        "ingress-forward": ("forward priority -4", (*_CHECKED, "ip daddr vmap @ingress-pods")),
    }
    lines = [
        f'add table {at} {{ comment "rules of sampan\'s network policies"; }}',
        f"add set {at} own {{ type ipv4_addr . ipv4_addr; }}", f"add set {at} nodes {{ type ipv4_addr; }}",
        f"add map {at} ingress-pods {{ type ipv4_addr : verdict; }}",
        f"add map {at} egress-pods {{ type ipv4_addr : verdict; }}",
    ]
    for name, (hook, rules) in hooks.items():
        lines += [f"add chain {at} {name} {{ type filter hook {hook}; }}", f"flush chain {at} {name}"]
        lines += [f"add rule {at} {name} {rule}" for rule in rules]
    return TableFrame(
        "ip", TABLE, tuple(lines), frozenset(hooks), frozenset({"ingress-pods", "egress-pods"}),
        frozenset({"own", "nodes"}),
    )


def policy_types(policy: Object) -> set[Direction]:
    """Which directions it restricts; egress only if it says so or has egress rules."""
    spec = policy.get("spec") or {}
    kinds = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    return {direction for direction in PEERS if direction.capitalize() in kinds}


def chain_of(policy: Object, direction: Direction) -> str:
    return f"{'in' if direction == 'ingress' else 'out'}-{_name(key_of(policy))}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy. `document` is the API's; `name` is what its sets are called."""

    name: str
    direction: Direction
    document: Object

    @property
    def peers(self) -> Sequence[Object]:
        return self.document.get(PEERS[self.direction][0]) or []

    @property
    def ports(self) -> Sequence[Object]:
        return self.document.get("ports") or []

    @property
    def selecting(self) -> list[Object]:
        """Peers that are chosen by selectors."""
        return [peer for peer in self.peers if "ipBlock" not in peer]

    @property
    def named_ports(self) -> list[tuple[str, str]]:
        """(name, protocol)."""
        found = [port for port in self.ports if isinstance(port.get("port"), str)]
        return [(port["port"], port.get("protocol") or "TCP") for port in found]


def rules_of(policy: Object) -> list[Rule]:
    """The rules of the directions that the policy restricts."""
    return [
        Rule(f"{chain_of(policy, direction)}-{number}", direction, rule)
        for direction in sorted(policy_types(policy))
        for number, rule in enumerate((policy.get("spec") or {}).get(direction) or [])
    ]


def policy_contribution(policy: Object, chooses_dns: Callable[[Rule], bool]) -> Contribution:
    """A policy's chains and its sets, empty. `chooses_dns`: whether a rule's peers mean cluster DNS."""
    found = Contribution(chains={chain_of(policy, direction): () for direction in policy_types(policy)})
    for rule in rules_of(policy):
        chain = chain_of(policy, rule.direction)
        found.chains[chain] += tuple(_rendered(rule, dns=rule.direction == "egress" and chooses_dns(rule)))
        if rule.selecting:
            found.sets[rule.name] = "type ipv4_addr;"
        if rule.named_ports:
            found.sets[f"{rule.name}-ports"] = NAMED_PORT
    return found


def elements_of(rule: Rule, pod: Peer, *, is_target: bool, is_peer: bool) -> dict[tuple[str, str], str]:
    """What a pod puts into the sets of a rule: its address as a peer, its ports where traffic is to go to it."""
    found: dict[tuple[str, str], str] = {}
    if is_peer and rule.selecting:
        found[rule.name, pod.ip] = ""
    receives = is_target if rule.direction == "ingress" else is_peer or not rule.peers
    if receives:
        for name, protocol in rule.named_ports:
            if (name, protocol) in pod.ports:
                found[f"{rule.name}-ports", f"{pod.ip} . {protocol.lower()} . {pod.ports[name, protocol]}"] = ""
    return found


def pod_contribution(uid: str, ip: str, policies: Mapping[Direction, Sequence[str]]) -> Contribution:
    """A pod that policies select: the chains of those policies, for each direction in which there is any."""
    found = Contribution(elements={("own", f"{ip} . {ip}"): ""})
    for direction, chains in policies.items():
        if chains:
            name = f"pod-{'in' if direction == 'ingress' else 'out'}-{_name(uid)}"
            found.chains[name] = (*(f"jump {chain}" for chain in sorted(chains)), "drop")
            found.elements[f"{direction}-pods", ip] = f"goto {name}"
    return found


def nodes_contribution(addresses: Iterable[str]) -> Contribution:
    """Where cluster DNS is to be found."""
    return Contribution(elements={("nodes", address): "" for address in addresses if ":" not in address})


def _rendered(rule: Rule, *, dns: bool) -> list[str]:
    """A rule for each peer and protocol."""
    field = PEERS[rule.direction][1]
    matches = [match for peer in rule.peers if "ipBlock" in peer if (match := _block(field, peer["ipBlock"]))]
    if rule.selecting:
        matches.append(f"ip {field} @{rule.name}")
    if not rule.peers:
        matches = [""]
    found = [
        " ".join(part for part in (match, port, "accept") if part)
        for match in matches for port in _port_matches(rule)
    ]
    if dns:
        found += [
            f"ip daddr @nodes {protocol.lower()} dport {DNS_PORT} accept" for protocol in ("UDP", "TCP")
            if not rule.ports or any(_covers(port, protocol) for port in rule.ports)
        ]
    return found


def _port_matches(rule: Rule) -> list[str]:
    """What of a packet's ports has to hold, one match a protocol; a named port is where it is on each pod."""
    if not rule.ports:
        return [""]
    matches: list[str] = []
    for protocol in ("TCP", "UDP", "SCTP"):
        asked = [port for port in rule.ports if (port.get("protocol") or "TCP") == protocol]
        if any(port.get("port") is None for port in asked):
            matches.append(f"meta l4proto {protocol.lower()}")
            continue
        ranges = _merged(
            (port["port"], port.get("endPort") or port["port"]) for port in asked if isinstance(port["port"], int)
        )
        if ranges:
            matches.append(f"{protocol.lower()} dport {{ {', '.join(ranges)} }}")
    if rule.named_ports:
        matches.append(f"ip daddr . meta l4proto . th dport @{rule.name}-ports")
    return matches


def _covers(port: Object, protocol: str) -> bool:
    """Whether a port of a rule means cluster DNS's, also by the names that kube-dns gives its ports."""
    if (port.get("protocol") or "TCP") != protocol:
        return False
    number = port.get("port")
    if isinstance(number, str):
        return number == ("dns" if protocol == "UDP" else "dns-tcp")
    return number is None or number <= DNS_PORT <= (port.get("endPort") or number)


def _block(field: str, block: Object) -> str:
    """An address block without its exceptions; empty for one of another family."""
    network = ipaddress.ip_network(block["cidr"], strict=False)
    if network.version != 4:
        return ""
    excepted = [ipaddress.ip_network(one, strict=False) for one in block.get("except") or []]
    collapsed = ipaddress.collapse_addresses([one for one in excepted if isinstance(one, ipaddress.IPv4Network)])
    outside = ", ".join(map(str, collapsed))
    match = f"ip {field} {network}" if network.prefixlen else ""
    if outside:
        return f"{match} ip {field} != {{ {outside} }}".strip()
    return match or f"ip {field} 0.0.0.0/0"


def _merged(ranges: Iterable[tuple[int, int]]) -> list[str]:
    """Ranges that do not touch, as nftables writes them."""
    found: list[list[int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1][1] = max(found[-1][1], last)
        else:
            found.append([first, last])
    return [str(first) if first == last else f"{first}-{last}" for first, last in found]


def _name(key: str) -> str:
    """No character of what users chose can end a name in nftables."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]
