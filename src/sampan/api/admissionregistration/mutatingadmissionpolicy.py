"""MutatingAdmissionPolicy: CEL expressions that may change a write."""

from __future__ import annotations

from sampan.api.admissionregistration.policies import default_policy, validate_policy
from sampan.api.columns import AGE, NAME, UNSET, length
from sampan.api.kind import Column, Kind
from sampan.api.resources import MUTATING_ADMISSION_POLICIES
from sampan.api.strategy import count_generation, start_generation
from sampan.apimachinery.object import Object, dig


def _param_kind(obj: Object) -> str:
    kind = dig(obj, "spec", "paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET


MUTATING_ADMISSION_POLICY = Kind(
    resource=MUTATING_ADMISSION_POLICIES,
    definition="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
    singular="mutatingadmissionpolicy",
    categories=("api-extensions",),
    default=default_policy,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate_policy("mutations"),
    columns=(
        NAME,
        Column("Mutations", "integer",
               length("spec", "mutations"),
               "How many expressions the policy has."),
        Column("ParamKind", "string", lambda obj, now: _param_kind(obj), "The kind of the policy's parameters."),
        AGE,
    ),
)
