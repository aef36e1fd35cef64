"""Ingress: HTTP routes from outside to Services."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME, NONE, at, ingress_points
from sampan.api.kind import Column, Kind
from sampan.api.resources import INGRESSES
from sampan.api.strategy import ensure, start_generation, status_subresource, update_with_generation
from sampan.api.warnings import addresses
from sampan.apimachinery.field import FieldError, Path, invalid, not_supported, required
from sampan.apimachinery.names import (
    dns1035_label,
    dns1123_subdomain,
    in_range,
    ip_address,
    port_name,
    wildcard_dns1123_subdomain,
)
from sampan.apimachinery.object import Object, dig

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_FORBIDDEN = ("//", "/./", "/../", "%2f", "%2F")
_FORBIDDEN_ENDS = ("/..", "/.")


def prepare_create(obj: Object) -> None:
    start_generation(obj)
    obj["status"] = {"loadBalancer": {}}


def default(obj: Object) -> None:
    ensure(ensure(obj, "status"), "loadBalancer")


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors: list[FieldError] = []
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        errors.append(invalid(path, spec.get("rules") or None, "either `defaultBackend` or `rules` must be specified"))
    if spec.get("defaultBackend") is not None:
        errors += _backend(spec["defaultBackend"], path.child("defaultBackend"))
    for position, rule in enumerate(spec.get("rules") or []):
        errors += _rule(rule, path.child("rules").index(position))
    for position, tls in enumerate(spec.get("tls") or []):
        for place, host in enumerate(tls.get("hosts") or []):
            errors += _host(host, path.child("tls").index(position).child("hosts").index(place))
    name = spec.get("ingressClassName")
    if name is not None:
        errors += [invalid(path.child("ingressClassName"), name, why) for why in dns1123_subdomain(name)]
    return errors


def _host(host: str, path: Path) -> list[FieldError]:
    check = wildcard_dns1123_subdomain if "*" in host else dns1123_subdomain
    return [invalid(path, host, why) for why in check(host)]


def _rule(rule: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    host = rule.get("host") or ""
    if host:
        if not ip_address(host):
            errors.append(invalid(path.child("host"), host, "must be a DNS name, not an IP address"))
        errors += _host(host, path.child("host"))
    http = rule.get("http")
    if http is None:
        return errors
    paths = http.get("paths") or []
    if not paths:
        errors.append(required(path.child("http", "paths")))
    for position, entry in enumerate(paths):
        errors += _path(entry, path.child("http", "paths").index(position))
    return errors


def _path(entry: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    kind, text = entry.get("pathType"), entry.get("path") or ""
    if kind is None:
        errors.append(required(path.child("pathType"), "pathType must be specified"))
    elif kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            errors.append(invalid(path.child("path"), text, "must be an absolute path"))
        errors += [invalid(path.child("path"), text, f"must not contain '{part}'")
                   for part in _FORBIDDEN if part in text]
        errors += [invalid(path.child("path"), text, f"cannot end with '{end}'")
                   for end in _FORBIDDEN_ENDS if text.endswith(end)]
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            errors.append(invalid(path.child("path"), text, "must be an absolute path"))
    else:
        errors.append(not_supported(path.child("pathType"), kind, _PATH_TYPES))
    return errors + _backend(entry.get("backend") or {}, path.child("backend"))


def _backend(backend: Object, path: Path) -> list[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return [required(path.child("resource", key)) for key in ("kind", "name") if not resource.get(key)]
    if service is None:
        return [required(path, "resource or service backend is required")]
    errors: list[FieldError] = []
    name = service.get("name") or ""
    if not name:
        errors.append(required(path.child("service", "name")))
    else:
        errors += [invalid(path.child("service", "name"), name, why) for why in dns1035_label(name)]
    port = service.get("port") or {}
    number, named = port.get("number") or 0, port.get("name") or ""
    where = path.child("service", "port")
    if number and named:
        errors.append(invalid(path, "", "cannot set both port name & port number"))
    elif named:
        errors += [invalid(where.child("name"), named, why) for why in port_name(named)]
    elif number:
        errors += [invalid(where.child("number"), number, why) for why in in_range(number, 1, 65535)]
    else:
        errors.append(required(path, "port name or number is required"))
    return errors


def validate_with_annotation(obj: Object) -> list[FieldError]:
    """A new Ingress names its class in the annotation or in the spec, not differently in both."""
    errors = validate(obj)
    annotated = (dig(obj, "metadata", "annotations") or {}).get(CLASS_ANNOTATION)
    named = dig(obj, "spec", "ingressClassName")
    if annotated is not None and named is not None and annotated != named:
        errors.append(invalid(Path("metadata").child("annotations").child(CLASS_ANNOTATION), annotated,
                              "must match `ingressClassName` when both are specified"))
    return errors


def validate_status(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, point in enumerate(dig(new, "status", "loadBalancer", "ingress", default=())):
        path = Path("status").child("loadBalancer", "ingress").index(position)
        address, host = point.get("ip") or "", point.get("hostname") or ""
        if address:
            errors += [invalid(path.child("ip"), address, why) for why in ip_address(address)]
        if host:
            errors += [invalid(path.child("hostname"), host, why) for why in dns1123_subdomain(host)]
            if not ip_address(host):
                errors.append(invalid(path.child("hostname"), host, "must be a DNS name, not an IP address"))
    return errors


def hosts_text(obj: Object, now: datetime) -> str:
    hosts = [rule["host"] for rule in dig(obj, "spec", "rules", default=()) if rule.get("host")]
    if not hosts:
        return "*"
    more = len(hosts) - 3
    return f"{','.join(hosts[:3])} + {more} more..." if more > 0 else ",".join(hosts)


def address_text(obj: Object, now: datetime) -> str:
    return ",".join(ingress_points(obj))


def ports_text(obj: Object, now: datetime) -> str:
    return "80, 443" if dig(obj, "spec", "tls") else "80"


INGRESS = Kind(
    resource=INGRESSES,
    definition="io.k8s.api.networking.v1.Ingress",
    singular="ingress",
    short_names=("ing",),
    default=default,
    prepare_create=prepare_create,
    prepare_update=update_with_generation,
    validate=validate_with_annotation,
    warnings=addresses.ingress,
    columns=(
        NAME,
        Column("Class", "string", at("spec", "ingressClassName", default=NONE),
               "The name of the IngressClass resource that should be used for additional configuration"),
        Column("Hosts", "string", hosts_text, "Hosts that incoming requests are matched against before the ingress "
                                              "rule"),
        Column("Address", "string", address_text, "Address is a list containing ingress points for the load-balancer"),
        Column("Ports", "string", ports_text, "Ports of TLS configurations that open"),
        AGE,
    ),
    subresources=status_subresource(validate_status),
)
