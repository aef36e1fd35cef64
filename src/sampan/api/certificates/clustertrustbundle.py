"""ClusterTrustBundle: certificates that pods may project as a volume of trust anchors."""

from __future__ import annotations

import base64
import binascii
import re

from sampan.api.columns import NAME, NONE, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import CLUSTER_TRUST_BUNDLES
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.names import dns1123_subdomain
from sampan.apimachinery.object import Object, dig, name_of

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----")


def selectable(obj: Object) -> dict[str, str]:
    return {"spec.signerName": dig(obj, "spec", "signerName", default="")}


def validate(obj: Object) -> list[FieldError]:
    """A bundle of a signer carries the signer's name as its prefix."""
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = [] if spec.get("trustBundle") else [required(path.child("trustBundle"), "must contain at least one "
                                                                                     "trust anchor")]
    if spec.get("trustBundle") and not _holds_certificates(spec["trustBundle"]):
        why = "must contain only PEM-encoded certificates"
        errors.append(invalid(path.child("trustBundle"), "<value omitted>", why))
    if not spec.get("signerName") and ":" in name_of(obj):
        errors.append(invalid(Path("metadata").child("name"), name_of(obj),
                              'ClusterTrustBundle without signer name must not have ":" in its name'))
    prefix = (spec.get("signerName") or "").replace("/", ":") + ":"
    if spec.get("signerName") and not name_of(obj).startswith(prefix):
        errors.append(invalid(Path("metadata").child("name"), name_of(obj),
                              f'ClusterTrustBundle for signerName {spec["signerName"]} must be named with prefix '
                              f'{prefix}'))
    return errors


def _holds_certificates(text: str) -> bool:
    """One certificate or more in PEM, without headers, and nothing else that looks like PEM."""
    blocks = _BLOCK.findall(text)
    if not blocks or text.count("-----BEGIN ") != len(blocks):
        return False
    for body in blocks:
        try:
            content = base64.b64decode("".join(body.split()), validate=True)
        except binascii.Error:
            return False
        if content[:1] != b"\x30":  # a certificate is an ASN.1 sequence
            return False
    return True


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
    columns=(NAME, Column("SignerName", "string", at("spec", "signerName", default=NONE),
                          doc="certificates.v1.ClusterTrustBundleSpec#signerName")),
)
