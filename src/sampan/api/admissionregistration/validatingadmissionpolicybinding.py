"""ValidatingAdmissionPolicyBinding: where a policy applies, and with which parameters."""

from __future__ import annotations

from sampan.api.admissionregistration.policies import BINDING_COLUMNS, default_binding, validate_binding
from sampan.api.kind import Kind
from sampan.api.resources import VALIDATING_ADMISSION_POLICY_BINDINGS
from sampan.api.strategy import count_generation, start_generation

VALIDATING_ADMISSION_POLICY_BINDING = Kind(
    resource=VALIDATING_ADMISSION_POLICY_BINDINGS,
    definition="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    singular="validatingadmissionpolicybinding",
    categories=("api-extensions",),
    default=default_binding,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate_binding(actions=True),
    columns=BINDING_COLUMNS,
)
