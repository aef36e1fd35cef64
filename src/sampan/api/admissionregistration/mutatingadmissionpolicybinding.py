"""MutatingAdmissionPolicyBinding: where a policy applies, and with which parameters."""

from __future__ import annotations

from sampan.api.admissionregistration.policies import default_binding, validate_binding
from sampan.api.columns import AGE, NAME, UNSET, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import MUTATING_ADMISSION_POLICY_BINDINGS
from sampan.api.strategy import count_generation, start_generation
from sampan.apimachinery.object import Object, dig


def _param_ref(obj: Object) -> str:
    reference = dig(obj, "spec", "paramRef")
    if not reference:
        return UNSET
    namespace = reference.get("namespace") or "*"
    return f"{namespace}/{reference['name']}" if reference.get("name") else f"{namespace}/<selector>"


MUTATING_ADMISSION_POLICY_BINDING = Kind(
    resource=MUTATING_ADMISSION_POLICY_BINDINGS,
    definition="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
    singular="mutatingadmissionpolicybinding",
    categories=("api-extensions",),
    default=default_binding,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate_binding(actions=False),
    columns=(
        NAME,
        Column("PolicyName", "string", at("spec", "policyName"), "The policy that applies."),
        Column("ParamRef", "string", lambda obj, now: _param_ref(obj), "The policy's parameters."),
        AGE,
    ),
)
