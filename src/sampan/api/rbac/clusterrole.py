"""ClusterRole: what may be done in every namespace and on what has none; may gather the rules of others by label."""

from __future__ import annotations

from sampan.api.columns import CREATED_AT, NAME
from sampan.api.kind import Kind
from sampan.api.rbac.rules import validate_rules
from sampan.api.resources import CLUSTER_ROLES
from sampan.api.selector_rules import validate_label_selector
from sampan.apimachinery.field import FieldError, Path, required
from sampan.apimachinery.names import path_segment_name
from sampan.apimachinery.object import Object


def validate(obj: Object) -> list[FieldError]:
    errors = validate_rules(obj.get("rules"), namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is not None:
        path = Path("aggregationRule").child("clusterRoleSelectors")
        selectors = aggregation.get("clusterRoleSelectors") or []
        if not selectors:
            errors.append(required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
        for position, selector in enumerate(selectors):
            errors += validate_label_selector(selector, path.index(position))
    return errors


CLUSTER_ROLE = Kind(
    resource=CLUSTER_ROLES,
    definition="io.k8s.api.rbac.v1.ClusterRole",
    singular="clusterrole",
    validate=validate,
    valid_name=path_segment_name,
    columns=(NAME, CREATED_AT),
)
