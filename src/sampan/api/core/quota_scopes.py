"""Which objects a ResourceQuota with scopes counts.

Without scopes it counts everything that its limits name. With some, by `scopes` or by `scopeSelector`, it counts only
what is in all of them: pods, by how long they may live, what they ask for, how important they are and whether they look
at other namespaces; and claims, by their VolumeAttributesClass (the one asked for, the one in effect, the one on its
way). Objects of other kinds are in no scope.
"""

from __future__ import annotations

from collections.abc import Collection

from sampan.api.core.qos import qos_class
from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.resource import Resource


def scopes_of(quota: Object) -> list[Object]:
    """The scopes of a quota as it may state them in its `scopeSelector`."""
    listed = [{"scopeName": scope, "operator": "Exists"} for scope in dig(quota, "spec", "scopes", default=())]
    return listed + list(dig(quota, "spec", "scopeSelector", "matchExpressions", default=()))


def in_scope(quota: Object, resource: Resource, obj: Object) -> bool:
    """Whether a quota counts this object: one with scopes counts only pods, or claims, that are in all of them."""
    return all(matches(scope, resource, obj) for scope in scopes_of(quota))


def matches(scope: Object, resource: Resource, obj: Object) -> bool:
    """Whether an object is in one scope."""
    name, operator, values = scope.get("scopeName", ""), scope.get("operator", ""), scope.get("values") or ()
    if (resource.group, resource.plural) == ("", "persistentvolumeclaims"):
        return _claim_in(name, operator, values, obj)
    return (resource.group, resource.plural) == ("", "pods") and _in(name, operator, values, obj)


def _in(scope: str, operator: str, values: Collection[str], pod: Object) -> bool:
    spec = pod.get("spec") or {}
    if scope in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) == (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        return (qos_class(pod) == "BestEffort") == (scope == "BestEffort")
    if scope == "PriorityClass":
        return _asked_for({spec["priorityClassName"]} if spec.get("priorityClassName") else set(), operator, values)
    return scope == "CrossNamespacePodAffinity" and _looks_elsewhere(spec)


def _claim_in(scope: str, operator: str, values: Collection[str], claim: Object) -> bool:
    names = (
        dig(claim, "spec", "volumeAttributesClassName"), dig(claim, "status", "currentVolumeAttributesClassName"),
        dig(claim, "status", "modifyVolumeStatus", "targetVolumeAttributesClassName"),
    )
    return scope == "VolumeAttributesClass" and _asked_for({name for name in names if name}, operator, values)


def _asked_for(names: set[str], operator: str, values: Collection[str]) -> bool:
    """Whether one of the names is asked for; none is in no list."""
    listed, others = not names.isdisjoint(values), not names or not names <= set(values)
    return {"Exists": bool(names), "DoesNotExist": not names, "In": listed, "NotIn": others}.get(operator, False)


def _looks_elsewhere(spec: Object) -> bool:
    """Whether an affinity term of the pod is about pods of other namespaces."""
    for kind in ("podAffinity", "podAntiAffinity"):
        found = dig(spec, "affinity", kind, default={})
        terms = list(found.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = found.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [one.get("podAffinityTerm") or {} for one in preferred]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False
