"""APIService: who answers for one version of one API group, this server or a Service behind it."""

from __future__ import annotations

from datetime import datetime

from sampan import effects
from sampan.api.columns import AGE, NAME
from sampan.api.kind import Column, Kind
from sampan.api.resources import API_SERVICES
from sampan.api.strategy import keep_status, status_alone
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.names import dns1035_label, dns1123_subdomain, path_segment_name
from sampan.apimachinery.object import Object, dig, name_of

MAX_GROUP_PRIORITY, MAX_VERSION_PRIORITY = 20000, 1000


def default(obj: Object) -> None:
    service = (obj.get("spec") or {}).get("service")
    if isinstance(service, dict) and service.get("port") is None:
        service["port"] = 443


def prepare_create(obj: Object) -> None:
    """What this server answers itself is available at once."""
    obj["status"] = {}
    if not dig(obj, "spec", "service"):
        obj["status"] = {"conditions": [local_condition()]}


def local_condition() -> Object:
    return {
        "type": "Available", "status": "True", "lastTransitionTime": effects.timestamp(), "reason": "Local",
        "message": "Local APIServices are always available",
    }


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    group, version, name = spec.get("group") or "", spec.get("version") or "", name_of(obj)
    errors: list[FieldError] = []
    if name != f"{version}.{group}":
        errors.append(invalid(
            Path("metadata").child("name"), name, f'must be `spec.version+"."+spec.group`: "{version}.{group}"'
        ))
    if not group and version != "v1":
        errors.append(required(path.child("group"), "only v1 may have an empty group and it better be legacy kube"))
    if group:
        errors += [invalid(path.child("group"), group, why) for why in dns1123_subdomain(group)]
    errors += [invalid(path.child("version"), version, why) for why in dns1035_label(version)]
    for key, most in (("groupPriorityMinimum", MAX_GROUP_PRIORITY), ("versionPriority", MAX_VERSION_PRIORITY)):
        value = spec.get(key) or 0
        if not 0 < value <= most:
            errors.append(invalid(path.child(key), value, f"must be positive and less than {most}"))
    return errors + _backend(spec, path)


def _backend(spec: Object, path: Path) -> list[FieldError]:
    service, bundle, insecure = spec.get("service"), spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    errors: list[FieldError] = []
    if service is None:
        if bundle:
            errors.append(invalid(path.child("caBundle"), f"{len(bundle)} bytes",
                                  "local APIServices may not have a caBundle"))
        if insecure:
            errors.append(invalid(path.child("insecureSkipTLSVerify"), insecure,
                                  "local APIServices may not have insecureSkipTLSVerify"))
        return errors
    errors += [required(path.child("service", key)) for key in ("namespace", "name") if not service.get(key)]
    port = service.get("port")
    if port is not None and not 1 <= port <= 65535:
        errors.append(invalid(path.child("service", "port"), port,
                              "port is not valid: must be between 1 and 65535, inclusive"))
    if insecure and bundle:
        errors.append(invalid(path.child("insecureSkipTLSVerify"), insecure, "may not be true if caBundle is present"))
    return errors


def service(obj: Object, now: datetime) -> str:
    found = dig(obj, "spec", "service")
    return f"{found.get('namespace', '')}/{found.get('name', '')}" if found else "Local"


def available(obj: Object, now: datetime) -> str:
    """`True`, or `False (Reason)`."""
    for condition in dig(obj, "status", "conditions", default=()):
        if condition.get("type") == "Available":
            status, reason = str(condition.get("status", "")), condition.get("reason")
            return status if status == "True" or not reason else f"{status} ({reason})"
    return "Unknown"


API_SERVICE = Kind(
    resource=API_SERVICES,
    definition="io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    singular="apiservice",
    categories=("api-extensions",),
    default=default,
    prepare_create=prepare_create,
    prepare_update=keep_status,
    validate=validate,
    valid_name=path_segment_name,
    columns=(
        NAME,
        Column("Service", "string", service, "The reference to the service that hosts this API endpoint."),
        Column("Available", "string", available, "Whether this service is available."),
        AGE,
    ),
    subresources=status_alone(),
)
