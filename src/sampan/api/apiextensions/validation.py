"""What makes a CustomResourceDefinition valid, in upstream's words.

Source of the rules: upstream's documentation of custom resources and the messages of apiextensions-apiserver.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any, Final

from sampan.api.apiextensions.structural_rules import validate_schema
from sampan.apimachinery import names as name_rules
from sampan.apimachinery.field import FieldError, Path, duplicate, invalid, not_supported, required
from sampan.apimachinery.jsonpath import JSONPathError, compile_path, simple_fields
from sampan.apimachinery.names import dns1035_label, dns1123_subdomain
from sampan.apimachinery.object import Object, annotations_of, dig, name_of

APPROVAL: Final = "api-approved.kubernetes.io"
_WHY_APPROVAL: Final = "https://github.com/kubernetes/enhancements/pull/1111"
COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    names = spec.get("names") or {}
    found: list[FieldError] = []
    if name_of(obj) != f"{names.get('plural') or ''}.{spec.get('group') or ''}":
        found.append(invalid(Path("metadata").child("name"), name_of(obj), 'must be spec.names.plural+"."+spec.group'))
    found += _group(spec.get("group") or "", path.child("group"))
    found += _approval(obj, spec.get("group") or "")
    scope = spec.get("scope") or ""
    if scope not in ("Cluster", "Namespaced"):
        found.append(not_supported(path.child("scope"), scope, ("Cluster", "Namespaced")) if scope
                     else required(path.child("scope")))
    if spec.get("preserveUnknownFields"):
        found.append(invalid(path.child("preserveUnknownFields"), True, "cannot set to true, set "
                             "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"))
    found += _versions(spec.get("versions") or [], path.child("versions"))
    found += _names(names, path.child("names"))
    found += _conversion(spec.get("conversion") or {}, path.child("conversion"))
    return found + _stored_versions(obj)


def validate_update(new: Object, old: Object) -> list[FieldError]:
    """Group and plural never change; scope and kind not once the API is established."""
    path, found = Path("spec"), []
    fixed: list[tuple[str, ...]] = [("group",), ("names", "plural")]
    conditions = dig(old, "status", "conditions", default=())
    if any(one.get("type") == "Established" and one.get("status") == "True" for one in conditions):
        fixed += [("scope",), ("names", "kind")]
    for where in fixed:
        value = dig(new, "spec", *where)
        if value != dig(old, "spec", *where):
            found.append(invalid(path.child(*where), value, "field is immutable"))
    return found


def _group(group: str, path: Path) -> list[FieldError]:
    if not group:
        return [required(path)]
    if problems := dns1123_subdomain(group):
        return [invalid(path, group, ",".join(problems))]
    if "." not in group:
        return [invalid(path, group, "should be a domain with at least one dot")]
    return []


def _approval(obj: Object, group: str) -> list[FieldError]:
    """Groups of the Kubernetes community carry the address of what approved them, or say that nothing did."""
    if not group.endswith((".k8s.io", ".kubernetes.io")):
        return []
    value = annotations_of(obj).get(APPROVAL)
    path = Path("metadata").child("annotations").key(APPROVAL)
    if not value:
        return [required(path, f'protected groups must have approval annotation "{APPROVAL}", see {_WHY_APPROVAL}')]
    if value.startswith(("unapproved", "http://", "https://")):
        return []
    detail = f'protected groups must have approval annotation "{APPROVAL}" with either a URL or a reason starting with '
    return [invalid(path, value, f'{detail}"unapproved", see {_WHY_APPROVAL}')]


def _names(names: Object, path: Path) -> list[FieldError]:
    found: list[FieldError] = []
    for key in ("plural", "singular", "kind", "listKind"):
        value = names.get(key) or ""
        if not value:
            found.append(required(path.child(key)))
            continue
        is_kind = key in ("kind", "listKind")
        if problems := dns1035_label(value.lower() if is_kind else value):
            prefix = "may have mixed case, but should otherwise match: " if is_kind else ""
            found.append(invalid(path.child(key), value, prefix + ",".join(problems)))
    for key in ("shortNames", "categories"):
        for position, value in enumerate(names.get(key) or []):
            if problems := dns1035_label(value):
                found.append(invalid(path.child(key).index(position), value, ",".join(problems)))
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        found.append(invalid(path.child("listKind"), names["listKind"], "kind and listKind may not be the same"))
    return found


def _versions(versions: list[Object], path: Path) -> list[FieldError]:
    found: list[FieldError] = []
    seen = [version.get("name") or "" for version in versions]
    for position, version in enumerate(versions):
        where = path.index(position)
        if problems := dns1035_label(version.get("name") or ""):
            found.append(invalid(where.child("name"), version.get("name") or "", ",".join(problems)))
        found += _version(version, where)
    if len(set(seen)) != len(seen):
        found.append(invalid(path, seen, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        found.append(invalid(path, seen, "must have exactly one version marked as storage version"))
    return found


def _version(version: Object, path: Path) -> list[FieldError]:
    found: list[FieldError] = []
    where = path.child("schema").child("openAPIV3Schema")
    schema = dig(version, "schema", "openAPIV3Schema")
    if schema is None:
        found.append(required(where, "schemas are required"))
    else:
        found += validate_schema(schema, where)
    if version.get("deprecationWarning") is not None and not version.get("deprecated"):
        found.append(invalid(path.child("deprecationWarning"), version["deprecationWarning"],
                             "can only be set for deprecated versions"))
    found += _scale(dig(version, "subresources", "scale"), path.child("subresources").child("scale"))
    for position, column in enumerate(version.get("additionalPrinterColumns") or []):
        found += _column(column, path.child("additionalPrinterColumns").index(position))
    return found + _selectable(version.get("selectableFields") or [], schema or {}, path.child("selectableFields"))


def _scale(scale: Object | None, path: Path) -> list[FieldError]:
    if scale is None:
        return []
    found: list[FieldError] = []
    rules: tuple[tuple[str, tuple[str, ...], str, bool], ...] = (
        ("specReplicasPath", ("spec",), "should be a json path under .spec", True),
        ("statusReplicasPath", ("status",), "should be a json path under .status", True),
        ("labelSelectorPath", ("spec", "status"), "should be a json path under either .spec or .status", False),
    )
    for key, roots, complaint, needed in rules:
        value = scale.get(key) or ""
        if not value:
            if needed:
                found.append(required(path.child(key)))
            continue
        fields = simple_fields(value)
        if fields is None or fields[0] not in roots or len(fields) < 2:
            found.append(invalid(path.child(key), value, complaint))
    return found


def _column(column: Object, path: Path) -> list[FieldError]:
    found: list[FieldError] = []
    if not column.get("name"):
        found.append(required(path.child("name")))
    type, format = column.get("type") or "", column.get("format") or ""
    if not type:
        found.append(required(path.child("type"), f"must be one of {','.join(COLUMN_TYPES)}"))
    elif type not in COLUMN_TYPES:
        found.append(invalid(path.child("type"), type, f"must be one of {','.join(COLUMN_TYPES)}"))
    if format and format not in _COLUMN_FORMATS:
        found.append(invalid(path.child("format"), format, f"must be one of {','.join(_COLUMN_FORMATS)}"))
    json_path = column.get("jsonPath") or ""
    if not json_path:
        return [*found, required(path.child("jsonPath"))]
    if not json_path.startswith("."):
        return [*found, invalid(path.child("jsonPath"), json_path, "must be a simple json path starting with .")]
    try:
        compile_path(json_path)
    except JSONPathError as error:
        found.append(invalid(path.child("jsonPath"), json_path, str(error)))
    return found


def _selectable(fields: list[Object], schema: Object, path: Path) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[str] = set()
    if len(fields) > 8:
        found.append(FieldError(invalid(path, 0, "").type, str(path), len(fields), "must have at most 8 items"))
    for position, field in enumerate(fields):
        where, text = path.index(position).child("jsonPath"), field.get("jsonPath") or ""
        names = simple_fields(text)
        if not text:
            found.append(required(where))
        elif names is None:
            found.append(invalid(where, text, "is an invalid path: only simple paths of field names are allowed"))
        elif names[0] == "metadata":
            found.append(invalid(where, text, "must not point to fields in metadata"))
        elif _at(schema, names).get("type") not in ("string", "integer", "boolean"):
            found.append(invalid(where, text, "must point to a field of type string, boolean or integer"))
        if text in seen:
            found.append(duplicate(where, text))
        seen.add(text)
    return found


def _at(schema: Object, names: Iterable[str]) -> Object:
    for name in names:
        schema = dig(schema, "properties", name, default={})
    return schema


def _conversion(conversion: Object, path: Path) -> list[FieldError]:
    strategy, webhook = conversion.get("strategy") or "", conversion.get("webhook")
    if strategy == "None":
        if webhook is not None:
            return [FieldError(required(path).type.FORBIDDEN, str(path.child("webhook")), "",
                               "should not be set when strategy is not set to Webhook")]
        return []
    if strategy != "Webhook":
        where = path.child("strategy")
        return [not_supported(where, strategy, ("None", "Webhook")) if strategy else required(where)]
    where = path.child("webhook")
    if webhook is None or webhook.get("clientConfig") is None:
        return [required(where.child("clientConfig"), "required when strategy is set to Webhook")]
    found = _client_config(webhook["clientConfig"], where.child("clientConfig"))
    versions = webhook.get("conversionReviewVersions") or []
    if not versions:
        found.append(required(where.child("conversionReviewVersions")))
    elif not {"v1", "v1beta1"} & set(versions):
        found.append(invalid(where.child("conversionReviewVersions"), versions,
                             "must include at least one of v1, v1beta1"))
    return found


def _client_config(config: Object, path: Path) -> list[FieldError]:
    url, service = config.get("url"), config.get("service")
    if (url is None) is (service is None):
        return [required(path, "exactly one of url or service is required")]
    found: list[FieldError] = []
    if url is not None and not str(url).startswith("https://"):
        detail = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
        found.append(invalid(path.child("url"), url, detail))
    if service is not None:
        where = path.child("service")
        found += [required(where.child(key), f"service {key} is required")
                  for key in ("name", "namespace") if not service.get(key)]
        port: Any = service.get("port", 443)
        if problems := name_rules.port_number(port):
            found.append(invalid(where.child("port"), port, ",".join(problems)))
    if bundle := config.get("caBundle"):
        try:
            is_pem = b"-----BEGIN CERTIFICATE-----" in base64.b64decode(bundle)
        except (binascii.Error, ValueError):
            is_pem = False
        if not is_pem:
            found.append(invalid(path.child("caBundle"), bundle, "unable to load root certificates"))
    return found


def _stored_versions(obj: Object) -> list[FieldError]:
    stored = dig(obj, "status", "storedVersions", default=())
    known = {version.get("name") for version in dig(obj, "spec", "versions", default=())}
    return [
        invalid(Path("status").child("storedVersions").index(position), name, (
            f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions "
            f"until a storage migration ensures no data remains persisted in {name} and removes {name} from "
            "status.storedVersions"
        ))
        for position, name in enumerate(stored) if name not in known
    ]
