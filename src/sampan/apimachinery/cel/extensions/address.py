"""Addresses and networks: `ip("10.0.0.1")`, `cidr("10.0.0.0/8").containsIP("10.1.2.3")`."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, TypeAlias

from sampan.apimachinery.cel.function import Function, method
from sampan.apimachinery.cel.opaque import CIDR, IP, pack, text_of

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface


def _address(text: str) -> Address:
    """Raises ValueError: no zones, no IPv4 in IPv6."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f'IP Address "{text}" parse error during conversion from string: unable to parse IP') from None
    if "%" in text:
        raise ValueError(f'IP address "{text}" with zone value is not allowed')
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        raise ValueError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return found


def _interface(text: str) -> Interface:
    if "/" not in text or not text.rpartition("/")[2].isdigit():
        raise ValueError(f'network address parse error during conversion from string: no "/" in "{text}"')
    try:
        found = ipaddress.ip_interface(text)
    except ValueError as error:
        raise ValueError(f"network address parse error during conversion from string: {error}") from None
    if isinstance(found, ipaddress.IPv6Interface) and found.ip.ipv4_mapped:
        raise ValueError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return found


def _is(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def run(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return run


def _contains_ip(network: Any, address: Any) -> bool:
    inner = _address(address if isinstance(address, str) else text_of(address))
    return inner in _interface(text_of(network)).network


def _contains_cidr(network: Any, other: Any) -> bool:
    outer = _interface(text_of(network)).network
    inner = _interface(other if isinstance(other, str) else text_of(other))
    return inner.version == outer.version and inner.network.prefixlen >= outer.prefixlen and inner.ip in outer


def _of(look: Callable[[Address], Any]) -> Callable[[Any], Any]:
    return lambda value: look(_address(text_of(value)))


def _is_global_unicast(address: Address) -> bool:
    return not (
        address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
        or str(address) == "255.255.255.255"
    )


FUNCTIONS = (
    Function("ip", ("string",), IP, lambda text: pack(IP, str(_address(text)))),
    Function("isIP", ("string",), "bool", _is(_address)),
    Function("ip.isCanonical", ("string",), "bool", lambda text: str(_address(text)) == text),
    Function("string", (IP,), "string", text_of),
    method("family", (IP,), "int", _of(lambda address: address.version)),
    method("isUnspecified", (IP,), "bool", _of(lambda address: address.is_unspecified)),
    method("isLoopback", (IP,), "bool", _of(lambda address: address.is_loopback)),
    method("isLinkLocalMulticast", (IP,), "bool", _of(
        lambda address: address in ipaddress.ip_network("224.0.0.0/24" if address.version == 4 else "ff02::/16"))),
    method("isLinkLocalUnicast", (IP,), "bool", _of(lambda address: address.is_link_local)),
    method("isGlobalUnicast", (IP,), "bool", _of(_is_global_unicast)),
    Function("cidr", ("string",), CIDR, lambda text: pack(CIDR, str(_interface(text)))),
    Function("isCIDR", ("string",), "bool", _is(_interface)),
    method("containsIP", (CIDR, IP), "bool", _contains_ip),
    method("containsIP", (CIDR, "string"), "bool", _contains_ip),
    method("containsCIDR", (CIDR, CIDR), "bool", _contains_cidr),
    method("containsCIDR", (CIDR, "string"), "bool", _contains_cidr),
    method("ip", (CIDR,), IP, lambda value: pack(IP, str(_interface(text_of(value)).ip))),
    method("masked", (CIDR,), CIDR, lambda value: pack(CIDR, str(_interface(text_of(value)).network))),
    method("prefixLength", (CIDR,), "int", lambda value: _interface(text_of(value)).network.prefixlen),
)
