"""Endpoints: the addresses behind a Service, in one object (the older form of EndpointSlice)."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME, NONE
from sampan.api.kind import Column, Kind
from sampan.api.resources import ENDPOINTS
from sampan.api.warnings import addresses
from sampan.apimachinery.field import FieldError, Path, invalid, not_supported, required
from sampan.apimachinery.names import dns1123_label, dns1123_subdomain, endpoint_address, port_number
from sampan.apimachinery.object import Object

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_SHOWN = 3


def default(obj: Object) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, subset in enumerate(obj.get("subsets") or []):
        path = Path("subsets").index(position)
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for key in ("addresses", "notReadyAddresses"):
            for place, address in enumerate(subset.get(key) or []):
                errors += _address(address, path.child(key).index(place))
        ports = subset.get("ports") or []
        for place, port in enumerate(ports):
            errors += _port(port, len(ports) > 1, path.child("ports").index(place))
    return errors


def _address(address: Object, path: Path) -> list[FieldError]:
    text, host, node = address.get("ip") or "", address.get("hostname") or "", address.get("nodeName")
    errors = [invalid(path.child("ip"), text, why) for why in endpoint_address(text)]
    if host:
        errors += [invalid(path.child("hostname"), host, why) for why in dns1123_label(host)]
    if node is not None:
        errors += [invalid(path.child("nodeName"), node, why) for why in dns1123_subdomain(node)]
    return errors


def _port(port: Object, needs_name: bool, path: Path) -> list[FieldError]:
    name, number, protocol = port.get("name") or "", port.get("port") or 0, port.get("protocol") or ""
    errors: list[FieldError] = []
    if needs_name and not name:
        errors.append(required(path.child("name")))
    elif name:
        errors += [invalid(path.child("name"), name, why) for why in dns1123_label(name)]
    errors += [invalid(path.child("port"), number, why) for why in port_number(number)]
    if not protocol:
        errors.append(required(path.child("protocol")))
    elif protocol not in _PROTOCOLS:
        errors.append(not_supported(path.child("protocol"), protocol, _PROTOCOLS))
    return errors


def endpoints_text(obj: Object, now: datetime) -> str:
    """The first three `address:port` and how many more."""
    shown: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses, ports = subset.get("addresses") or (), subset.get("ports") or ()
        if ports:
            shown += [f"{_bracketed(address.get('ip', ''))}:{port.get('port')}" for port in ports
                      for address in addresses]
        else:
            shown += [address.get("ip", "") for address in addresses]
    if not shown:
        return NONE
    more = f" + {len(shown) - _SHOWN} more..." if len(shown) > _SHOWN else ""
    return ",".join(shown[:_SHOWN]) + more


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


ENDPOINTS_KIND = Kind(
    resource=ENDPOINTS,
    definition="io.k8s.api.core.v1.Endpoints",
    singular="endpoints",
    short_names=("ep",),
    default=default,
    validate=validate,
    warnings=addresses.endpoints,
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    columns=(NAME, Column("Endpoints", "string", endpoints_text, doc="core.v1.Endpoints#subsets"), AGE),
)
