"""From one Service and its EndpointSlices to DNS records: the rules of the specification, without any state.

    Service with a cluster IP   A/AAAA at NAME.NS.svc, SRV at _PORT._PROTO.NAME.NS.svc, PTR of the cluster IP
    headless Service            the same for every ready endpoint, each also under HOSTNAME.NAME.NS.svc; where an
    endpoint
                                has no hostname its address with dashes takes that place; PTR only with a hostname
    ExternalName                CNAME at NAME.NS.svc

Source: github.com/kubernetes/dns, docs/specification.md 1.1.0; where it is silent (weights, SRV at the Service's own
name, names of endpoints without hostname) CoreDNS' kubernetes plugin.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from sampan.apimachinery.object import Object, dig, name_of, namespace_of

Key: TypeAlias = tuple[str, str]
"""A lower-case absolute name with its final dot, and a record type."""

Records: TypeAlias = dict[Key, dict[str, None]]
"""Values in zone-file notation, in order and without repetition."""

SERVICE_LABEL = "kubernetes.io/service-name"
WEIGHT_SUM = 100


@dataclass(frozen=True, slots=True)
class _Endpoint:
    addresses: tuple[str, ...]
    hostname: str
    ports: tuple[tuple[str, str, int], ...]

    @property
    def label(self) -> str:
        return self.hostname or self.addresses[0].replace(".", "-").replace(":", "-")


def records_of(service: Object, slices: Iterable[Object], domain: str) -> Records:
    """All records that exist because of this Service. `domain` is `cluster.local`, without dots at its ends."""
    found: Records = {}
    name = f"{name_of(service)}.{namespace_of(service)}.svc.{domain}.".lower()
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        target = str(spec.get("externalName", "")).rstrip(".").lower()
        if target:
            _add(found, name, "CNAME", f"{target}.")
    elif spec.get("clusterIP") == "None":
        _add_headless(found, name, list(_endpoints(slices, bool(spec.get("publishNotReadyAddresses")))))
    else:
        _add_cluster_ip(found, name, spec)
    return found


def address_type(address: str) -> str:
    """A or AAAA."""
    return "AAAA" if ":" in address else "A"


def reverse_name(address: str) -> str:
    """The name under in-addr.arpa or ip6.arpa."""
    return f"{ipaddress.ip_address(address).reverse_pointer}."


def _add_cluster_ip(found: Records, name: str, spec: Object) -> None:
    addresses = [a for a in spec.get("clusterIPs") or [spec.get("clusterIP", "")] if a and a != "None"]
    for address in addresses:
        _add(found, name, address_type(address), address)
        _add(found, reverse_name(address), "PTR", name)
    if not addresses:
        return
    ports = [(p.get("name", ""), p.get("protocol", "TCP"), p["port"]) for p in spec.get("ports") or []]
    for port_name, protocol, number in ports:
        if port_name:
            _add(found, _srv_name(port_name, protocol, name), "SRV", f"0 {WEIGHT_SUM} {number} {name}")
        _add(found, name, "SRV", f"0 {max(1, WEIGHT_SUM // len(ports))} {number} {name}")


def _add_headless(found: Records, name: str, endpoints: list[_Endpoint]) -> None:
    targets: dict[str, dict[tuple[int, str], None]] = {}
    for endpoint in endpoints:
        own_name = f"{endpoint.label}.{name}".lower()
        for address in endpoint.addresses:
            _add(found, name, address_type(address), address)
            _add(found, own_name, address_type(address), address)
            if endpoint.hostname:
                _add(found, reverse_name(address), "PTR", own_name)
        for port_name, protocol, number in endpoint.ports:
            if port_name:
                targets.setdefault(_srv_name(port_name, protocol, name), {})[number, own_name] = None
            targets.setdefault(name, {})[number, own_name] = None
            targets.setdefault(own_name, {})[number, own_name] = None
    for owner, values in targets.items():
        weight = max(1, WEIGHT_SUM // len(values))
        for number, target in values:
            _add(found, owner, "SRV", f"0 {weight} {number} {target}")


def _endpoints(slices: Iterable[Object], with_unready: bool) -> Iterator[_Endpoint]:
    for piece in slices:
        if piece.get("addressType") not in ("IPv4", "IPv6"):
            continue
        ports = tuple(
            (p.get("name") or "", p.get("protocol") or "TCP", p["port"])
            for p in piece.get("ports") or [] if p.get("port")
        )
        for endpoint in piece.get("endpoints") or []:
            ready = dig(endpoint, "conditions", "ready", default=True)
            if (ready or with_unready) and endpoint.get("addresses"):
                yield _Endpoint(tuple(endpoint["addresses"]), str(endpoint.get("hostname") or ""), ports)


def _srv_name(port: str, protocol: str, name: str) -> str:
    return f"_{port}._{protocol}.{name}".lower()


def _add(found: Records, name: str, kind: str, value: str) -> None:
    found.setdefault((name, kind), {})[value] = None
