"""Lease: who holds something, since when and for how long: leader elections and node heartbeats."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import LEASES
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid
from sampan.apimachinery.object import Object


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = []
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if duration is not None and duration <= 0:
        errors.append(invalid(path.child("leaseDurationSeconds"), duration, "must be greater than 0"))
    if transitions is not None and transitions < 0:
        errors.append(invalid(path.child("leaseTransitions"), transitions, "must be greater than or equal to 0"))
    if spec.get("preferredHolder") and not spec.get("strategy"):
        errors.append(forbidden(path.child("preferredHolder"), "may only be specified if `strategy` is defined"))
    return errors


LEASE = Kind(
    resource=LEASES,
    definition="io.k8s.api.coordination.v1.Lease",
    singular="lease",
    validate=validate,
    columns=(
        NAME,
        Column("Holder", "string", at("spec", "holderIdentity"), doc="coordination.v1.LeaseSpec#holderIdentity"),
        AGE,
    ),
)
