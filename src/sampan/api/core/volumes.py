"""Rules of a pod's volumes: a unique name, exactly one source, and what each type of source asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from sampan.api.core.environment import VOLUME_FIELDS, validate_field_reference, validate_resource_reference
from sampan.api.core.mounts import no_parent, validate_descending
from sampan.api.core.resource_lists import parse
from sampan.apimachinery.field import FieldError, Path, duplicate, forbidden, invalid, not_supported, required
from sampan.apimachinery.names import dns1123_label
from sampan.apimachinery.object import Object

Rule: TypeAlias = Callable[[Object, Path], list[FieldError]]

_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)
_MAX_FILE_MODE = 0o777
_MIN_TOKEN_S, _MAX_TOKEN_S = 600, 1 << 32


def validate_volumes(volumes: list[Object] | None, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for position, volume in enumerate(volumes or []):
        where, name = path.index(position), volume.get("name") or ""
        wrong = [required(where.child("name"))] if not name else [
            invalid(where.child("name"), name, why) for why in dns1123_label(name)]
        if not wrong and name in names:
            wrong.append(duplicate(where.child("name"), name))
        names.add(name)
        errors += validate_source(volume, where) + wrong
    return errors


def validate_source(volume: Object, path: Path) -> list[FieldError]:
    """Exactly one of the volume's sources may be given."""
    errors: list[FieldError] = []
    chosen = 0
    for kind, source in volume.items():
        if kind == "name" or source is None:
            continue
        if chosen:
            errors.append(forbidden(path.child(kind), "may not specify more than 1 volume type"))
            continue
        chosen += 1
        rule = _RULES.get(kind)
        if rule is not None:
            errors += rule(source, path.child(kind))
    if not chosen:
        errors.append(required(path, "must specify a volume type"))
    return errors


def validate_mode(mode: int | None, path: Path) -> list[FieldError]:
    if mode is not None and not 0 <= mode <= _MAX_FILE_MODE:
        return [invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")]
    return []


def _needs(*keys: str) -> Rule:
    """These fields must not be empty."""

    def rule(source: Object, path: Path) -> list[FieldError]:
        return [required(path.child(key)) for key in keys if not source.get(key)]

    return rule


def _empty_dir(source: Object, path: Path) -> list[FieldError]:
    limit = parse(source.get("sizeLimit"))
    if limit is not None and limit.sign() < 0:
        return [forbidden(path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity")]
    return []


def validate_host_path(source: Object, path: Path) -> list[FieldError]:
    text = source.get("path") or ""
    if not text:
        return [required(path.child("path"))]
    errors = no_parent(text, path.child("path"))
    kind = source.get("type")
    if kind is not None and kind not in _HOST_PATH_TYPES:
        errors.append(not_supported(path.child("type"), kind, _HOST_PATH_TYPES))
    return errors


def _items(items: list[Object] | None, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, item in enumerate(items or []):
        where, target = path.index(position), item.get("path") or ""
        if not item.get("key"):
            errors.append(required(where.child("key")))
        errors += _target(target, where.child("path"))
        errors += validate_mode(item.get("mode"), where.child("mode"))
    return errors


def _target(target: str, path: Path) -> list[FieldError]:
    """Where in a volume a file goes: below it, and not where the atomic writer keeps its own."""
    if not target:
        return [required(path)]
    errors = validate_descending(target, path)
    if target.startswith("..") and not target.startswith("../"):
        errors.append(invalid(path, target, "must not start with '..'"))
    return errors


def _config(name_key: str) -> Rule:
    def rule(source: Object, path: Path) -> list[FieldError]:
        errors = [] if source.get(name_key) else [required(path.child(name_key))]
        errors += validate_mode(source.get("defaultMode"), path.child("defaultMode"))
        return errors + _items(source.get("items"), path.child("items"))

    return rule


def _downward(source: Object, path: Path) -> list[FieldError]:
    errors = validate_mode(source.get("defaultMode"), path.child("defaultMode"))
    for item in source.get("items") or []:
        errors += _target(item.get("path") or "", path.child("path"))
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field is not None:
            errors += validate_field_reference(field, path.child("fieldRef"), VOLUME_FIELDS, subscripts=True)
            if resource is not None:
                errors.append(invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified "
                                                        "simultaneously"))
        elif resource is not None:
            errors += validate_resource_reference(resource, path.child("resourceFieldRef"), in_volume=True)
        else:
            errors.append(required(path, "one of fieldRef and resourceFieldRef is required"))
        errors += validate_mode(item.get("mode"), path.child("mode"))
    return errors


def _projected(source: Object, path: Path) -> list[FieldError]:
    errors = validate_mode(source.get("defaultMode"), path.child("defaultMode"))
    targets: set[str] = set()
    for position, part in enumerate(source.get("sources") or []):
        where = path.child("sources").index(position)
        chosen = [key for key, value in part.items() if value is not None]
        if not chosen:
            errors.append(required(where, "must specify a source"))
        for key in chosen[1:]:
            errors.append(forbidden(where.child(key), "may not specify more than 1 volume type"))
        if chosen:
            errors += _projection(chosen[0], part[chosen[0]], where.child(chosen[0]))
            errors += _conflicts(chosen[0], part[chosen[0]], where, targets)
    return errors


def _projection(kind: str, part: Object, path: Path) -> list[FieldError]:
    if kind in ("secret", "configMap"):
        errors = [] if part.get("name") else [required(path.child("name"))]
        return errors + _items(part.get("items"), path.child("items"))
    if kind == "downwardAPI":
        return _downward(part, path)
    if kind == "serviceAccountToken":
        return _token(part, path)
    if kind == "clusterTrustBundle":
        return _trust_bundle(part, path)
    if kind == "podCertificate":
        return [required(path.child(key)) for key in ("signerName", "keyType") if not part.get(key)]
    return []


def _token(part: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    seconds = part.get("expirationSeconds")
    if seconds is not None and seconds < _MIN_TOKEN_S:
        errors.append(invalid(path.child("expirationSeconds"), seconds,
                              "may not specify a duration less than 10 minutes"))
    elif seconds is not None and seconds > _MAX_TOKEN_S:
        errors.append(invalid(path.child("expirationSeconds"), seconds,
                              "may not specify a duration larger than 2^32 seconds"))
    return errors + _target(part.get("path") or "", path.child("path"))


def _trust_bundle(part: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    if (part.get("name") is None) == (part.get("signerName") is None):
        errors.append(required(path, "either name or signerName must be specified")
                      if part.get("name") is None else
                      invalid(path, part, "only one of name and signerName may be used"))
    return errors + _target(part.get("path") or "", path.child("path"))


def _conflicts(kind: str, part: Object, path: Path, targets: set[str]) -> list[FieldError]:
    """Two projections may not write the same file."""
    found = [part.get("path")] if "path" in part else [item.get("path") for item in part.get("items") or []]
    errors: list[FieldError] = []
    for target in found:
        if target and target in targets:
            errors.append(invalid(path, target, "conflicting duplicate paths"))
        targets.add(target or "")
    return errors


def _nfs(source: Object, path: Path) -> list[FieldError]:
    errors = [required(path.child(key)) for key in ("server", "path") if not source.get(key)]
    if source.get("path") and not source["path"].startswith("/"):
        errors.append(invalid(path.child("path"), source["path"], "must be an absolute path"))
    return errors


_RULES: dict[str, Rule] = {
    "emptyDir": _empty_dir,
    "hostPath": validate_host_path,
    "secret": _config("secretName"),
    "configMap": _config("name"),
    "downwardAPI": _downward,
    "projected": _projected,
    "persistentVolumeClaim": _needs("claimName"),
    "nfs": _nfs,
    "csi": _needs("driver"),
    "ephemeral": _needs("volumeClaimTemplate"),
    "iscsi": _needs("targetPortal", "iqn"),
    "glusterfs": _needs("endpoints", "path"),
    "cephfs": _needs("monitors"),
    "rbd": _needs("monitors", "image"),
    "gcePersistentDisk": _needs("pdName"),
    "awsElasticBlockStore": _needs("volumeID"),
    "cinder": _needs("volumeID"),
    "azureFile": _needs("secretName", "shareName"),
    "azureDisk": _needs("diskName", "diskURI"),
    "vsphereVolume": _needs("volumePath"),
    "portworxVolume": _needs("volumeID"),
    "flexVolume": _needs("driver"),
    "gitRepo": _needs("repository"),
    "quobyte": _needs("registry", "volume"),
    "scaleIO": _needs("gateway", "system", "volumeName"),
}
