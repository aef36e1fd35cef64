"""CertificateSigningRequest: ask a signer for a certificate, have it approved, get it."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime

from cryptography import x509

from sampan import effects
from sampan.api.certificates.signer_name import validate_signer_name
from sampan.api.columns import AGE, NAME, NONE, at
from sampan.api.kind import Column, Kind, Subresource
from sampan.api.resources import CERTIFICATE_SIGNING_REQUESTS
from sampan.api.strategy import drop_status, ensure, keep_all_but_status, keep_status, setdefault
from sampan.apimachinery.duration import human_duration
from sampan.apimachinery.field import OMITTED, FieldError, Path, duplicate, forbidden, invalid, not_supported, required
from sampan.apimachinery.object import Object, dig

_USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
    "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
    "server auth", "signing", "timestamping",
)
_DECISIONS = ("Approved", "Denied")
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\n(.*?)-----END \1-----", re.DOTALL)


def default(obj: Object) -> None:
    for condition in dig(obj, "status", "conditions", default=()):
        setdefault(condition, "status", "True")


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors: list[FieldError] = []
    usages = spec.get("usages") or []
    if not usages:
        errors.append(required(path.child("usages")))
    seen: set[str] = set()
    for position, usage in enumerate(usages):
        if usage not in _USAGES:
            errors.append(not_supported(path.child("usages").index(position), usage, _USAGES))
        elif usage in seen:
            errors.append(duplicate(path.child("usages").index(position), usage))
        seen.add(usage)
    if not _holds_request(spec.get("request") or ""):
        errors.append(invalid(path.child("request"), spec.get("request") or "",
                              "PEM block type must be CERTIFICATE REQUEST"))
    errors += validate_signer_name(spec.get("signerName") or "", path.child("signerName"))
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        errors.append(invalid(path.child("expirationSeconds"), seconds,
                              "may not specify a duration less than 600 seconds (10 minutes)"))
    return errors


def _holds_request(text: str) -> bool:
    try:
        return b"-----BEGIN CERTIFICATE REQUEST-----" in base64.b64decode(text)
    except (binascii.Error, ValueError):
        return False


def prepare_update(new: Object, old: Object) -> None:
    """What was asked for stays what it was; an update can change metadata only."""
    keep_status(new, old)
    new["spec"] = old["spec"]


def _decided(obj: Object) -> list[Object]:
    conditions = dig(obj, "status", "conditions", default=())
    return [condition for condition in conditions if condition.get("type") in _DECISIONS]


def _rest(obj: Object) -> list[Object]:
    conditions = dig(obj, "status", "conditions", default=())
    return [condition for condition in conditions if condition.get("type") not in _DECISIONS]


def prepare_status(new: Object, old: Object) -> None:
    """A signer writes the certificate and failures; what was approved or denied is not its business."""
    keep_all_but_status(new, old)
    conditions = _rest(new) + _decided(old)
    if conditions:
        ensure(new, "status")["conditions"] = conditions
    elif isinstance(new.get("status"), dict):
        new["status"].pop("conditions", None)
    _date(new, old)


def prepare_approval(new: Object, old: Object) -> None:
    """An approver writes conditions only."""
    keep_all_but_status(new, old)
    conditions = dig(new, "status", "conditions")
    status = dict(old.get("status") or {})
    if conditions is None:
        status.pop("conditions", None)
    else:
        status["conditions"] = conditions
    new["status"] = status
    _date(new, old)


def _date(new: Object, old: Object) -> None:
    """Conditions that are new or say something new say since when, where the client did not."""
    before = {condition.get("type"): condition for condition in dig(old, "status", "conditions", default=())}
    for condition in dig(new, "status", "conditions", default=()):
        known = before.get(condition.get("type"))
        if known == condition:
            continue
        setdefault(condition, "lastUpdateTime", effects.timestamp())
        if not condition.get("lastTransitionTime"):
            same = known is not None and known.get("status") == condition.get("status")
            since = known.get("lastTransitionTime") if same and known is not None else None
            condition["lastTransitionTime"] = since or condition["lastUpdateTime"]


def validate_conditions(new: Object, old: Object) -> list[FieldError]:
    """Approved and Denied exclude each other, and neither is ever taken back."""
    path = Path("status").child("conditions")
    kinds = [condition.get("type") for condition in _decided(new)]
    errors: list[FieldError] = []
    if "Approved" in kinds and "Denied" in kinds:
        errors.append(invalid(path, "Denied", "Approved and Denied conditions are mutually exclusive"))
    errors += [forbidden(path, f"updates may not remove a condition of type \"{condition.get('type')}\"")
               for condition in _decided(old) if condition.get("type") not in kinds]
    for position, condition in enumerate(dig(new, "status", "conditions", default=())):
        if not condition.get("type"):
            errors.append(required(path.index(position).child("type")))
        elif condition["type"] in (*_DECISIONS, "Failed") and condition.get("status") != "True":
            errors.append(not_supported(path.index(position).child("status"), condition.get("status", ""), ["True"]))
    return errors


def validate_status(new: Object, old: Object) -> list[FieldError]:
    """What a signer writes: a certificate, once, and conditions."""
    path, before = Path("status").child("certificate"), dig(old, "status", "certificate")
    given = dig(new, "status", "certificate")
    errors = validate_conditions(new, old)
    if before and given != before:
        errors.append(forbidden(path, "updates may not modify existing certificate content"))
    elif given and not before:
        why = wrong_with_certificates(given)
        if why:
            errors.append(invalid(path, OMITTED, why))
    return errors


def wrong_with_certificates(text: str) -> str:
    """Why base64 of PEM is no chain of certificates; empty if it is one. Text around the blocks may say anything."""
    try:
        pem = base64.b64decode(text).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return "must be base64"
    blocks = _PEM_BLOCK.findall(pem)
    if not blocks:
        return "must contain at least one CERTIFICATE PEM block"
    for label, body in blocks:
        if label != "CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{label}"'
        if ":" in body:
            return "no PEM block headers are permitted"
        try:
            x509.load_der_x509_certificate(base64.b64decode("".join(body.split())))
        except (binascii.Error, ValueError) as error:
            return f"found CERTIFICATE PEM block that is none: {error}"
    return ""


def selectable(obj: Object) -> dict[str, str]:
    return {"spec.signerName": dig(obj, "spec", "signerName", default="")}


def condition_text(obj: Object, now: datetime) -> str:
    """`Approved,Issued`, `Denied`, `Pending`, as kubectl prints it."""
    kinds = [condition.get("type") for condition in dig(obj, "status", "conditions", default=())]
    if "Denied" in kinds:
        text = "Denied"
    else:
        text = "Approved" if "Approved" in kinds else "Pending"
    if "Failed" in kinds:
        text += ",Failed"
    return f"{text},Issued" if dig(obj, "status", "certificate") else text


def duration_text(obj: Object, now: datetime) -> str:
    seconds = dig(obj, "spec", "expirationSeconds")
    return NONE if seconds is None else human_duration(seconds)


CERTIFICATE_SIGNING_REQUEST = Kind(
    resource=CERTIFICATE_SIGNING_REQUESTS,
    definition="io.k8s.api.certificates.v1.CertificateSigningRequest",
    singular="certificatesigningrequest",
    short_names=("csr",),
    default=default,
    prepare_create=drop_status,
    prepare_update=prepare_update,
    validate=validate,
    valid_name=lambda name: [],
    field_names=("spec.signerName",),
    fields=selectable,
    columns=(
        NAME,
        AGE,
        Column("SignerName", "string", at("spec", "signerName", default=NONE),
               doc="certificates.v1.CertificateSigningRequestSpec#signerName"),
        Column("Requestor", "string", at("spec", "username"),
               doc="certificates.v1.CertificateSigningRequestSpec#request"),
        Column("RequestedDuration", "string", duration_text,
               doc="certificates.v1.CertificateSigningRequestSpec#expirationSeconds"),
        Column("Condition", "string", condition_text, doc="certificates.v1.CertificateSigningRequestStatus#conditions"),
    ),
    subresources={
        "status": Subresource("status", prepare_update=prepare_status, validate_update=validate_status),
        "approval": Subresource("approval", prepare_update=prepare_approval, validate_update=validate_conditions),
    },
)
