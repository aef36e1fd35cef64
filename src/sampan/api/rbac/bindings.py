"""What RoleBinding and ClusterRoleBinding share: defaults, rules and columns of a role reference and its subjects."""

from __future__ import annotations

import functools
from datetime import datetime

from sampan.api.columns import AGE, NAME
from sampan.api.kind import Column
from sampan.api.strategy import ensure
from sampan.apimachinery.field import FieldError, Path, invalid, not_supported, required
from sampan.apimachinery.names import dns1123_subdomain, path_segment_name
from sampan.apimachinery.object import Object, dig

RBAC_GROUP = "rbac.authorization.k8s.io"
_GROUP_OF_SUBJECT = {"ServiceAccount": "", "User": RBAC_GROUP, "Group": RBAC_GROUP}


def default(obj: Object) -> None:
    """Role references and user and group subjects are in the RBAC group."""
    reference = ensure(obj, "roleRef")
    if not reference.get("apiGroup"):
        reference["apiGroup"] = RBAC_GROUP
    for subject in obj.get("subjects") or []:
        group = _GROUP_OF_SUBJECT.get(subject.get("kind", ""))
        if group and not subject.get("apiGroup"):
            subject["apiGroup"] = group


def validate_binding(obj: Object, role_kinds: tuple[str, ...], namespaced: bool) -> list[FieldError]:
    reference, path = obj.get("roleRef") or {}, Path("roleRef")
    errors: list[FieldError] = []
    if reference.get("apiGroup") != RBAC_GROUP:
        errors.append(not_supported(path.child("apiGroup"), reference.get("apiGroup", ""), [RBAC_GROUP]))
    if reference.get("kind") not in role_kinds:
        errors.append(not_supported(path.child("kind"), reference.get("kind", ""), role_kinds))
    name = reference.get("name") or ""
    if not name:
        errors.append(required(path.child("name")))
    else:
        errors += [invalid(path.child("name"), name, why) for why in path_segment_name(name)]
    for position, subject in enumerate(obj.get("subjects") or []):
        errors += _subject(subject, namespaced, Path("subjects").index(position))
    return errors


def _subject(subject: Object, namespaced: bool, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    name, kind, group = subject.get("name") or "", subject.get("kind") or "", subject.get("apiGroup") or ""
    if not name:
        errors.append(required(path.child("name")))
    if kind not in _GROUP_OF_SUBJECT:
        return [*errors, not_supported(path.child("kind"), kind, _GROUP_OF_SUBJECT)]
    if kind == "ServiceAccount" and name:
        errors += [invalid(path.child("name"), name, why) for why in dns1123_subdomain(name)]
    if group != _GROUP_OF_SUBJECT[kind]:
        errors.append(not_supported(path.child("apiGroup"), group, [_GROUP_OF_SUBJECT[kind]]))
    if kind == "ServiceAccount" and not namespaced and not subject.get("namespace"):
        errors.append(required(path.child("namespace")))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    if new.get("roleRef") == old.get("roleRef"):
        return []
    return [invalid(Path("roleRef"), new.get("roleRef"), "cannot change roleRef")]


def role_text(obj: Object, now: datetime) -> str:
    return f"{dig(obj, 'roleRef', 'kind', default='')}/{dig(obj, 'roleRef', 'name', default='')}"


def _subjects(kind: str, obj: Object) -> str:
    found = [subject for subject in obj.get("subjects") or [] if subject.get("kind") == kind]
    if kind == "ServiceAccount":
        return ", ".join(f"{subject.get('namespace', '')}/{subject.get('name', '')}" for subject in found)
    return ", ".join(subject.get("name", "") for subject in found)


def columns(name: str) -> tuple[Column, ...]:
    """The table of RoleBindings or ClusterRoleBindings."""
    kind = name[0].lower() + name[1:]

    def of(subject: str) -> Column:
        cell = functools.partial(_subjects, subject)
        return Column(f"{subject}s", "string", lambda obj, now: cell(obj), f"{subject}s in the {kind}", priority=1)

    return (
        NAME, Column("Role", "string", role_text, doc=f"rbac.v1.{name}#roleRef"), AGE,
        of("User"), of("Group"), of("ServiceAccount"),
    )
