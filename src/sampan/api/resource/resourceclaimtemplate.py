"""ResourceClaimTemplate: the claim that each pod which names it gets."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resource.device_requests import default_claim, validate_claim
from sampan.api.resources import RESOURCE_CLAIM_TEMPLATES
from sampan.api.strategy import ensure
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.object import Object, dig


def default(obj: Object) -> None:
    default_claim(ensure(ensure(obj, "spec"), "spec"))


def validate(obj: Object) -> list[FieldError]:
    return validate_claim(dig(obj, "spec", "spec", default={}), Path("spec").child("spec"))


def validate_update(new: Object, old: Object) -> list[FieldError]:
    if new.get("spec") == old.get("spec"):
        return []
    return [invalid(Path("spec"), new.get("spec"), "field is immutable")]


RESOURCE_CLAIM_TEMPLATE = Kind(
    resource=RESOURCE_CLAIM_TEMPLATES,
    definition="io.k8s.api.resource.v1.ResourceClaimTemplate",
    singular="resourceclaimtemplate",
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=NAME_AND_AGE,
)
