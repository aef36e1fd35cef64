"""From one NetworkPolicy to chains, sets and rules of nftables. Pure.

A policy becomes a chain for each direction, with a rule for each peer and the ports that go with it; each accepts, and
whoever is not accepted by a policy of its own returns to the pod's chain, which drops:

    forward (and input)  →  @egress-pods: source   → pod-out-X  → jump out-P, jump out-Q, drop
    forward              →  @ingress-pods: target  → pod-in-X   → jump in-P, drop

Peers that are chosen by selectors are the elements of a set, so a pod that comes or goes is an element, not a rule.
Addresses are what packets carry between the translation to a Service's endpoint and any masquerading.
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


@dataclass(frozen=True, slots=True)
class Peers:
    """Who a rule's selectors choose. `dns`: cluster DNS, which answers at the nodes' own addresses, is among them."""

    pods: Sequence[Peer]
    dns: bool = False


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


def policy_contribution(
    policy: Object, targets: Sequence[Peer], peers: Callable[[Iterable[Object]], Peers]
) -> Contribution:
    """A policy that concerns these pods of this node. `peers` finds whom the selectors of a rule's peers choose."""
    found = Contribution()
    for direction in sorted(policy_types(policy)):
        name = chain_of(policy, direction)
        rules: list[str] = []
        for number, rule in enumerate((policy.get("spec") or {}).get(direction) or []):
            rules += _Rule(found, f"{name}-{number}", direction, rule).render(targets, peers)
        found.chains[name] = tuple(rules)
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


class _Rule:
    """One rule of a policy; adds its sets to `found`."""

    def __init__(self, found: Contribution, name: str, direction: Direction, rule: Object) -> None:
        self._found = found
        self._name = name
        self._direction = direction
        self._peers = rule.get(PEERS[direction][0]) or []
        self._field = PEERS[direction][1]
        self._ports = rule.get("ports") or []

    def render(self, targets: Sequence[Peer], peers: Callable[[Iterable[Object]], Peers]) -> list[str]:
        selected = [peer for peer in self._peers if "ipBlock" not in peer]
        chosen = peers(selected) if selected else Peers(())
        matches = [_block(self._field, peer["ipBlock"]) for peer in self._peers if "ipBlock" in peer]
        matches = [match for match in matches if match]
        if selected:
            self._found.sets[self._name] = "type ipv4_addr;"
            self._found.elements.update({(self._name, peer.ip): "" for peer in chosen.pods})
            matches.append(f"ip {self._field} @{self._name}")
        if not self._peers:
            matches = [""]
        named = targets if self._direction == "ingress" else chosen.pods if self._peers else peers([{}]).pods
        ports = self._port_matches(named)
        rules = [" ".join(part for part in (match, port, "accept") if part) for match in matches for port in ports]
        return [*rules, *self._dns_rules(chosen)]

    def _port_matches(self, named: Sequence[Peer]) -> list[str]:
        """What of a packet's ports has to hold, one match a protocol; a named port is where it is on each pod."""
        if not self._ports:
            return [""]
        matches: list[str] = []
        for protocol in ("TCP", "UDP", "SCTP"):
            asked = [port for port in self._ports if (port.get("protocol") or "TCP") == protocol]
            if any(port.get("port") is None for port in asked):
                matches.append(f"meta l4proto {protocol.lower()}")
                continue
            ranges = _merged((port["port"], port.get("endPort") or port["port"]) for port in asked
                             if isinstance(port["port"], int))
            if ranges:
                matches.append(f"{protocol.lower()} dport {{ {', '.join(ranges)} }}")
        names = {(port["port"], port.get("protocol") or "TCP") for port in self._ports
                 if isinstance(port.get("port"), str)}
        if names:
            self._found.sets[f"{self._name}-ports"] = NAMED_PORT
            self._found.elements.update({
                (f"{self._name}-ports", f"{peer.ip} . {protocol.lower()} . {peer.ports[name, protocol]}"): ""
                for peer in named for name, protocol in names if (name, protocol) in peer.ports
            })
            matches.append(f"ip daddr . meta l4proto . th dport @{self._name}-ports")
        return matches

    def _dns_rules(self, chosen: Peers) -> list[str]:
        if self._direction == "ingress" or not chosen.dns:
            return []
        return [
            f"ip daddr @nodes {protocol.lower()} dport {DNS_PORT} accept" for protocol in ("UDP", "TCP")
            if not self._ports or any(_covers(port, protocol) for port in self._ports)
        ]


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
