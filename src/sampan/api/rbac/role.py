"""Role: what may be done in one namespace."""

from __future__ import annotations

from sampan.api.columns import CREATED_AT, NAME
from sampan.api.kind import Kind
from sampan.api.rbac.rules import validate_rules
from sampan.api.resources import ROLES
from sampan.apimachinery.field import FieldError
from sampan.apimachinery.names import path_segment_name
from sampan.apimachinery.object import Object


def validate(obj: Object) -> list[FieldError]:
    return validate_rules(obj.get("rules"), namespaced=True)


ROLE = Kind(
    resource=ROLES,
    definition="io.k8s.api.rbac.v1.Role",
    singular="role",
    validate=validate,
    valid_name=path_segment_name,
    columns=(NAME, CREATED_AT),
)
