"""PodCertificateRequest: a kubelet's request for a certificate for one pod."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import POD_CERTIFICATE_REQUESTS
from sampan.api.strategy import drop_status, ensure, keep_status, setdefault, status_subresource
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.object import Object, dig

_REQUIRED = ("signerName", "podName", "podUID", "serviceAccountName", "serviceAccountUID", "nodeName", "nodeUID")


def default(obj: Object) -> None:
    setdefault(ensure(obj, "spec"), "maxExpirationSeconds", 86400)


def validate(obj: Object) -> list[FieldError]:
    spec = obj.get("spec") or {}
    return [required(Path("spec").child(key)) for key in _REQUIRED if not spec.get(key)]


def validate_update(new: Object, old: Object) -> list[FieldError]:
    if new.get("spec") == old.get("spec"):
        return []
    return [invalid(Path("spec"), new.get("spec"), "field is immutable")]


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
        Column("PodName", "string", at("spec", "podName"), "The pod that the certificate is for."),
        Column("ServiceAccountName", "string", at("spec", "serviceAccountName"), "The pod's service account."),
        Column("NodeName", "string", at("spec", "nodeName"), "The node that the pod runs on."),
        Column("SignerName", "string", at("spec", "signerName"), "The signer that is asked."),
        AGE,
    ),
    subresources=status_subresource(),
)
