"""MutatingAdmissionPolicyBinding: where a policy applies, and with which parameters."""

from __future__ import annotations

from sampan.api.admissionregistration.policies import BINDING_COLUMNS, default_binding, validate_binding
from sampan.api.kind import Kind
from sampan.api.resources import MUTATING_ADMISSION_POLICY_BINDINGS
from sampan.api.strategy import count_generation, start_generation

MUTATING_ADMISSION_POLICY_BINDING = Kind(
    resource=MUTATING_ADMISSION_POLICY_BINDINGS,
    definition="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
    singular="mutatingadmissionpolicybinding",
    categories=("api-extensions",),
    default=default_binding,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate_binding(actions=False),
    columns=BINDING_COLUMNS,
)
