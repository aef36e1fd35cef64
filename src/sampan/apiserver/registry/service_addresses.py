"""Addresses and node ports of Services: who has which, and new ones at random.

What is taken is read off the Services themselves (the allocator listens to their watch cache) and off the IPAddress
objects of others. Between the choice and the moment the cache shows the written Service, the choice is held as a
reservation; `AddressLedger` shows each address as an IPAddress from just before the write on. The lower end of the
ranges is left to those who ask for a number, as upstream does (KEP-3070, KEP-3668), so that random choices rarely
collide with them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sampan import effects
from sampan.api.core.service_defaults import needs_cluster_ip, needs_health_check_port, needs_node_port
from sampan.api.resources import SERVICES
from sampan.apimachinery import errors
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.object import Object, name_of, namespace_of
from sampan.apiserver.registry.address_ledger import AddressLedger
from sampan.apiserver.registry.entry import Entry
from sampan.apiserver.registry.port_claims import PortClaims
from sampan.apiserver.registry.service_ranges import ServiceRanges
from sampan.apiserver.registry.watcher import Change

Taken: TypeAlias = tuple[str, int | str]
"""("ip", address) or (protocol, node port)."""

HEADLESS: Final = "None"
_IP: Final = "ip"
_TRIES: Final = 64
_SPEC: Final = Path("spec")


@dataclass(slots=True)
class Reservation:
    """What one write holds until it is visible, or failed."""

    taken: set[Taken] = field(default_factory=set)
    service: tuple[str, str] = ("", "")
    """Namespace and name, once it claims its addresses."""

    def addresses(self) -> list[str]:
        return [str(value) for kind, value in self.taken if kind == _IP]

    def ports(self) -> set[Taken]:
        return {one for one in self.taken if one[0] != _IP}


class ServiceAddresses:
    """A `Hook` on Services, and a listener of their cache. `claims` where the store has other servers."""

    def __init__(
        self, ranges: ServiceRanges, node_ports: tuple[int, int], ledger: AddressLedger,
        claims: PortClaims | None = None,
    ) -> None:
        self._claims = claims
        self._ranges = ranges
        self._ledger = ledger
        self._ports = node_ports
        self._used: dict[Taken, str] = {}
        self._reserved: set[Taken] = set()

    def reset(self, entries: Iterable[Entry]) -> None:
        """Begin with the Services that are there."""
        self._used = {taken: entry.key for entry in entries for taken in _taken_by(entry)}

    def changed(self, change: Change) -> None:
        """Follow one change of a Service."""
        held = set(_taken_by(change.new)) if change.new is not None else set()
        if change.old is not None:
            for kind, value in _taken_by(change.old):
                if kind == _IP and (kind, value) not in held:
                    self._ledger.released(str(value), change.old.namespace, change.old.name)
            for taken in _taken_by(change.old):
                if self._used.get(taken) == change.old.key:
                    del self._used[taken]
        if change.new is not None:
            for taken in _taken_by(change.new):
                self._used[taken] = change.new.key
                self._reserved.discard(taken)

    async def prepare(self, new: Object, old: Object | None, *, dry_run: bool) -> object:
        """Fill in families, addresses and ports. Raises Invalid for those that cannot be had."""
        reservation = Reservation()
        before: Object = (old or {}).get("spec") or {}
        found = self._choose(new["spec"], before, reservation)
        if found:  # perhaps only because a Service that is gone is not seen to be gone yet
            self.finish(reservation, written=False)
            await self._ledger.fresh_services()
            reservation = Reservation()
            found = self._choose(new["spec"], before, reservation)
        if found:
            self.finish(reservation, written=False)
            raise errors.invalid(SERVICES, name_of(new), found)
        return reservation

    def _choose(self, spec: Object, before: Object, reservation: Reservation) -> list[FieldError]:
        found = self._families(spec)
        if not found:
            found = self._address(spec, before, reservation)
        return found + self._node_ports(spec, before, reservation)

    async def secure(self, reserved: object, obj: Object) -> None:
        """Claim the addresses, and the ports. Raises Invalid if another took one meanwhile."""
        if not isinstance(reserved, Reservation):
            return
        if self._claims is not None and (ports := reserved.ports()):
            lost = await self._claims.claim(ports) | (ports & self._used.keys())
            if lost:
                raise errors.invalid(SERVICES, name_of(obj), [_refused_port(obj, *min(lost, key=str))])
        reserved.service = namespace_of(obj), name_of(obj)
        for address in reserved.addresses():
            if not await self._ledger.claim(address, *reserved.service):
                raise errors.invalid(SERVICES, name_of(obj), [_refused(address, _ALLOCATED)])

    def finish(self, reserved: object, *, written: bool) -> None:
        if isinstance(reserved, Reservation) and self._claims is not None:
            self._claims.release(reserved.ports())
        if isinstance(reserved, Reservation) and not written:
            self._reserved -= reserved.taken
            if reserved.service[1]:
                for address in reserved.addresses():
                    self._ledger.released(address, *reserved.service)

    @property
    def _family(self) -> str:
        return "IPv6" if self._ranges.version == 6 else "IPv4"

    def _families(self, spec: Object) -> list[FieldError]:
        if not needs_cluster_ip(spec):
            return []
        families, policy = list(spec.get("ipFamilies") or []), spec.get("ipFamilyPolicy")
        if _is_headless(spec) and not spec.get("selector"):
            families = families or [self._family]
            if len(families) < 2 and policy != "SingleStack":
                families.append("IPv4" if families[0] == "IPv6" else "IPv6")
            spec["ipFamilies"] = families
            spec["ipFamilyPolicy"] = policy or ("RequireDualStack" if len(families) > 1 else "SingleStack")
            return []
        if policy == "RequireDualStack":
            message = "this cluster is not configured for dual-stack services"
            return [invalid(_SPEC.child("ipFamilyPolicy"), policy, message)]
        for position, family in enumerate(families):
            if family != self._family:
                path = _SPEC.child("ipFamilies").index(position)
                return [invalid(path, family, "not configured on this cluster")]
        spec["ipFamilies"] = [self._family]
        spec["ipFamilyPolicy"] = policy or "SingleStack"
        return []

    def _address(self, spec: Object, before: Object, reservation: Reservation) -> list[FieldError]:
        if not needs_cluster_ip(spec):
            return []
        given = spec.get("clusterIP") or (spec.get("clusterIPs") or [""])[0]
        if given == HEADLESS:
            spec["clusterIP"], spec["clusterIPs"] = HEADLESS, [HEADLESS]
            return []
        if given and given == before.get("clusterIP"):
            spec["clusterIP"] = given
            spec.setdefault("clusterIPs", [given])
            return []
        if given:
            why = self._why_not(given)
            if why:
                return [_refused(given, why)]
        else:
            given = self._free_address()
            if not given:
                return [_RANGE_FULL]
        self._hold((_IP, given), reservation)
        spec["clusterIP"], spec["clusterIPs"] = given, [given]
        return []

    def _why_not(self, text: str) -> str:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return ""
        networks = self._ranges.networks()
        if len(networks) == 1 and not self._ranges.holding(address):
            return f"the provided IP ({text}) is not in the valid range. The range of valid IPs is {networks[0]}"
        if not self._ranges.holding(address):
            return "the provided network does not match the current range"
        return _ALLOCATED if self._is_taken((_IP, text)) else ""

    def _free_address(self) -> str:
        for network in self._ranges.networks():
            first, last = int(network.network_address) + 1, int(network.broadcast_address) - 1
            offset = min(max(16, (last - first + 1) // 16), 256)
            middle = min(first + offset, last)
            for number in _candidates(first, middle, last):
                text = str(ipaddress.ip_address(number))
                if not self._is_taken((_IP, text)):
                    return text
        return ""

    def _node_ports(self, spec: Object, before: Object, reservation: Reservation) -> list[FieldError]:
        found: list[FieldError] = []
        own = set(_ports_of(before))
        ports = spec.get("ports") or []
        if needs_node_port(spec):
            for position, port in enumerate(ports):
                path = _SPEC.child("ports").index(position).child("nodePort")
                found += self._node_port(port, _sibling(ports, port), path, (own, reservation))
        if needs_health_check_port(spec):
            number = spec.get("healthCheckNodePort")
            port = {"protocol": "TCP", "nodePort": number}
            path = _SPEC.child("healthCheckNodePort")
            found += self._node_port(port, 0, path, (own, reservation))
            spec["healthCheckNodePort"] = port["nodePort"]
        return found

    def _node_port(
        self, port: Object, sibling: int, path: Path, held: tuple[set[Taken], Reservation]
    ) -> list[FieldError]:
        """Check or choose one port. `sibling` is the number of the same port under another protocol."""
        own, reservation = held
        protocol, number = port.get("protocol", "TCP"), port.get("nodePort") or 0
        if number:
            if (protocol, number) in own or (protocol, number) in reservation.taken:
                return []
            low, high = self._ports
            if not low <= number <= high:
                message = f"provided port is not in the valid range. The range of valid ports is {low}-{high}"
                return [invalid(path, number, message)]
            if self._is_taken((protocol, number)):
                return [invalid(path, number, "provided port is already allocated")]
        elif sibling and not self._is_taken((protocol, sibling)):
            number = sibling
        else:
            number = self._free_port(protocol)
            if not number:
                return [invalid(path, 0, "failed to allocate a nodePort: range is full")]
        port["nodePort"] = number
        self._hold((protocol, number), reservation)
        return []

    def _free_port(self, protocol: str) -> int:
        low, high = self._ports
        middle = low + min(max(16, (high - low + 1) // 32), 128)
        free = (number for number in _candidates(low, middle, high) if not self._is_taken((protocol, number)))
        return next(free, 0)

    def _is_taken(self, taken: Taken) -> bool:
        if taken in self._used or taken in self._reserved:
            return True
        return taken[0] == _IP and self._ledger.is_claimed(str(taken[1]))

    def _hold(self, taken: Taken, reservation: Reservation) -> None:
        self._reserved.add(taken)
        reservation.taken.add(taken)


_ALLOCATED: Final = "provided IP is already allocated"


def _refused(address: str, why: str) -> FieldError:
    return invalid(_SPEC.child("clusterIPs"), [address], f"failed to allocate IP {address}: {why}")


_RANGE_FULL: Final = invalid(_SPEC.child("clusterIPs"), [], "failed to allocate a serviceIP: range is full")


def _refused_port(service: Object, protocol: str, number: int | str) -> FieldError:
    """The error of a port that another has taken, at its place in the Service."""
    for position, port in enumerate(service["spec"].get("ports") or ()):
        if (port.get("protocol", "TCP"), port.get("nodePort")) == (protocol, number):
            path = _SPEC.child("ports").index(position).child("nodePort")
            return invalid(path, number, "provided port is already allocated")
    return invalid(_SPEC.child("healthCheckNodePort"), number, "provided port is already allocated")


def _candidates(first: int, middle: int, last: int) -> Iterable[int]:
    """At random from the upper part, then all of it in order, then the lower part."""
    rng = effects.rng()
    for _ in range(_TRIES):
        yield rng.randint(middle, last)
    yield from range(middle, last + 1)
    yield from range(first, middle)


def _is_headless(spec: Object) -> bool:
    return spec.get("clusterIP") == HEADLESS or (spec.get("clusterIPs") or [""])[0] == HEADLESS


def _sibling(ports: list[Object], port: Object) -> int:
    for other in ports:
        if other is not port and other.get("port") == port.get("port") and other.get("nodePort"):
            return int(other["nodePort"])
    return 0


def _ports_of(spec: Object) -> Iterable[Taken]:
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield (port.get("protocol", "TCP"), port["nodePort"])
    if spec.get("healthCheckNodePort"):
        yield ("TCP", spec["healthCheckNodePort"])


def _taken_by(entry: Entry) -> list[Taken]:
    spec: Object = entry.object().get("spec") or {}
    addresses: list[Taken] = [
        (_IP, address) for address in spec.get("clusterIPs") or () if address and address != HEADLESS
    ]
    return [*addresses, *_ports_of(spec)]
