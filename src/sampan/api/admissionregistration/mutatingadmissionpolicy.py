"""MutatingAdmissionPolicy: CEL expressions that may change a write."""

from __future__ import annotations

from sampan.api.admissionregistration.policies import default_policy, policy_columns, validate_policy
from sampan.api.kind import Kind
from sampan.api.resources import MUTATING_ADMISSION_POLICIES
from sampan.api.strategy import count_generation, start_generation

MUTATING_ADMISSION_POLICY = Kind(
    resource=MUTATING_ADMISSION_POLICIES,
    definition="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
    singular="mutatingadmissionpolicy",
    categories=("api-extensions",),
    default=default_policy,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate_policy("mutations"),
    columns=policy_columns("mutations"),
)
