"""What PodGroup and the templates of a Workload share: policy, constraints, disruption, priority, claims."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.scheduling.priorityclass import HIGHEST_USER_PRIORITY
from sampan.apimachinery.field import FieldError, Path, duplicate, invalid, not_supported, required, too_many
from sampan.apimachinery.names import dns1123_label, dns1123_subdomain, qualified_name
from sampan.apimachinery.object import Object

MOST_CLAIMS = 4
MOST_TOPOLOGIES = 1
_PREEMPTION = ("Never", "PreemptLowerPriority")


def validate_group(spec: Object, path: Path, *, count: str = "minCount") -> list[FieldError]:
    """All rules of a group's spec. `count` is the gang policy's field: composite groups count groups."""
    return [
        *_policy(spec.get("schedulingPolicy") or {}, path.child("schedulingPolicy"), count),
        *_topologies((spec.get("schedulingConstraints") or {}).get("topology") or [],
                     path.child("schedulingConstraints", "topology")),
        *_disruption(spec.get("disruptionMode"), path.child("disruptionMode")),
        *_priority(spec, path),
        *_claims(spec.get("resourceClaims") or [], path.child("resourceClaims")),
    ]


def one_of(value: Object, path: Path, members: Sequence[str]) -> list[FieldError]:
    """Exactly one of the members of a union must be set."""
    chosen = [member for member in members if value.get(member) is not None]
    named = ", ".join(f"`{member}`" for member in members)
    if not chosen:
        return [invalid(path, "", f"must specify one of: {named}")]
    if len(chosen) > 1:
        shown = "{" + ", ".join(f"{member}" for member in chosen) + "}"
        return [invalid(path, shown, f"must specify exactly one of: {named}")]
    return []


def label(value: str | None, path: Path) -> list[FieldError]:
    """A name that must be there and be a DNS label."""
    if not value:
        return [required(path)]
    return [invalid(path, value, why) for why in dns1123_label(value)]


def subdomain(value: str | None, path: Path) -> list[FieldError]:
    """A name that must be there and be a DNS subdomain."""
    if not value:
        return [required(path)]
    return [invalid(path, value, why) for why in dns1123_subdomain(value)]


def same_choice(new: Object, old: Object, path: Path) -> list[FieldError]:
    """A policy keeps its kind; only the gang's count may change."""
    return [
        invalid(path.child(member), new.get(member), "field is immutable")
        for member in ("basic", "gang") if (new.get(member) is None) != (old.get(member) is None)
    ]


def _policy(policy: Object, path: Path, count: str) -> list[FieldError]:
    errors = one_of(policy, path, ("basic", "gang"))
    gang = policy.get("gang")
    if errors or gang is None:
        return errors
    wanted, at = gang.get(count) or 0, path.child("gang", count)
    if not wanted:
        return [required(at)]
    return [invalid(at, wanted, "must be greater than or equal to 1")] if wanted < 1 else []


def _topologies(constraints: Sequence[Object], path: Path) -> list[FieldError]:
    if len(constraints) > MOST_TOPOLOGIES:
        return [too_many(path, len(constraints), MOST_TOPOLOGIES)]
    errors: list[FieldError] = []
    for position, constraint in enumerate(constraints):
        key, at = constraint.get("key") or "", path.index(position).child("key")
        errors += [invalid(at, key, why) for why in qualified_name(key)] if key else [required(at)]
    return errors


def _disruption(mode: Object | None, path: Path) -> list[FieldError]:
    return [] if mode is None else one_of(mode, path, ("all", "single"))


def _priority(spec: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    name, priority, policy = spec.get("priorityClassName"), spec.get("priority"), spec.get("preemptionPolicy")
    if name:
        errors += [invalid(path.child("priorityClassName"), name, why) for why in dns1123_subdomain(name)]
    if priority is not None and priority > HIGHEST_USER_PRIORITY and not (name or "").startswith("system-"):
        detail = f"must be less than or equal to {HIGHEST_USER_PRIORITY}"
        errors.append(invalid(path.child("priority"), priority, detail))
    if policy is not None and policy not in _PREEMPTION:
        errors.append(not_supported(path.child("preemptionPolicy"), policy, _PREEMPTION))
    return errors


def _claims(claims: Sequence[Object], path: Path) -> list[FieldError]:
    if len(claims) > MOST_CLAIMS:
        return [too_many(path, len(claims), MOST_CLAIMS)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, claim in enumerate(claims):
        at = path.index(position)
        errors += label(claim.get("name"), at.child("name"))
        if claim.get("name") in seen:
            errors.append(duplicate(at, claim))
        seen.add(claim.get("name") or "")
        errors += one_of(claim, at, ("resourceClaimName", "resourceClaimTemplateName"))
        for member in ("resourceClaimName", "resourceClaimTemplateName"):
            if claim.get(member):
                errors += subdomain(claim[member], at.child(member))
    return errors
