"""The pod ranges that nodes get their subnets from, and how large a subnet is: the flags of the node IPAM controller.

`--cluster-cidr` has one range, or one of each family. A subnet's prefix has `--node-cidr-mask-size-ipv4` (24) or
`-ipv6` (64) bits; in a single-stack cluster `--node-cidr-mask-size` may be given instead. A range has at most 2¹⁶
subnets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import chain

from sampan.controllers.config import ControllerManagerConfig

MOST_BITS = 16


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

    def contains(self, subnet: IPv4Network | IPv6Network) -> bool:
        """Whether a subnet is taken from it."""
        return subnet.version == self.network.version and subnet.overlaps(self.network)


def ranges_of(config: ControllerManagerConfig) -> tuple[NodeRange, ...]:
    """The configured ranges, in their order. Raises ValueError for those that make no sense."""
    networks = [ip_network(text.strip()) for text in config.cluster_cidr.split(",") if text.strip()]
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
    if size - network.prefixlen > MOST_BITS:
        raise ValueError(f"--cluster-cidr {network} has more than 2^{MOST_BITS} subnets of {size} bits")
    return NodeRange(network, size)
