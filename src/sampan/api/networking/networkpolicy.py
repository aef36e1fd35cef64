"""NetworkPolicy: which traffic the pods of a namespace accept and send."""

from __future__ import annotations

import ipaddress

from sampan.api.columns import AGE, NAME, selector_cell
from sampan.api.core.probes import validate_port_reference
from sampan.api.kind import Column, Kind
from sampan.api.resources import NETWORK_POLICIES
from sampan.api.selector_rules import validate_label_selector
from sampan.api.strategy import count_generation, ensure, setdefault, start_generation
from sampan.api.warnings import addresses
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.names import cidr, in_range
from sampan.apimachinery.object import Object

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_TYPES = ("Egress", "Ingress")


def default(obj: Object) -> None:
    """A policy restricts ingress, and egress as well when it has egress rules; ports are TCP."""
    spec = ensure(obj, "spec")
    setdefault(spec, "podSelector", {})
    for rule in [*(spec.get("ingress") or []), *(spec.get("egress") or [])]:
        for port in rule.get("ports") or []:
            setdefault(port, "protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = validate_label_selector(spec.get("podSelector"), path.child("podSelector"))
    for key, peers in (("ingress", "from"), ("egress", "to")):
        for position, rule in enumerate(spec.get(key) or []):
            where = path.child(key).index(position)
            for place, port in enumerate(rule.get("ports") or []):
                errors += _port(port, where.child("ports").index(place))
            for place, peer in enumerate(rule.get(peers) or []):
                errors += _peer(peer, where.child(peers).index(place))
    kinds = spec.get("policyTypes") or []
    if len(kinds) > len(_TYPES):
        return [*errors, invalid(path.child("policyTypes"), kinds, "may not specify more than two policyTypes")]
    return errors + [not_supported(path.child("policyTypes").index(position), kind, _TYPES)
                     for position, kind in enumerate(kinds) if kind not in _TYPES]


def _port(port: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    if port.get("protocol") not in (None, *_PROTOCOLS):
        errors.append(not_supported(path.child("protocol"), port["protocol"], _PROTOCOLS))
    number, last = port.get("port"), port.get("endPort")
    if number is not None:
        errors += validate_port_reference(number, path.child("port"))
        if isinstance(number, str) and last is not None:
            errors.append(invalid(path.child("endPort"), last, "may not be specified when `port` is non-numeric"))
        elif isinstance(number, int) and last is not None:
            if last < number:
                errors.append(invalid(path.child("endPort"), number, "must be greater than or equal to `port`"))
            errors += [invalid(path.child("endPort"), last, why) for why in in_range(last, 1, 65535)]
    elif last is not None:
        errors.append(invalid(path.child("endPort"), last, "may not be specified when `port` is not specified"))
    return errors


def _peer(peer: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in ("podSelector", "namespaceSelector"):
        errors += validate_label_selector(peer.get(key), path.child(key))
    block = peer.get("ipBlock")
    chosen = [key for key in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(key) is not None]
    if block is not None:
        errors += _block(block, path.child("ipBlock"))
    if not chosen:
        errors.append(required(path, "must specify a peer"))
    elif block is not None and len(chosen) > 1:
        errors.append(forbidden(path, "may not specify both ipBlock and another peer"))
    return errors


def _block(block: Object, path: Path) -> list[FieldError]:
    text = block.get("cidr") or ""
    if not text:
        return [required(path.child("cidr"))]
    wrong = cidr(text)
    if wrong:
        return [invalid(path.child("cidr"), text, why) for why in wrong]
    network = ipaddress.ip_network(text, strict=False)
    errors: list[FieldError] = []
    for position, other in enumerate(block.get("except") or []):
        where, wrong = path.child("except").index(position), cidr(other)
        errors += [invalid(where, other, why) for why in wrong]
        if not wrong:
            inner = ipaddress.ip_network(other, strict=False)
            inside = (inner.version == network.version and inner.network_address in network
                      and inner.prefixlen > network.prefixlen)
            if not inside:
                errors.append(invalid(where, other, "must be a strict subset of `cidr`"))
    return errors


NETWORK_POLICY = Kind(
    resource=NETWORK_POLICIES,
    definition="io.k8s.api.networking.v1.NetworkPolicy",
    singular="networkpolicy",
    short_names=("netpol",),
    default=default,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate,
    warnings=addresses.network_policy,
    columns=(
        NAME,
        Column("Pod-Selector", "string", selector_cell("spec", "podSelector"),
               doc="networking.v1.NetworkPolicySpec#podSelector"),
        AGE,
    ),
)
