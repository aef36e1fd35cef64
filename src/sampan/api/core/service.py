"""Service: one stable name and address for many pods. Its defaults and rules are in the files beside this one."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME, NONE, UNKNOWN, ingress_points, labels_cell
from sampan.api.core.service_defaults import default, prepare_create, prepare_update
from sampan.api.core.service_rules import validate, validate_update
from sampan.api.kind import Column, Kind
from sampan.api.resources import SERVICES
from sampan.api.strategy import status_subresource
from sampan.api.warnings import addresses
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid
from sampan.apimachinery.names import dns1123_label, ip_address
from sampan.apimachinery.object import Object, dig


def selectable(obj: Object) -> dict[str, str]:
    return {key: dig(obj, *key.split("."), default="") for key in ("spec.clusterIP", "spec.type")}


def cluster_ip_text(obj: Object, now: datetime) -> str:
    return str(dig(obj, "spec", "clusterIPs", 0) or dig(obj, "spec", "clusterIP") or NONE)


def external_ip_text(obj: Object, now: datetime) -> str:
    spec = obj.get("spec") or {}
    external, kind = spec.get("externalIPs") or [], spec.get("type")
    if kind == "ExternalName":
        return str(spec.get("externalName") or "")
    if kind == "LoadBalancer":
        return ",".join([*ingress_points(obj), *external]) or "<pending>"
    if kind in ("ClusterIP", "NodePort"):
        return ",".join(external) or NONE
    return UNKNOWN


def ports_text(obj: Object, now: datetime) -> str:
    """`80:30080/TCP,443/TCP`."""
    shown = []
    for port in dig(obj, "spec", "ports", default=()):
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port.get('port')}{node}/{port.get('protocol')}")
    return ",".join(shown) or NONE


def validate_status(new: Object, old: Object) -> list[FieldError]:
    """Only a load balancer has addresses of one."""
    path = Path("status").child("loadBalancer", "ingress")
    ingress = dig(new, "status", "loadBalancer", "ingress", default=[])
    if ingress and dig(new, "spec", "type") != "LoadBalancer":
        return [forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    return [
        invalid(path.index(position).child("ip"), entry["ip"], why)
        for position, entry in enumerate(ingress) if entry.get("ip") for why in ip_address(entry["ip"])
    ]


SERVICE = Kind(
    resource=SERVICES,
    definition="io.k8s.api.core.v1.Service",
    singular="service",
    short_names=("svc",),
    categories=("all",),
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    valid_name=dns1123_label,
    field_names=("spec.clusterIP", "spec.type"),
    fields=selectable,
    warnings=addresses.service,
    columns=(
        NAME,
        Column("Type", "string", lambda obj, now: dig(obj, "spec", "type", default=""), doc="core.v1.ServiceSpec#type"),
        Column("Cluster-IP", "string", cluster_ip_text, doc="core.v1.ServiceSpec#clusterIP"),
        Column("External-IP", "string", external_ip_text, doc="core.v1.ServiceSpec#externalIPs"),
        Column("Port(s)", "string", ports_text, doc="core.v1.ServiceSpec#ports"),
        AGE,
        Column("Selector", "string", labels_cell("spec", "selector"), doc="core.v1.ServiceSpec#selector",
               priority=1),
    ),
    subresources=status_subresource(validate_status),
)
