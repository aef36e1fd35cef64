"""ValidatingAdmissionPolicy: CEL expressions that may refuse a write."""

from __future__ import annotations

from sampan.api.admissionregistration.policies import default_policy, policy_columns, validate_policy
from sampan.api.kind import Kind
from sampan.api.resources import VALIDATING_ADMISSION_POLICIES
from sampan.api.strategy import create_with_generation, status_alone, update_with_generation

VALIDATING_ADMISSION_POLICY = Kind(
    resource=VALIDATING_ADMISSION_POLICIES,
    definition="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    singular="validatingadmissionpolicy",
    categories=("api-extensions",),
    default=default_policy,
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    validate=validate_policy("validations"),
    columns=policy_columns("validations"),
    subresources=status_alone(),
)
