"""PodGroup: pods that are scheduled together, all or none of them, perhaps in one place (KEP-4671, KEP-5732)."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME
from sampan.api.kind import Column, Kind
from sampan.api.resources import POD_GROUPS
from sampan.api.scheduling.group_rules import label, same_choice, subdomain, validate_group
from sampan.api.strategy import drop_status, keep_status, status_alone
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.object import Object, dig

_IMMUTABLE = (
    "workloadRef", "parentCompositePodGroupName", "schedulingConstraints", "disruptionMode", "priorityClassName",
    "priority", "preemptionPolicy", "resourceClaims",
)


def default(obj: Object) -> None:
    """Members of a group are disrupted one by one unless the group says otherwise."""
    spec = obj.get("spec")
    if isinstance(spec, dict) and spec.get("disruptionMode") is None:
        spec["disruptionMode"] = {"single": {}}


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = validate_group(spec, path)
    reference = spec.get("workloadRef")
    if reference is not None:
        at = path.child("workloadRef")
        errors += subdomain(reference.get("workloadName"), at.child("workloadName"))
        errors += label(reference.get("templateName"), at.child("templateName"))
    parent = spec.get("parentCompositePodGroupName")
    return errors + (subdomain(parent, path.child("parentCompositePodGroupName")) if parent is not None else [])


def validate_update(new: Object, old: Object) -> list[FieldError]:
    after, before, path = new.get("spec") or {}, old.get("spec") or {}, Path("spec")
    errors = [
        invalid(path.child(name), after.get(name), "field is immutable")
        for name in _IMMUTABLE if after.get(name) != before.get(name)
    ]
    policy = path.child("schedulingPolicy")
    return errors + same_choice(after.get("schedulingPolicy") or {}, before.get("schedulingPolicy") or {}, policy)


def policy(obj: Object, now: datetime) -> str:
    """`Basic` or `Gang`."""
    return "Gang" if dig(obj, "spec", "schedulingPolicy", "gang") is not None else "Basic"


def status(obj: Object, now: datetime) -> str:
    """What the scheduler last said: `Scheduled`, why not, or nothing yet."""
    for condition in dig(obj, "status", "conditions", default=[]):
        if condition.get("type") == "PodGroupInitiallyScheduled":
            return "Scheduled" if condition.get("status") == "True" else str(condition.get("reason") or "")
    return ""


POD_GROUP = Kind(
    resource=POD_GROUPS,
    definition="io.k8s.api.scheduling.v1beta1.PodGroup",
    singular="podgroup",
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        Column("Policy", "string", policy, "How the pods of the group are scheduled."),
        Column("Status", "string", status, "Whether the group has been scheduled."),
        AGE,
    ),
    subresources=status_alone(),
)
