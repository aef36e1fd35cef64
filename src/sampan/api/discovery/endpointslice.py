"""EndpointSlice: some of the endpoints that implement a Service."""

from __future__ import annotations

import ipaddress
from datetime import datetime

from sampan.api.columns import AGE, NAME, UNSET, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import ENDPOINT_SLICES
from sampan.api.strategy import count_generation, setdefault, start_generation
from sampan.api.warnings import addresses
from sampan.apimachinery.field import (
    FieldError,
    Path,
    duplicate,
    invalid,
    not_supported,
    required,
    too_many,
)
from sampan.apimachinery.names import dns1123_label, dns1123_subdomain, endpoint_address
from sampan.apimachinery.object import Object

_TYPES = ("FQDN", "IPv4", "IPv6")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_MOST_ENDPOINTS, _MOST_PORTS, _MOST_ADDRESSES = 1000, 20000, 100


def default(obj: Object) -> None:
    for port in obj.get("ports") or []:
        if port.get("name") is None:
            port["name"] = ""
        setdefault(port, "protocol", "TCP")


def validate(obj: Object) -> list[FieldError]:
    kind = obj.get("addressType") or ""
    errors: list[FieldError] = []
    if not kind:
        errors.append(required(Path("addressType")))
    elif kind not in _TYPES:
        errors.append(not_supported(Path("addressType"), kind, _TYPES))
    endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
    if len(endpoints) > _MOST_ENDPOINTS:
        return [*errors, too_many(Path("endpoints"), len(endpoints), _MOST_ENDPOINTS)]
    for position, endpoint in enumerate(endpoints):
        errors += _endpoint(endpoint, kind, Path("endpoints").index(position))
    if len(ports) > _MOST_PORTS:
        return [*errors, too_many(Path("ports"), len(ports), _MOST_PORTS)]
    return errors + _ports(ports)


def _endpoint(endpoint: Object, kind: str, path: Path) -> list[FieldError]:
    addresses = endpoint.get("addresses") or []
    errors: list[FieldError] = []
    if not addresses:
        errors.append(required(path.child("addresses"), "must contain at least 1 address"))
    elif len(addresses) > _MOST_ADDRESSES:
        errors.append(too_many(path.child("addresses"), len(addresses), _MOST_ADDRESSES))
    for position, address in enumerate(addresses):
        errors += _address(address, kind, path.child("addresses").index(position))
    hostname = endpoint.get("hostname")
    if hostname is not None:
        errors += [invalid(path.child("hostname"), hostname, why) for why in dns1123_label(hostname)]
    node = endpoint.get("nodeName")
    if node is not None:
        errors += [invalid(path.child("nodeName"), node, why) for why in dns1123_subdomain(node)]
    return errors


def _address(address: str, kind: str, path: Path) -> list[FieldError]:
    if kind == "FQDN":
        return [invalid(path, address, why) for why in dns1123_subdomain(address)]
    if kind not in ("IPv4", "IPv6"):
        return []
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return [invalid(path, address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    if f"IPv{parsed.version}" != kind:
        return [invalid(path, address, f"must be an {kind} address")]
    return [invalid(path, address, why) for why in endpoint_address(address)]


def _ports(ports: list[Object]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, port in enumerate(ports):
        path, name = Path("ports").index(position), port.get("name") or ""
        if name:
            errors += [invalid(path.child("name"), name, why) for why in dns1123_label(name)]
        if name in seen:
            errors.append(duplicate(path.child("name"), name))
        seen.add(name)
        protocol = port.get("protocol")
        if protocol is None:
            errors.append(required(path.child("protocol")))
        elif protocol not in _PROTOCOLS:
            errors.append(not_supported(path.child("protocol"), protocol, _PROTOCOLS))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    if new.get("addressType") == old.get("addressType"):
        return []
    return [invalid(Path("addressType"), new.get("addressType"), "field is immutable")]


def ports_text(obj: Object, now: datetime) -> str:
    return _few([_port_text(port) for port in obj.get("ports") or []])


def _port_text(port: Object) -> str:
    if port.get("port") is not None:
        return str(port["port"])
    return "*" if port.get("name") is None else str(port["name"])


def endpoints_text(obj: Object, now: datetime) -> str:
    return _few([address for endpoint in obj.get("endpoints") or [] for address in endpoint.get("addresses") or ()])


def _few(items: list[str]) -> str:
    """The first three and how many more."""
    if not items:
        return UNSET
    shown = ",".join(items[:3])
    return f"{shown} + {len(items) - 3} more..." if len(items) > 3 else shown


ENDPOINT_SLICE = Kind(
    resource=ENDPOINT_SLICES,
    definition="io.k8s.api.discovery.v1.EndpointSlice",
    singular="endpointslice",
    default=default,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate,
    validate_update=validate_update,
    warnings=addresses.endpoint_slice,
    columns=(
        NAME,
        Column("AddressType", "string", at("addressType"), doc="discovery.v1.EndpointSlice#addressType"),
        Column("Ports", "string", ports_text, doc="discovery.v1.EndpointSlice#ports"),
        Column("Endpoints", "string", endpoints_text, doc="discovery.v1.EndpointSlice#endpoints"),
        AGE,
    ),
)
