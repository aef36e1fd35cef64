"""ClusterTrustBundle: certificates that pods may project as a volume of trust anchors."""

from __future__ import annotations

from sampan.api.columns import NAME, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import CLUSTER_TRUST_BUNDLES
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.names import dns1123_subdomain
from sampan.apimachinery.object import Object, dig, name_of


def selectable(obj: Object) -> dict[str, str]:
    return {"spec.signerName": dig(obj, "spec", "signerName", default="")}

def validate(obj: Object) -> list[FieldError]:
    """A bundle of a signer carries the signer's name as its prefix."""
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = [] if spec.get("trustBundle") else [required(path.child("trustBundle"), "must contain at least one "
                                                                                     "trust anchor")]
    prefix = (spec.get("signerName") or "").replace("/", ":") + ":"
    if spec.get("signerName") and not name_of(obj).startswith(prefix):
        errors.append(invalid(Path("metadata").child("name"), name_of(obj),
                              f'ClusterTrustBundle for signerName {spec["signerName"]} must be named with prefix '
                              f'{prefix}'))
    return errors


def valid_name(name: str) -> list[str]:
    """A subdomain, or the signer's name with colons before it."""
    return dns1123_subdomain(name.rpartition(":")[2])


CLUSTER_TRUST_BUNDLE = Kind(
    resource=CLUSTER_TRUST_BUNDLES,
    definition="io.k8s.api.certificates.v1.ClusterTrustBundle",
    singular="clustertrustbundle",
    field_names=("spec.signerName",),
    fields=selectable,
    validate=validate,
    valid_name=valid_name,
    columns=(NAME, Column("SignerName", "string", at("spec", "signerName"), "The signer that the bundle belongs to.")),
)
