"""What a signer may write into a PodCertificateRequest: one of Issued, Denied and Failed, once.

An issued one carries the chain, whose first certificate must be for the key that was asked for, and the times that the
kubelet goes by. Rules are those of `ValidatePodCertificateRequestStatusUpdate`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from sampan import effects
from sampan.api.certificates.pod_key import same_key
from sampan.api.condition_rules import validate_conditions
from sampan.apimachinery.field import OMITTED, FieldError, Path, invalid, not_supported, required, too_long
from sampan.apimachinery.object import Object, dig

_STATUS: Final = Path("status")
_CHAIN: Final = _STATUS.child("certificateChain")
_ENDS: Final = ("Issued", "Denied", "Failed")
_TIMES: Final = {
    "notBefore": "must be present and consistent with the issued certificate",
    "notAfter": "must be present and consistent with the issued certificate",
    "beginRefreshAt": "must be present and in the range [notbefore+10min, notafter-10min]",
}
_LARGEST_CHAIN_BYTES: Final = 100 * 1024
_MARGIN: Final = timedelta(minutes=10)
_SKEW: Final = timedelta(minutes=5)


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    status, before = _said(new), _said(old)
    conditions = status.get("conditions") or []
    errors = _known_conditions(conditions)
    errors += validate_conditions(conditions, _STATUS.child("conditions"))
    if errors:
        return errors
    if _ends(before):
        detail = "immutable after PodCertificateRequest is issued, denied, or failed"
        return [] if status == before else [invalid(_STATUS, OMITTED, detail)]
    ends = _ends(status)
    if ends & {"Denied", "Failed"}:
        detail = "non-condition status fields must be empty when denying or failing the PodCertificateRequest"
        return [] if status.keys() == {"conditions"} else [invalid(_STATUS, OMITTED, detail)]
    if ends:
        return _issued(status, new["spec"])
    detail = 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"'
    return [] if status == before else [invalid(_STATUS, OMITTED, detail)]


def _said(obj: Object) -> Object:
    """The status without what says nothing."""
    return {key: value for key, value in (obj.get("status") or {}).items() if value}


def _ends(status: Object) -> set[str]:
    return {one["type"] for one in status.get("conditions", ()) if one["type"] in _ENDS and one["status"] == "True"}


def _known_conditions(conditions: list[Object]) -> list[FieldError]:
    errors: list[FieldError] = []
    known = 0
    for position, condition in enumerate(conditions):
        path, kind = _STATUS.child("conditions").index(position), condition.get("type") or ""
        if kind not in _ENDS:
            errors.append(not_supported(path.child("type"), kind, _ENDS))
            continue
        known += 1
        if known > 1:
            detail = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            errors.append(invalid(path.child("type"), kind, detail))
        if condition.get("status") != "True":
            errors.append(not_supported(path.child("status"), condition.get("status") or "", ("True",)))
    return errors


def _issued(status: Object, spec: Object) -> list[FieldError]:
    chain = status.get("certificateChain", "")
    if len(chain) > _LARGEST_CHAIN_BYTES:
        return [too_long(_CHAIN, _LARGEST_CHAIN_BYTES)]
    if "-----BEGIN " not in chain:
        return [invalid(_CHAIN, chain, "issued certificate chain must contain at least one certificate")]
    if chain.count("-----BEGIN ") != chain.count("-----BEGIN CERTIFICATE-----"):
        return [invalid(_CHAIN, chain, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks")]
    try:
        leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    except ValueError:
        return [invalid(_CHAIN, chain, "the chain's certificates do not parse as valid X.509")]
    errors = _names(leaf)
    if not same_key(spec["stubPKCS10Request"], leaf):
        return [*errors, invalid(_CHAIN, chain, "leaf certificate was not issued to the requested public key")]
    errors += [required(_STATUS.child(key), detail) for key, detail in _TIMES.items() if not status.get(key)]
    return errors or _times(status, spec, leaf)


def _names(leaf: x509.Certificate) -> list[FieldError]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    errors: list[FieldError] = []
    for name in extension.value.get_values_for_type(x509.DNSName):
        if not name:
            errors.append(invalid(_CHAIN, name, "leaf certificate should not contain empty DNSName"))
        if ".." in name:
            errors.append(invalid(_CHAIN, name, "leaf certificate's DNSName should not contain '..'"))
        if name.startswith(".") or name.endswith("."):
            errors.append(invalid(_CHAIN, name, "leaf certificate's DNSName should not start or end with '.'"))
    return errors


def _times(status: Object, spec: Object, leaf: x509.Certificate) -> list[FieldError]:
    """The first thing wrong, as upstream has it."""
    starts, ends, refresh = (datetime.fromisoformat(status[key]) for key in _TIMES)
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    longest_s = dig(spec, "maxExpirationSeconds", default=0)
    checks = (
        (starts == leaf.not_valid_before_utc, _STATUS.child("notBefore"), status["notBefore"],
         "must be set to the NotBefore time encoded in the leaf certificate"),
        (abs(starts - effects.now()) < _SKEW, _STATUS.child("notBefore"), status["notBefore"],
         "must be set to within 5 minutes of kube-apiserver's current time"),
        (ends == leaf.not_valid_after_utc, _STATUS.child("notAfter"), status["notAfter"],
         "must be set to the NotAfter time encoded in the leaf certificate"),
        (lifetime >= timedelta(hours=1), _CHAIN, str(lifetime), "leaf certificate lifetime must be >= 1 hour"),
        (lifetime <= timedelta(seconds=longest_s), _CHAIN, str(lifetime),
         f"leaf certificate lifetime must be <= spec.maxExpirationSeconds ({longest_s})"),
        (refresh >= starts + _MARGIN, _STATUS.child("beginRefreshAt"), status["beginRefreshAt"],
         "must be at least 10 minutes after status.notBefore"),
        (refresh <= ends - _MARGIN, _STATUS.child("beginRefreshAt"), status["beginRefreshAt"],
         "must be at least 10 minutes before status.notAfter"),
    )
    return next(([invalid(path, value, detail)] for holds, path, value, detail in checks if not holds), [])
