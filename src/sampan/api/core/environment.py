"""Rules of environment variables: `env` with its sources, and `envFrom`."""

from __future__ import annotations

import re

from sampan.api.core.resource_lists import is_huge_page, parse
from sampan.apimachinery.field import FieldError, Path, invalid, not_supported, required
from sampan.apimachinery.names import config_map_key, dns1123_subdomain, env_name, qualified_name
from sampan.apimachinery.object import Object

ENV_FIELDS = frozenset({
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
})
VOLUME_FIELDS = frozenset({
    "metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid",
})
_LABELS_KNOWN = ENV_FIELDS | VOLUME_FIELDS | {"spec.restartPolicy", "spec.schedulerName", "status.phase"}
_RESOURCES = frozenset({
    "limits.cpu", "limits.memory", "limits.ephemeral-storage", "requests.cpu", "requests.memory",
    "requests.ephemeral-storage",
})
_DIVISORS = {
    "cpu": ("1", "1m"),
    "memory": ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"),
}
_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]", re.DOTALL)
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def validate_env(variables: list[Object] | None, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, variable in enumerate(variables or []):
        where, name = path.index(position), variable.get("name") or ""
        if not name:
            errors.append(required(where.child("name")))
        else:
            errors += [invalid(where.child("name"), name, why) for why in env_name(name)]
        if variable.get("valueFrom") is not None:
            errors += _value_from(variable, where.child("valueFrom"))
    return errors


def _value_from(variable: Object, path: Path) -> list[FieldError]:
    source = variable["valueFrom"]
    errors: list[FieldError] = []
    chosen = [key for key in _SOURCES if source.get(key) is not None]
    for key in chosen:
        where = path.child(key)
        if key == "fieldRef":
            errors += validate_field_reference(source[key], where, ENV_FIELDS, subscripts=True)
        elif key == "resourceFieldRef":
            errors += validate_resource_reference(source[key], where, in_volume=False)
        elif key != "fileKeyRef":
            errors += _key_reference(source[key], where)
    if not chosen:
        errors.append(invalid(path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
                                        "`secretKeyRef` or `fileKeyRef`"))
    elif variable.get("value"):
        errors.append(invalid(path, "", "may not be specified when `value` is not empty"))
    if len(chosen) > 1:
        errors.append(invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def _key_reference(reference: Object, path: Path) -> list[FieldError]:
    name, key = reference.get("name") or "", reference.get("key") or ""
    errors = [invalid(path.child("name"), name, why) for why in dns1123_subdomain(name)]
    if not key:
        return [*errors, required(path.child("key"))]
    return errors + [invalid(path.child("key"), key, why) for why in config_map_key(key)]


def validate_field_reference(
    reference: Object, path: Path, allowed: frozenset[str], subscripts: bool
) -> list[FieldError]:
    """A fieldRef may name these fields and, with `subscripts`, single labels and annotations."""
    text = reference.get("fieldPath") or ""
    if not reference.get("apiVersion"):
        return [required(path.child("apiVersion"))]
    if not text:
        return [required(path.child("fieldPath"))]
    match = _SUBSCRIPT.fullmatch(text)
    if match and subscripts:
        key = match.group(2).lower() if match.group(1) == "metadata.annotations" else match.group(2)
        return [invalid(path, match.group(2), why) for why in qualified_name(key)]
    if text not in _LABELS_KNOWN:
        why = f"error converting fieldPath: field label not supported: {text}"
        return [invalid(path.child("fieldPath"), text, why)]
    return [] if text in allowed else [not_supported(path.child("fieldPath"), text, allowed)]


def validate_resource_reference(reference: Object, path: Path, in_volume: bool) -> list[FieldError]:
    name = reference.get("resource") or ""
    if in_volume and not reference.get("containerName"):
        return [required(path.child("containerName"))]
    if not name:
        return [required(path.child("resource"))]
    if name not in _RESOURCES and not is_huge_page(name.partition(".")[2]):
        return [not_supported(path.child("resource"), name, _RESOURCES)]
    divisor = parse(reference.get("divisor"))
    kind = "cpu" if name.endswith(".cpu") else "memory"
    if divisor is None or not divisor or str(divisor) in _DIVISORS[kind]:
        return []
    shown = {"cpu": "1m and 1 are supported with the cpu resource",
             "memory": "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the memory resource"}
    return [invalid(path.child("divisor"), str(divisor), f"only divisor's values {shown[kind]}")]


def validate_env_from(sources: list[Object] | None, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, source in enumerate(sources or []):
        where, prefix = path.index(position), source.get("prefix") or ""
        if prefix:
            errors += [invalid(where.child("prefix"), prefix, why) for why in env_name(prefix)]
        chosen = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
        for key in chosen:
            name = source[key].get("name") or ""
            errors += [invalid(where.child(key, "name"), name, why) for why in dns1123_subdomain(name)]
        if not chosen:
            errors.append(invalid(where, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(chosen) > 1:
            errors.append(invalid(where, "", "may not have more than one field specified at a time"))
    return errors
