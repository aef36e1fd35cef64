"""Rules of volume mounts and block devices in containers."""

from __future__ import annotations

from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_found, not_supported, required
from sampan.apimachinery.object import Object, dig

_PROPAGATION = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")


def validate_descending(text: str, path: Path) -> list[FieldError]:
    """A path that stays below where it starts."""
    if text.startswith("/"):
        return [invalid(path, text, "must be a relative path")]
    return no_parent(text, path)


def no_parent(text: str, path: Path) -> list[FieldError]:
    if ".." in text.split("/"):
        return [invalid(path, text, "must not contain '..'")]
    return []


def validate_mounts(container: Object, volumes: dict[str, Object], path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    devices = {device.get("name"): device.get("devicePath") for device in container.get("volumeDevices") or []}
    for position, mount in enumerate(container.get("volumeMounts") or []):
        where, name, target = path.index(position), mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(required(where.child("name")))
        elif name not in volumes:
            errors.append(not_found(where.child("name"), name))
        if not target:
            errors.append(required(where.child("mountPath")))
        elif target in seen:
            errors.append(invalid(where.child("mountPath"), target, "must be unique"))
        seen.add(target)
        if name in devices:
            errors.append(invalid(where.child("name"), name, "must not already exist in volumeDevices"))
        if target and target in devices.values():
            errors.append(invalid(where.child("mountPath"), target, "must not already exist as a path in "
                                                                    "volumeDevices"))
        errors += _sub_path(mount, where) + _options(mount, container, where)
    return errors


def _sub_path(mount: Object, path: Path) -> list[FieldError]:
    plain, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    errors = validate_descending(plain, path.child("subPath")) if plain else []
    if expression:
        if plain:
            errors.append(invalid(path.child("subPathExpr"), expression,
                                  "subPathExpr and subPath are mutually exclusive"))
        errors += validate_descending(expression, path.child("subPathExpr"))
    return errors


def _options(mount: Object, container: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    propagation, recursive = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    if propagation is not None:
        if propagation not in _PROPAGATION:
            errors.append(not_supported(path.child("mountPropagation"), propagation, _PROPAGATION))
        if propagation == "Bidirectional" and not dig(container, "securityContext", "privileged"):
            errors.append(forbidden(path.child("mountPropagation"), "Bidirectional mount propagation is available "
                                                                    "only to privileged containers"))
    if recursive is not None:
        if recursive not in _RECURSIVE:
            errors.append(not_supported(path.child("recursiveReadOnly"), recursive, _RECURSIVE))
        elif recursive != "Disabled" and not mount.get("readOnly"):
            errors.append(forbidden(path.child("recursiveReadOnly"), "may only be specified when readOnly is true"))
    return errors


def validate_devices(container: Object, volumes: dict[str, Object], path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    paths: set[str] = set()
    mounted = {mount.get("name") for mount in container.get("volumeMounts") or []}
    for position, device in enumerate(container.get("volumeDevices") or []):
        where, name, target = path.index(position), device.get("name") or "", device.get("devicePath") or ""
        if not name:
            errors.append(required(where.child("name")))
        elif name not in volumes:
            errors.append(not_found(where.child("name"), name))
        elif not any(volumes[name].get(kind) is not None for kind in ("persistentVolumeClaim", "ephemeral")):
            errors.append(invalid(where.child("name"), name, "can only use volume source type of PersistentVolumeClaim "
                                                             "or Ephemeral for block mode"))
        if name in names:
            errors.append(invalid(where.child("name"), name, "must be unique"))
        names.add(name)
        if not target:
            errors.append(required(where.child("devicePath")))
        elif target in paths:
            errors.append(invalid(where.child("devicePath"), target, "must be unique"))
        else:
            errors += no_parent(target, where.child("devicePath"))
        paths.add(target)
        if name in mounted:
            errors.append(invalid(where.child("name"), name, "must not already exist in volumeMounts"))
    return errors
