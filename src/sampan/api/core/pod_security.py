"""Rules of a pod's own security context."""

from __future__ import annotations

import re

from sampan.api.core.container_security import validate_profile, validate_user
from sampan.apimachinery.field import FieldError, Path, duplicate, invalid, not_supported, required
from sampan.apimachinery.names import user_id
from sampan.apimachinery.object import Object

_SYSCTL = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*")
_SYSCTL_PATTERN = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
_CHANGE_POLICIES = ("Always", "OnRootMismatch")
_GROUP_POLICIES = ("Merge", "Strict")


def validate_pod_security(spec: Object, path: Path) -> list[FieldError]:
    context, where = spec.get("securityContext") or {}, path.child("securityContext")
    errors: list[FieldError] = []
    for key in ("fsGroup", "runAsUser", "runAsGroup"):
        errors += validate_user(context, key, where)
    for position, group in enumerate(context.get("supplementalGroups") or []):
        errors += [invalid(where.child("supplementalGroups").index(position), group, why) for why in user_id(group)]
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        errors.append(invalid(path.child("shareProcessNamespace"), True,
                              "ShareProcessNamespace and HostPID cannot both be enabled"))
    errors += _sysctls(context.get("sysctls") or [], where.child("sysctls"))
    for key, allowed in (("fsGroupChangePolicy", _CHANGE_POLICIES), ("supplementalGroupsPolicy", _GROUP_POLICIES)):
        if context.get(key) not in (None, *allowed):
            errors.append(not_supported(where.child(key), context[key], allowed))
    errors += validate_profile(context.get("seccompProfile"), where.child("seccompProfile"))
    return errors + validate_profile(context.get("appArmorProfile"), where.child("appArmorProfile"))


def _sysctls(sysctls: list[Object], path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for position, sysctl in enumerate(sysctls):
        where, name = path.index(position).child("name"), sysctl.get("name") or ""
        if not name:
            errors.append(required(where))
        elif len(name) > 253 or not _SYSCTL.fullmatch(name):
            errors.append(invalid(where, name, f"must have at most 253 characters and match regex {_SYSCTL_PATTERN}"))
        elif name in names:
            errors.append(duplicate(where, name))
        names.add(name)
    return errors
