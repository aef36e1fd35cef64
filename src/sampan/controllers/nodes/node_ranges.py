"""The pod ranges that nodes get their subnets from, and how large a subnet is: the flags of the node IPAM controller.

`--cluster-cidr` has one range, or one of each family. A subnet's prefix has `--node-cidr-mask-size-ipv4` (24) or
`-ipv6` (64) bits; in a single-stack cluster `--node-cidr-mask-size` may be given instead. A range of IPv6 has at most
2¹⁶ subnets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import chain

from sampan.controllers.config import ControllerManagerConfig

MOST_BITS = 16


def network_of(text: str) -> IPv4Network | IPv6Network:
    """The network that an address with a length lies in: both may be written as upstream has always read them, with
    bits of a host and zeros in front. Raises ValueError."""
    address, _, length = text.strip().partition("/")
    octets = address.split(".")
    if len(octets) == 4 and all(octet.isascii() and octet.isdigit() for octet in octets):
        address = ".".join(str(int(octet)) for octet in octets)
    if not length.isdigit():
        raise ValueError(f"{text.strip()!r} is no range of addresses: expected an address, a slash and a length")
    return ip_network(f"{address}/{length}", strict=False)


@dataclass(frozen=True, slots=True)
class NodeRange:
    """A range, and the prefix length of a node's subnet."""

    network: IPv4Network | IPv6Network
    mask_size: int

    @property
    def size(self) -> int:
        """How many subnets it has."""
        return 1 << (self.mask_size - self.network.prefixlen)

    def subnets_from(self, start: int) -> Iterator[IPv4Network | IPv6Network]:
        """All subnets, beginning with number `start` and, after the last, again with 0."""
        width = self.network.max_prefixlen - self.mask_size
        first = int(self.network.network_address)
        for number in chain(range(start, self.size), range(start)):
            yield type(self.network)((first + (number << width), self.mask_size))

    def number_of(self, subnet: IPv4Network | IPv6Network) -> int:
        """Which of the subnets it is."""
        width = self.network.max_prefixlen - self.mask_size
        return (int(subnet.network_address) - int(self.network.network_address)) >> width

    def numbers_in(self, other: IPv4Network | IPv6Network) -> range:
        """The numbers of its subnets that overlap another network; none where the range itself does not."""
        if other.version != self.network.version or not other.overlaps(self.network):
            return range(0)
        if other.prefixlen <= self.network.prefixlen:
            return range(self.size)
        first = self.number_of(other)
        return range(first, first + (1 << max(self.mask_size - other.prefixlen, 0)))


def ranges_of(config: ControllerManagerConfig) -> tuple[NodeRange, ...]:
    """The configured ranges, in their order. Raises ValueError for those that make no sense."""
    networks = [network_of(text) for text in config.cluster_cidr.split(",") if text.strip()]
    if not networks:
        raise ValueError("--cluster-cidr must be set when node CIDRs are to be allocated")
    if len(networks) > 2:
        raise ValueError(f"expected --cluster-cidr to be at most two ranges, found {len(networks)}")
    if len({one.version for one in networks}) < len(networks):
        raise ValueError("expected --cluster-cidr to be an IPv4 and an IPv6 range when there are two")
    if len(networks) > 1 and config.node_cidr_mask_size:
        raise ValueError(
            "--node-cidr-mask-size is for single-stack clusters; use --node-cidr-mask-size-ipv4 and -ipv6"
        )
    return tuple(_range(one, config) for one in networks)


def _range(network: IPv4Network | IPv6Network, config: ControllerManagerConfig) -> NodeRange:
    of_family = config.node_cidr_mask_size_ipv4 if network.version == 4 else config.node_cidr_mask_size_ipv6
    size = config.node_cidr_mask_size or of_family
    if not network.prefixlen <= size <= network.max_prefixlen:
        raise ValueError(f"a node's mask of {size} bits does not fit into --cluster-cidr {network}")
    if network.version == 6 and size - network.prefixlen > MOST_BITS:
        raise ValueError(f"--cluster-cidr {network} has more than 2^{MOST_BITS} subnets of {size} bits")
    return NodeRange(network, size)
