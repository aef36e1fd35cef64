"""ResourceList maps (`cpu: 500m`): canonical quantities, defaults of requests, and the rules of limits and requests.

A quantity is stored in its canonical form, as upstream does by decoding and encoding it: `1000m` becomes `1`. Finer
than a thousandth rounds up. Text that is no quantity is left alone; the structural schema refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sampan.apimachinery.field import FieldError, Path, duplicate, forbidden, invalid, not_supported, required
from sampan.apimachinery.names import qualified_name
from sampan.apimachinery.object import Object
from sampan.apimachinery.quantity import Quantity, QuantityError

_CONTAINER_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})
_MILLI_SCALE = -3
_NATIVE = "kubernetes.io/"
_RESTART_POLICIES = ("NotRequired", "RestartContainer")


def parse(value: Any) -> Quantity | None:
    """The quantity, or None when the value is none."""
    if value is None:
        return None
    try:
        return Quantity.parse(value)
    except QuantityError:
        return None


def canonicalise(resources: Object | None) -> None:
    """Every quantity of a ResourceList in its canonical form, at most three decimals."""
    for name, value in (resources or {}).items():
        found = parse(value)
        if found is not None and resources is not None:
            resources[name] = str(found.rounded_up(_MILLI_SCALE))


def canonicalise_field(parent: Object, key: str) -> None:
    """The same for a single quantity."""
    found = parse(parent.get(key))
    if found is not None:
        parent[key] = str(found)


def canonicalise_requirements(requirements: Object | None) -> None:
    if requirements:
        canonicalise(requirements.get("limits"))
        canonicalise(requirements.get("requests"))


def requests_from_limits(requirements: Object | None) -> None:
    """What has a limit and no request asks for its limit."""
    limits = (requirements or {}).get("limits")
    if requirements is not None and limits:
        requests = requirements.get("requests")
        if not isinstance(requests, dict):
            requests = requirements["requests"] = {}
        for name, value in limits.items():
            if requests.get(name) is None:
                requests[name] = value


def is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def is_extended(name: str) -> bool:
    """A resource outside Kubernetes' own namespace, such as `nvidia.com/gpu`: whole numbers, never overcommitted."""
    return "/" in name and _NATIVE not in name and not name.startswith("requests.") and not qualified_name(
        f"requests.{name}")


def validate_quantity(name: str, value: Any, path: Path) -> list[FieldError]:
    found = parse(value)
    if found is None:
        return []
    if found.sign() < 0:
        return [invalid(path, str(found), "must be greater than or equal to 0")]
    if is_extended(name) and found.milli_value % 1000:
        return [invalid(path, str(found), "must be an integer")]
    return []


def validate_list(resources: Object | None, path: Path) -> list[FieldError]:
    """Names and amounts of a list that may hold any resource (quota, capacity)."""
    errors: list[FieldError] = []
    for name, value in (resources or {}).items():
        errors += [invalid(path.key(name), name, why) for why in qualified_name(name)]
        errors += validate_quantity(name, value, path.key(name))
    return errors


def _container_resource(name: str, path: Path) -> list[FieldError]:
    wrong = [invalid(path, name, why) for why in qualified_name(name)]
    if wrong:
        return wrong
    if "/" not in name:
        if name not in _CONTAINER_RESOURCES and not is_huge_page(name):
            return [invalid(path, name, "must be a standard resource for containers")]
    elif _NATIVE not in name and not is_extended(name):
        return [invalid(path, name, "doesn't follow extended resource name standard")]
    return []


def validate_requirements(requirements: Object | None, path: Path, claims: Iterable[str] = ()) -> list[FieldError]:
    """A container's limits and requests; `claims` are the names of the pod's resource claims."""
    if not requirements:
        return []
    limits, requests = requirements.get("limits") or {}, requirements.get("requests") or {}
    errors: list[FieldError] = []
    for key, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            where = path.child(key).key(name)
            errors += _container_resource(name, where)
            errors += validate_quantity(name, value, where)
    errors += _within_limits(requests, limits, path)
    huge = any(is_huge_page(name) for name in (*limits, *requests))
    if huge and not any(name in limits or name in requests for name in ("cpu", "memory")):
        errors.append(forbidden(path, "HugePages require cpu or memory"))
    known = set(claims)
    for position, claim in enumerate(requirements.get("claims") or []):
        where = path.child("claims").index(position).child("name")
        if not claim.get("name"):
            errors.append(required(where))
        elif claim["name"] not in known:
            errors.append(invalid(where, claim["name"], "must be one of the names in pod.spec.resourceClaims"))
    return errors


def _within_limits(requests: Object, limits: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, value in requests.items():
        request, limit = parse(value), parse(limits.get(name))
        fixed = is_extended(name) or is_huge_page(name)
        if request is None:
            continue
        if limit is None:
            if fixed:
                errors.append(required(path.child("limits"), "Limit must be set for non overcommitable resources"))
        elif fixed and request != limit:
            errors.append(invalid(path.child("requests"), str(request), f"must be equal to {name} limit of {limit}"))
        elif request > limit:
            errors.append(invalid(path.child("requests"), str(request),
                                  f"must be less than or equal to {name} limit of {limit}"))
    return errors


def validate_resize_policy(policies: list[Object] | None, path: Path, restart_policy: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, policy in enumerate(policies or []):
        where = path.index(position)
        name, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            errors.append(duplicate(where, name))
        seen.add(name)
        if name not in ("cpu", "memory"):
            errors.append(not_supported(where, name, ("cpu", "memory")))
        if restart not in _RESTART_POLICIES:
            errors.append(not_supported(where, restart, _RESTART_POLICIES))
        elif restart == "RestartContainer" and restart_policy == "Never":
            errors.append(invalid(where, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'"))
    return errors
