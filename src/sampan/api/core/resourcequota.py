"""ResourceQuota: how much a namespace may use."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sampan.api.columns import AGE, NAME
from sampan.api.core.resource_lists import canonicalise, parse
from sampan.api.kind import Column, Kind
from sampan.api.resources import RESOURCE_QUOTAS
from sampan.api.strategy import drop_status, keep_status, status_subresource
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.metadata import immutable
from sampan.apimachinery.names import qualified_name
from sampan.apimachinery.object import Object, dig

_STANDARD = frozenset({
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage",
    "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas",
    "services", "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps", "services.nodeports",
    "services.loadbalancers",
})
_INTEGER = frozenset({
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers",
})
_SCOPES = frozenset({
    "Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
})
_POD_RESOURCES = frozenset({
    "pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory",
})
_SCOPED = {
    "BestEffort": frozenset({"pods"}),
    **dict.fromkeys(("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity"),
                    _POD_RESOURCES),
}
"""What a scope can be counted for."""
_PLAIN = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_MISAPPLIED = "unsupported scope applied to resource"
_ONLY_EXISTS = (
    "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_EXCLUSIVE = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))


def default(obj: Object) -> None:
    canonicalise(dig(obj, "spec", "hard"))
    canonicalise(dig(obj, "status", "hard"))
    canonicalise(dig(obj, "status", "used"))


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = _amounts(spec.get("hard") or {}, path.child("hard"))
    scopes = spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            errors.append(invalid(path.child("scopes"), scopes, "unsupported scope"))
        errors += [invalid(path.child("scopes"), scopes, _MISAPPLIED) for _ in _not_for(scope, spec)]
    errors += _conflicts(scopes, path.child("scopes"), scopes)
    errors += _selector(spec, path.child("scopeSelector", "matchExpressions"))
    for field in ("hard", "used"):
        errors += _amounts(dig(obj, "status", field, default={}), Path("status").child(field))
    return errors


def _not_for(scope: str, spec: Object) -> list[str]:
    """What of the limits a scope cannot be counted for. Names of somebody else's resources and counts are in any."""
    wrong = _STANDARD - _SCOPED.get(scope, _STANDARD)
    return sorted(wrong.intersection(spec.get("hard") or {}))


def _conflicts(scopes: Iterable[str], path: Path, shown: object) -> list[FieldError]:
    return [invalid(path, shown, "conflicting scopes") for pair in _EXCLUSIVE if set(pair) <= set(scopes)]


def _selector(spec: Object, path: Path) -> list[FieldError]:
    rules = dig(spec, "scopeSelector", "matchExpressions", default=())
    errors: list[FieldError] = []
    for rule in rules:
        scope, operator, values = rule.get("scopeName", ""), rule.get("operator", ""), rule.get("values") or []
        if scope not in _SCOPES:
            errors.append(invalid(path.child("scopeName"), scope, "unsupported scope"))
        errors += [invalid(path, spec["scopeSelector"], _MISAPPLIED) for _ in _not_for(scope, spec)]
        if scope in _PLAIN and operator != "Exists":
            errors.append(invalid(path.child("operator"), operator, _ONLY_EXISTS))
        if operator in ("In", "NotIn"):
            if not values:
                text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errors.append(required(path.child("values"), text))
        elif operator not in ("Exists", "DoesNotExist"):
            errors.append(invalid(path.child("operator"), operator, "not a valid selector operator"))
        elif values:
            text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            errors.append(invalid(path.child("values"), values, text))
    return errors + _conflicts([rule.get("scopeName", "") for rule in rules], path, spec.get("scopes"))


def _amounts(amounts: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, value in amounts.items():
        where, amount = path.key(name), parse(value)
        wrong = qualified_name(name)
        errors += [invalid(where, name, why) for why in wrong]
        if not wrong and "/" not in name and name not in _STANDARD and not name.startswith(
                ("hugepages-", "requests.hugepages-", "count/")) and ".storageclass." not in name:
            errors.append(invalid(where, name, "must be a standard resource for quota"))
        if amount is not None and amount.sign() < 0:
            errors.append(invalid(where, str(amount), "must be greater than or equal to 0"))
        elif amount is not None and amount.milli_value % 1000 and (name in _INTEGER or name.startswith("count/")):
            errors.append(invalid(where, str(amount), "must be an integer"))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    after, before = dig(new, "spec", "scopes", default=[]), dig(old, "spec", "scopes", default=[])
    return immutable(sorted(after), sorted(before), Path("spec").child("scopes"))


def _used_of_hard(obj: Object, limits: bool) -> str:
    hard, used = dig(obj, "status", "hard", default={}), dig(obj, "status", "used", default={})
    return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard)
                     if name.startswith("limits.") is limits)


def request_text(obj: Object, now: datetime) -> str:
    return _used_of_hard(obj, limits=False)


def limit_text(obj: Object, now: datetime) -> str:
    return _used_of_hard(obj, limits=True)


RESOURCE_QUOTA = Kind(
    resource=RESOURCE_QUOTAS,
    definition="io.k8s.api.core.v1.ResourceQuota",
    singular="resourcequota",
    short_names=("quota",),
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        Column("Request", "string", request_text, "Request represents a minimum amount of cpu/memory that a container "
                                                  "may consume."),
        Column("Limit", "string", limit_text, "Limits control the maximum amount of cpu/memory that a container may "
                                              "use independent of contention on the node."),
        AGE,
    ),
    subresources=status_subresource(),
)
