"""ValidatingAdmissionPolicy: CEL expressions that may refuse a write."""

from __future__ import annotations

from sampan.api.admissionregistration.policies import default_policy, validate_policy
from sampan.api.columns import AGE, NAME, UNSET, length
from sampan.api.kind import Column, Kind
from sampan.api.resources import VALIDATING_ADMISSION_POLICIES
from sampan.api.strategy import create_with_generation, status_subresource, update_with_generation
from sampan.apimachinery.object import Object, dig


def _param_kind(obj: Object) -> str:
    kind = dig(obj, "spec", "paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET


VALIDATING_ADMISSION_POLICY = Kind(
    resource=VALIDATING_ADMISSION_POLICIES,
    definition="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    singular="validatingadmissionpolicy",
    categories=("api-extensions",),
    default=default_policy,
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    validate=validate_policy("validations"),
    columns=(
        NAME,
        Column("Validations", "integer",
               length("spec", "validations"),
               "How many expressions the policy has."),
        Column("ParamKind", "string", lambda obj, now: _param_kind(obj), "The kind of the policy's parameters."),
        AGE,
    ),
    subresources=status_subresource(),
)
