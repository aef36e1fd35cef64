"""The ranges from which Services may get addresses: the server's own, and those of ready ServiceCIDRs (KEP-1880).

A ServiceCIDR counts while its Ready condition is True, or absent (no controller runs), and nobody deletes it. The
server's own range counts unless its object says otherwise, so that a Service gets an address before there are any.
"""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

from sampan.api.resources import SERVICE_CIDRS
from sampan.apimachinery.object import Object, dig, is_being_deleted
from sampan.apiserver.seams import Reader

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_READY: Final = "Ready"


def is_ready(cidr: Object) -> bool:
    if is_being_deleted(cidr):
        return False
    conditions = dig(cidr, "status", "conditions", default=())
    return next((one.get("status") == "True" for one in conditions if one.get("type") == _READY), True)


def usable(own: str, cidrs: list[Object]) -> list[Network]:
    """The ranges in order, the server's own first."""
    found = {text: is_ready(cidr) for cidr in sorted(cidrs, key=is_ready) for text in dig(cidr, "spec", "cidrs")}
    found = {own: found.get(own, True), **found}
    return [ipaddress.ip_network(text) for text, ready in found.items() if ready]


class ServiceRanges:
    """Keeps what it worked out while no ServiceCIDR changes."""

    def __init__(self, own: str, reader: Reader) -> None:
        self.version = ipaddress.ip_network(own).version
        self._own = own
        self._reader = reader
        self._seen = -1
        self._networks: list[Network] = []

    def networks(self) -> list[Network]:
        """Those of the server's own address family."""
        version = self._reader.version(SERVICE_CIDRS)
        if version != self._seen:
            found = usable(self._own, list(self._reader.list(SERVICE_CIDRS)))
            self._networks = [one for one in found if one.version == self.version]
            self._seen = version
        return self._networks

    def holding(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        """Whether an address may be given: it lies in a range, and is neither its first nor its last."""
        return any(
            address in one and address not in (one.network_address, one.broadcast_address) for one in self.networks()
        )
