"""How an object goes: at once, gracefully, or when its finalizers are done. Pure decisions; `writing` carries them out.

Source: upstream's registry/generic/registry/store.go and registry/rest/delete.go.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sampan.api.kind import Kind
from sampan.apimachinery import errors
from sampan.apimachinery.duration import format_time, parse_time
from sampan.apimachinery.field import FieldError, Path, invalid, not_supported
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apiserver.registry import system_metadata
from sampan.apiserver.registry.system_metadata import LONGEST_GRACE_S

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
DELETE_OPTIONS = Resource("meta.k8s.io", "v1", "deleteoptions", "DeleteOptions")
_ORPHANS_BY_DEFAULT: Final = frozenset({("", "replicationcontrollers"), ("batch", "jobs")})
_NOT_COLLECTED: Final = frozenset({("", "events"), ("events.k8s.io", "events")})
_POLICIES: Final = ("Foreground", "Background", "Orphan")


class Outcome(enum.Enum):
    REMOVE = "remove"
    UPDATE = "update"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Decision:
    """REMOVE the key, UPDATE it with `obj`, or leave it, because its deletion is already on its way (PENDING)."""

    outcome: Outcome
    obj: Object


def check_options(options: Object) -> None:
    """Raises Invalid for options that contradict each other."""
    policy, orphan = options.get("propagationPolicy"), options.get("orphanDependents")
    found: list[FieldError] = []
    if policy is not None and orphan is not None:
        message = "orphanDependents and deletionPropagation cannot be both set"
        found.append(invalid(Path("propagationPolicy"), policy, message))
    if policy is not None and policy not in _POLICIES:
        found.append(not_supported(Path("propagationPolicy"), policy, (*_POLICIES, "nil")))
    if found:
        raise errors.invalid(DELETE_OPTIONS, "", found)


def check_preconditions(resource: Resource, obj: Object, options: Object) -> None:
    """Raises Conflict unless uid and resourceVersion are those that the client demands."""
    wanted = options.get("preconditions") or {}
    metadata = obj["metadata"]
    for key, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        expected = wanted.get(key)
        found = metadata.get(key)
        if expected is not None and expected != found:
            why = f"Precondition failed: {label} in precondition: {expected}, {label} in object meta: {found}"
            raise errors.conflict(resource, metadata["name"], why)


def decide(kind: Kind, obj: Object, options: Object) -> Decision:
    """What deleting `obj` (a copy of one's own) means now."""
    metadata = obj["metadata"]
    grace = _grace(kind, obj, options)
    if metadata.get("deletionTimestamp"):
        return _already_going(obj, grace, options)
    if kind.prepare_delete is not None:
        kind.prepare_delete(obj)
    finalizers = _finalizers(kind, metadata, options)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    if grace:
        system_metadata.mark_deleted(obj, grace)
        return Decision(Outcome.UPDATE, obj)
    if finalizers or holds_contents(kind, obj):
        system_metadata.mark_deleted(obj, 0)
        if kind.resource.plural == "namespaces":
            obj.setdefault("status", {})["phase"] = "Terminating"
        return Decision(Outcome.UPDATE, obj)
    return Decision(Outcome.REMOVE, obj)


def holds_contents(kind: Kind, obj: Object) -> bool:
    """A namespace whose contents are not deleted yet: `spec.finalizers` names who sees to it."""
    resource = kind.resource
    if resource.group or resource.plural != "namespaces":
        return False
    return bool((obj.get("spec") or {}).get("finalizers"))


def _already_going(obj: Object, grace: int | None, options: Object) -> Decision:
    metadata = obj["metadata"]
    existing = metadata.get("deletionGracePeriodSeconds")
    if existing and options.get("gracePeriodSeconds") is not None and grace is not None and grace < existing:
        sooner_s = min(existing, LONGEST_GRACE_S) - min(grace, LONGEST_GRACE_S)
        due = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=sooner_s)
        metadata["deletionTimestamp"] = format_time(due)
        metadata["deletionGracePeriodSeconds"] = grace
        if not grace and not metadata.get("finalizers"):
            return Decision(Outcome.REMOVE, obj)
        return Decision(Outcome.UPDATE, obj)
    return Decision(Outcome.PENDING, obj)


def _grace(kind: Kind, obj: Object, options: Object) -> int | None:
    """Seconds of grace; None where the kind knows none."""
    if kind.default_grace_period_s is None:
        return None
    asked = options.get("gracePeriodSeconds")
    status, spec = obj.get("status") or {}, obj.get("spec") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    seconds = kind.default_grace_period_s(obj) if asked is None else int(asked)
    return 1 if seconds < 0 else seconds


def _finalizers(kind: Kind, metadata: Object, options: Object) -> list[str]:
    """The finalizers that the propagation policy leaves."""
    existing: list[str] = metadata.get("finalizers") or []
    where = (kind.resource.group, kind.resource.plural)
    if where in _NOT_COLLECTED:
        return existing
    kept = [item for item in existing if item not in (ORPHAN, FOREGROUND)]
    if _orphan(where, existing, options):
        kept.append(ORPHAN)
    if _foreground(existing, options):
        kept.append(FOREGROUND)
    return kept


def _orphan(where: tuple[str, str], existing: list[str], options: Object) -> bool:
    policy, orphan = options.get("propagationPolicy"), options.get("orphanDependents")
    if orphan is not None:
        return bool(orphan)
    if policy is not None:
        return bool(policy == "Orphan")
    if ORPHAN in existing:
        return True
    return FOREGROUND not in existing and where in _ORPHANS_BY_DEFAULT


def _foreground(existing: list[str], options: Object) -> bool:
    policy, orphan = options.get("propagationPolicy"), options.get("orphanDependents")
    if policy is not None:
        return bool(policy == "Foreground")
    if orphan is not None:
        return False
    return FOREGROUND in existing


def finished(kind: Kind, new: Object, old: Object) -> bool:
    """Whether an update completes a deletion: it was only waiting for finalizers, and none is left."""
    before = old["metadata"]
    if not before.get("deletionTimestamp") or new["metadata"].get("finalizers"):
        return False
    grace: Any = before.get("deletionGracePeriodSeconds")
    return not grace and not holds_contents(kind, new)

