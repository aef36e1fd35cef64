"""ClusterRoleBinding: who has a cluster role everywhere."""

from __future__ import annotations

from sampan.api.kind import Kind
from sampan.api.rbac.bindings import columns, default, validate_binding, validate_update
from sampan.api.resources import CLUSTER_ROLE_BINDINGS
from sampan.apimachinery.field import FieldError
from sampan.apimachinery.names import path_segment_name
from sampan.apimachinery.object import Object


def validate(obj: Object) -> list[FieldError]:
    return validate_binding(obj, ("ClusterRole",), namespaced=False)


CLUSTER_ROLE_BINDING = Kind(
    resource=CLUSTER_ROLE_BINDINGS,
    definition="io.k8s.api.rbac.v1.ClusterRoleBinding",
    singular="clusterrolebinding",
    default=default,
    validate=validate,
    validate_update=validate_update,
    valid_name=path_segment_name,
    columns=columns("ClusterRoleBinding"),
)
