"""ClusterTrustBundle: certificates that pods may project as a volume of trust anchors."""

from __future__ import annotations

from sampan.api.columns import NAME, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import CLUSTER_TRUST_BUNDLES
from sampan.apimachinery.object import Object, dig


def selectable(obj: Object) -> dict[str, str]:
    return {"spec.signerName": dig(obj, "spec", "signerName", default="")}

CLUSTER_TRUST_BUNDLE = Kind(
    resource=CLUSTER_TRUST_BUNDLES,
    definition="io.k8s.api.certificates.v1.ClusterTrustBundle",
    singular="clustertrustbundle",
    field_names=("spec.signerName",),
    fields=selectable,
    columns=(NAME, Column("SignerName", "string", at("spec", "signerName"), "The signer that the bundle belongs to.")),
)
