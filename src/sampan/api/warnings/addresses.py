"""Addresses and networks in forms that upstream means to refuse one day."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import Object, dig, labels_of

_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_OWN_SLICES = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
_ENDPOINTS_MANAGED_BY = "endpoints.kubernetes.io/managed-by"


def _sloppy(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """As it was parsed before leading zeros were refused; an IPv4 address that is written as IPv6 is IPv4."""
    parts = value.split(".")
    if len(parts) == 4 and all(part.isascii() and part.isdigit() for part in parts):
        value = ".".join(str(int(part)) for part in parts)
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def ip_warnings(where: str, value: str) -> Iterator[str]:
    """`spec.clusterIPs[0]: IPv6 address "0::1" should be …`; nothing of what is no address at all."""
    found = _sloppy(value)
    if found is None or str(found) == value:
        return
    if found.version == 4:
        yield f"{where}: non-standard IP address {quoted(value)} will be considered invalid in a future Kubernetes " \
              f"release: use {quoted(str(found))}"
    else:
        yield f"{where}: IPv6 address {quoted(value)} should be in RFC 5952 canonical format ({quoted(str(found))})"


def cidr_warnings(where: str, value: str) -> Iterator[str]:
    address, _, length = value.partition("/")
    found = _sloppy(address)
    if found is None or not length.isdigit():
        return
    bits = int(length) - (96 if ":" in address and found.version == 4 else 0)
    if not 0 <= bits <= found.max_prefixlen:
        return
    network = ipaddress.ip_network(f"{found}/{bits}", strict=False)
    if network.network_address != found:
        alone = f"{found}/{found.max_prefixlen}"
        yield f"{where}: CIDR value {quoted(value)} is ambiguous in this context (should be {quoted(str(network))} " \
              f"or {quoted(alone)}?)"
    if str(found) == address:
        return
    if found.version == 4:
        yield f"{where}: non-standard CIDR value {quoted(value)} will be considered invalid in a future Kubernetes " \
              f"release: use {quoted(str(network))}"
    else:
        yield f"{where}: IPv6 CIDR value {quoted(value)} should be in RFC 5952 canonical format " \
              f"({quoted(f'{found}/{bits}')})"


def endpoints(new: Object, old: Object | None) -> Iterator[str]:
    """Of Endpoints, unless the controller wrote them."""
    if labels_of(new).get(_ENDPOINTS_MANAGED_BY) == "endpoint-controller":
        return
    for number, subset in enumerate(new.get("subsets") or ()):
        for key in ("addresses", "notReadyAddresses"):
            for position, one in enumerate(subset.get(key) or ()):
                yield from ip_warnings(f"subsets[{number}].{key}[{position}].ip", str(one.get("ip") or ""))


def endpoint_slice(new: Object, old: Object | None) -> Iterator[str]:
    """Of an EndpointSlice; addresses are not looked at if a controller wrote it."""
    if new.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"
    elif labels_of(new).get(_MANAGED_BY) not in _OWN_SLICES:
        for number, endpoint in enumerate(new.get("endpoints") or ()):
            for position, address in enumerate(endpoint.get("addresses") or ()):
                yield from ip_warnings(f"endpoints[{number}].addresses[{position}]", str(address))


def network_policy(new: Object, old: Object | None) -> Iterator[str]:
    for direction, key in (("ingress", "from"), ("egress", "to")):
        for number, rule in enumerate(dig(new, "spec", direction, default=())):
            for position, peer in enumerate(rule.get(key) or ()):
                block = peer.get("ipBlock") or {}
                where = f"spec.{direction}[{number}].{key}[{position}].ipBlock"
                yield from cidr_warnings(f"{where}.cidr", str(block.get("cidr") or ""))
                for index, one in enumerate(block.get("except") or ()):
                    yield from cidr_warnings(f"{where}.except[{index}]", str(one))


def service(new: Object, old: Object | None) -> Iterator[str]:
    """Of a Service: addresses, and what has no effect on its type."""
    spec = new.get("spec") or {}
    kind, headless = spec.get("type"), spec.get("clusterIP") == "None"
    if "service.kubernetes.io/topology-aware-hints" in (dig(new, "metadata", "annotations", default={})):
        yield "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use " \
              "service.kubernetes.io/topology-mode instead"
    if not headless:
        for position, one in enumerate(spec.get("clusterIPs") or ()):
            yield from ip_warnings(f"spec.clusterIPs[{position}]", one)
    elif kind == "ClusterIP":
        if spec.get("loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if spec.get("externalIPs"):
            yield "spec.externalIPs is ignored for headless services"
        if spec.get("sessionAffinity", "None") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    for position, one in enumerate(spec.get("externalIPs") or ()):
        yield from ip_warnings(f"spec.externalIPs[{position}]", one)
    if spec.get("loadBalancerIP"):
        yield from ip_warnings("spec.loadBalancerIP", spec["loadBalancerIP"])
    for position, one in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from cidr_warnings(f"spec.loadBalancerSourceRanges[{position}]", one)
    if kind == "ExternalName" and spec.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if kind != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def ingress(new: Object, old: Object | None) -> Iterator[str]:
    annotation = "kubernetes.io/ingress.class"
    if old is None and annotation in dig(new, "metadata", "annotations", default={}) \
            and dig(new, "spec", "ingressClassName") is None:
        yield f"annotation {quoted(annotation)} is deprecated, please use 'spec.ingressClassName' instead"
