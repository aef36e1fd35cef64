"""ResourceClaim: devices that one or more pods use."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME
from sampan.api.kind import Column, Kind
from sampan.api.resource.device_requests import default_claim, validate_claim
from sampan.api.resources import RESOURCE_CLAIMS
from sampan.api.strategy import drop_status, ensure, keep_status, status_alone
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.object import Object, dig, is_being_deleted


def default(obj: Object) -> None:
    default_claim(ensure(obj, "spec"))


def validate(obj: Object) -> list[FieldError]:
    return validate_claim(obj.get("spec") or {}, Path("spec"))


def validate_update(new: Object, old: Object) -> list[FieldError]:
    if new.get("spec") == old.get("spec"):
        return []
    return [invalid(Path("spec"), new.get("spec"), "field is immutable")]


def state(obj: Object, now: datetime) -> str:
    """`pending`, `allocated`, `allocated,reserved`, with `deleted` in front when that has been asked for."""
    states = ["deleted"] if is_being_deleted(obj) else []
    if dig(obj, "status", "allocation") is None:
        states += [] if states else ["pending"]
    else:
        states.append("allocated")
        if dig(obj, "status", "reservedFor"):
            states.append("reserved")
    return ",".join(states)


RESOURCE_CLAIM = Kind(
    resource=RESOURCE_CLAIMS,
    definition="io.k8s.api.resource.v1.ResourceClaim",
    singular="resourceclaim",
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("State", "string", state,
               "A summary of the current state (allocated, pending, reserved, etc.)."), AGE),
    subresources=status_alone(),
)
