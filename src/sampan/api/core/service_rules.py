"""Service: the rules of its spec and of its updates."""

from __future__ import annotations

from typing import Any

from sampan.api.core.probes import validate_port_reference
from sampan.api.core.service_defaults import is_external, needs_cluster_ip
from sampan.apimachinery.field import FieldError, Path, duplicate, forbidden, invalid, not_supported, required
from sampan.apimachinery.metadata import validate_labels
from sampan.apimachinery.names import (
    cidr,
    dns1123_label,
    dns1123_subdomain,
    endpoint_address,
    ip_address,
    port_number,
    qualified_name,
)
from sampan.apimachinery.object import Object, dig

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_TRAFFIC = ("Cluster", "Local")
_DISTRIBUTION = ("PreferClose", "PreferSameNode", "PreferSameZone")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_MAX_AFFINITY_S = 86400
HEADLESS = "None"


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    kind = spec.get("type") or ""
    ports = spec.get("ports") or []
    errors: list[FieldError] = []
    if not ports and not is_headless(spec) and kind != "ExternalName":
        errors.append(required(path.child("ports")))
    errors += _by_type(spec, kind, path)
    errors += _ports(ports, is_headless(spec), path.child("ports"))
    errors += validate_labels(spec.get("selector"), path.child("selector"))
    errors += _affinity(spec, path)
    if not kind:
        errors.append(required(path.child("type")))
    elif kind not in _TYPES:
        errors.append(not_supported(path.child("type"), kind, _TYPES))
    errors += _addresses(spec, path)
    return errors + _node_ports(ports, kind, path.child("ports")) + _traffic(spec, path)


def is_headless(spec: Object) -> bool:
    return spec.get("clusterIP") == HEADLESS or (spec.get("clusterIPs") or [""])[0] == HEADLESS


def _by_type(spec: Object, kind: str, path: Path) -> list[FieldError]:
    if kind in ("LoadBalancer", "NodePort"):
        if is_headless(spec):
            return [invalid(path.child("clusterIPs").index(0), HEADLESS,
                            f"may not be set to 'None' for {kind} services")]
        return []
    if kind != "ExternalName":
        return []
    errors: list[FieldError] = []
    if spec.get("clusterIPs") or spec.get("clusterIP"):
        errors.append(forbidden(path.child("clusterIPs"), "may not be set when `type` is 'ExternalName'"))
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        return [*errors, required(path.child("externalName"))]
    return errors + [invalid(path.child("externalName"), name, why) for why in dns1123_subdomain(name)]


def _ports(ports: list[Object], headless: bool, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    numbers: set[tuple[Any, Any]] = set()
    for position, port in enumerate(ports):
        where, name = path.index(position), port.get("name") or ""
        if name:
            errors += [invalid(where.child("name"), name, why) for why in dns1123_label(name)]
            if name in names:
                errors.append(duplicate(where.child("name"), name))
            names.add(name)
        elif len(ports) > 1:
            errors.append(required(where.child("name")))
        errors += _port(port, headless, where)
        key = (port.get("protocol"), port.get("port"))
        if key in numbers:
            shown = {"Name": "", "Protocol": key[0] or "", "AppProtocol": None, "Port": key[1] or 0, "TargetPort": 0,
                     "NodePort": 0}
            errors.append(duplicate(where, shown))
        numbers.add(key)
    return errors


def _port(port: Object, headless: bool, path: Path) -> list[FieldError]:
    number, protocol, target = port.get("port") or 0, port.get("protocol") or "", port.get("targetPort")
    errors = [invalid(path.child("port"), number, why) for why in port_number(number)]
    if not protocol:
        errors.append(required(path.child("protocol")))
    elif protocol not in _PROTOCOLS:
        errors.append(not_supported(path.child("protocol"), protocol, _PROTOCOLS))
    errors += validate_port_reference(target, path.child("targetPort"))
    if port.get("appProtocol") is not None:
        errors += [invalid(path.child("appProtocol"), port["appProtocol"], why)
                   for why in qualified_name(port["appProtocol"])]
    return errors


def _affinity(spec: Object, path: Path) -> list[FieldError]:
    affinity = spec.get("sessionAffinity") or ""
    if not affinity:
        return [required(path.child("sessionAffinity"))]
    if affinity not in ("ClientIP", "None"):
        return [not_supported(path.child("sessionAffinity"), affinity, ("ClientIP", "None"))]
    if affinity == "None":
        return []
    seconds = dig(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds")
    where = path.child("sessionAffinityConfig", "clientIP", "timeoutSeconds")
    if seconds is None or 0 < seconds <= _MAX_AFFINITY_S:
        return []
    return [invalid(where, seconds, f"must be greater than 0 and less than {_MAX_AFFINITY_S}")]


def _addresses(spec: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    addresses = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    if len(addresses) > 2:
        errors.append(invalid(path.child("clusterIPs"), addresses,
                              "may only hold up to 2 values"))
    for position, address in enumerate(addresses if needs_cluster_ip(spec) else []):
        if address == HEADLESS and position == 0:
            if len(addresses) > 1:
                errors.append(invalid(path.child("clusterIPs"), addresses, "'None' must be the first and only value"))
        elif address:
            errors += [invalid(path.child("clusterIPs").index(position), address, why) for why in ip_address(address)]
    for position, address in enumerate(spec.get("externalIPs") or []):
        where = path.child("externalIPs").index(position)
        errors += [invalid(where, address, why) for why in endpoint_address(address)]
    ranges = spec.get("loadBalancerSourceRanges") or []
    if ranges and spec.get("type") != "LoadBalancer":
        errors.append(forbidden(path.child("loadBalancerSourceRanges"),
                                "may only be used when `type` is 'LoadBalancer'"))
    for position, text in enumerate(ranges):
        errors += [invalid(path.child("loadBalancerSourceRanges").index(position), text, why) for why in cidr(text)]
    return errors


def _node_ports(ports: list[Object], kind: str, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    used: set[tuple[Any, int]] = set()
    for position, port in enumerate(ports):
        number, where = port.get("nodePort"), path.index(position).child("nodePort")
        if not number:
            continue
        if kind in ("ClusterIP", "ExternalName"):
            errors.append(forbidden(where, f"may not be used when `type` is '{kind}'"))
            continue
        key = (port.get("protocol"), number)
        if key in used:
            errors.append(duplicate(where, number))
        used.add(key)
    return errors


def _traffic(spec: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    outside, inside = spec.get("externalTrafficPolicy") or "", spec.get("internalTrafficPolicy")
    where = path.child("externalTrafficPolicy")
    if outside and not is_external(spec) and not spec.get("externalIPs"):
        errors.append(invalid(where, outside, "may only be set for externally-accessible services"))
    elif outside and outside not in _TRAFFIC:
        errors.append(not_supported(where, outside, _TRAFFIC))
    elif not outside and is_external(spec):
        errors.append(required(where))
    if inside is not None and inside not in _TRAFFIC:
        errors.append(not_supported(path.child("internalTrafficPolicy"), inside, _TRAFFIC))
    elif inside is None and needs_cluster_ip(spec):
        errors.append(required(path.child("internalTrafficPolicy")))
    if spec.get("trafficDistribution") not in (None, *_DISTRIBUTION):
        errors.append(not_supported(path.child("trafficDistribution"), spec["trafficDistribution"], _DISTRIBUTION))
    if spec.get("ipFamilyPolicy") not in (None, *_FAMILY_POLICIES):
        errors.append(not_supported(path.child("ipFamilyPolicy"), spec["ipFamilyPolicy"], _FAMILY_POLICIES))
    health = spec.get("healthCheckNodePort")
    if health and not (spec.get("type") == "LoadBalancer" and outside == "Local"):
        errors.append(invalid(path.child("healthCheckNodePort"), health, "may only be set when `type` is "
                              "'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
    if spec.get("loadBalancerClass") is not None and spec.get("type") != "LoadBalancer":
        errors.append(forbidden(path.child("loadBalancerClass"), "may only be used when `type` is 'LoadBalancer'"))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    """The first cluster address stays, unless the type changes from or to ExternalName."""
    after, before, path = new.get("spec") or {}, old.get("spec") or {}, Path("spec")
    errors: list[FieldError] = []
    if needs_cluster_ip(after) and needs_cluster_ip(before):
        given, kept = after.get("clusterIPs") or [], before.get("clusterIPs") or []
        first, was = after.get("clusterIP") or "", before.get("clusterIP") or ""
        if was and first != was:
            shown = given if given and given[0] == first else [first]
            errors.append(invalid(path.child("clusterIPs").index(0), shown, "may not change once set"))
        elif given and kept and given[0] != kept[0]:
            errors.append(invalid(path.child("clusterIPs").index(0), given, "may not change once set"))
        elif len(kept) > 1 and len(given) > 1 and given[1] != kept[1]:
            errors.append(invalid(path.child("clusterIPs").index(1), given, "may not change once set"))
    if after.get("type") == before.get("type") == "LoadBalancer" and (
            after.get("loadBalancerClass") != before.get("loadBalancerClass")):
        errors.append(invalid(path.child("loadBalancerClass"), after.get("loadBalancerClass"),
                              "may not change once set"))
    return errors
