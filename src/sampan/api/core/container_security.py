"""Rules of security contexts: of a container, and the parts that pods have too."""

from __future__ import annotations

from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.names import user_id
from sampan.apimachinery.object import Object

_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_PROC_MOUNTS = ("Default", "Unmasked")


def validate_user(context: Object, key: str, path: Path) -> list[FieldError]:
    value = context.get(key)
    return [] if value is None else [invalid(path.child(key), value, why) for why in user_id(value)]


def validate_container_security(context: Object | None, path: Path, host_users: bool = True) -> list[FieldError]:
    if not context:
        return []
    errors = validate_user(context, "runAsUser", path) + validate_user(context, "runAsGroup", path)
    proc = context.get("procMount")
    if proc is not None:
        if proc not in _PROC_MOUNTS:
            errors.append(not_supported(path.child("procMount"), proc, _PROC_MOUNTS))
        elif proc == "Unmasked" and host_users:
            errors.append(invalid(path.child("procMount"), proc, "`hostUsers` must be false to use `Unmasked`"))
    errors += validate_profile(context.get("seccompProfile"), path.child("seccompProfile"))
    errors += validate_profile(context.get("appArmorProfile"), path.child("appArmorProfile"))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            errors.append(invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to "
                                                 "true"))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or []):
            errors.append(invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and "
                                                 "`capabilities.Add` CAP_SYS_ADMIN"))
    return errors


def validate_profile(profile: Object | None, path: Path) -> list[FieldError]:
    """A seccomp or AppArmor profile: one of three types, `localhostProfile` with Localhost only."""
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    where = path.child("localhostProfile")
    if not kind:
        return [required(path.child("type"), "type is required when seccompProfile is set"
                         if path.text.endswith("seccompProfile") else "type is required when appArmorProfile is set")]
    if kind not in _PROFILES:
        return [not_supported(path.child("type"), kind, _PROFILES)]
    if kind != "Localhost":
        if local is None:
            return []
        if path.text.endswith("appArmorProfile"):
            return [forbidden(where, "can only be set when type is Localhost")]
        return [invalid(where, local, "can only be set when seccomp type is Localhost")]
    if not local:
        return [required(where, "must be set when seccomp type is Localhost"
                         if path.text.endswith("seccompProfile") else "must be set when AppArmor type is Localhost")]
    if path.text.endswith("seccompProfile"):
        if local.startswith("/"):
            return [invalid(where, local, "must be a relative path")]
        if ".." in local.split("/"):
            return [invalid(where, local, "must not contain '..'")]
    return []
