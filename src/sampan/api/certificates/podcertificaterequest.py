"""PodCertificateRequest: a kubelet's request for a certificate for one pod.

What is asked never changes. Its status changes once: a signer issues, denies or fails it; see `pod_certificate_status`.
"""

from __future__ import annotations

from sampan.api.certificates.pod_certificate_status import validate_status_update
from sampan.api.certificates.pod_key import validate_stub
from sampan.api.certificates.signer_name import is_of_kubernetes, validate_signer_name
from sampan.api.columns import AGE, NAME, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import POD_CERTIFICATE_REQUESTS
from sampan.api.strategy import drop_status, ensure, keep_status, setdefault, status_alone
from sampan.apimachinery.field import FieldError, Path, invalid, too_long
from sampan.apimachinery.metadata import validate_annotations
from sampan.apimachinery.names import dns1123_subdomain
from sampan.apimachinery.object import Object, dig

_SPEC = Path("spec")
_NAMES = ("podName", "serviceAccountName", "nodeName")
_UIDS = ("podUID", "serviceAccountUID", "nodeUID")
_LONGEST_UID = 128
_HOUR_S = 3600
_LONGEST_S = 91 * 24 * _HOUR_S
_LONGEST_OF_KUBERNETES_S = 24 * _HOUR_S


def default(obj: Object) -> None:
    setdefault(ensure(obj, "spec"), "maxExpirationSeconds", 24 * _HOUR_S)


def validate(obj: Object) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors = validate_signer_name(spec.get("signerName") or "", _SPEC.child("signerName"))
    errors += _annotations(spec.get("unverifiedUserAnnotations") or {})
    for key in _NAMES:
        name = spec.get(key) or ""
        errors += [invalid(_SPEC.child(key), name, message) for message in dns1123_subdomain(name)]
    for key in _UIDS:
        uid = spec.get(key) or ""
        if not uid:
            errors.append(invalid(_SPEC.child(key), uid, "must not be empty"))
        if len(uid) > _LONGEST_UID:
            errors.append(too_long(_SPEC.child(key), _LONGEST_UID))
    longest_s = _LONGEST_OF_KUBERNETES_S if is_of_kubernetes(spec.get("signerName") or "") else _LONGEST_S
    asked_s = spec.get("maxExpirationSeconds") or 0
    if not _HOUR_S <= asked_s <= longest_s:
        detail = f"must be in the range [{_HOUR_S}, {longest_s}]"
        errors.append(invalid(_SPEC.child("maxExpirationSeconds"), asked_s, detail))
    return errors + validate_stub(spec.get("stubPKCS10Request") or "", _SPEC.child("stubPKCS10Request"))


def _annotations(annotations: Object) -> list[FieldError]:
    """As those of metadata, and each key with the domain of whoever gave it its meaning."""
    path = _SPEC.child("unverifiedUserAnnotations")
    errors = validate_annotations(annotations, path)
    return errors + [invalid(path, key, "must be a domain-prefixed key (such as \"example.com/foo\")")
                     for key in annotations if "/" not in key]


def validate_update(new: Object, old: Object) -> list[FieldError]:
    if new.get("spec") == old.get("spec"):
        return []
    return [invalid(_SPEC, new.get("spec"), "field is immutable")]


def selectable(obj: Object) -> dict[str, str]:
    return {f"spec.{key}": dig(obj, "spec", key, default="") for key in ("signerName", "podName", "nodeName")}


POD_CERTIFICATE_REQUEST = Kind(
    resource=POD_CERTIFICATE_REQUESTS,
    definition="io.k8s.api.certificates.v1.PodCertificateRequest",
    singular="podcertificaterequest",
    short_names=("pcr",),
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=validate,
    validate_update=validate_update,
    field_names=("spec.signerName", "spec.podName", "spec.nodeName"),
    fields=selectable,
    columns=(
        NAME,
        Column("PodName", "string", at("spec", "podName"), doc="certificates.v1.PodCertificateRequestSpec#podName"),
        Column("ServiceAccountName", "string", at("spec", "serviceAccountName"),
               doc="certificates.v1.PodCertificateRequestSpec#serviceAccountName"),
        Column("NodeName", "string", at("spec", "nodeName"), doc="certificates.v1.PodCertificateRequestSpec#nodeName"),
        Column("SignerName", "string", at("spec", "signerName"),
               doc="certificates.v1.PodCertificateRequestSpec#signerName"),
        AGE,
    ),
    subresources=status_alone(validate_status_update),
)
