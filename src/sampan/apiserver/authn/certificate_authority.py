"""Was this client certificate issued by the authority in that file, and is it valid now?

TLS has checked the chain during the handshake already, against all authorities that the listener trusts. Which of them
issued a certificate decides what it means (a person, or a front proxy), and a connection may live longer than the
certificate, so both are checked again here, a few microseconds once remembered.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sampan import effects
from sampan.apimachinery.http import UserInfo
from sampan.apiserver.authn.authenticated import with_group
from sampan.apiserver.authn.watched_file import WatchedFile

MEMORY = 4096
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
_UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a certificate says: common name as user, organisations as groups; `not_before`, `not_after` in epoch
    seconds."""

    user: UserInfo
    not_before: float
    not_after: float
    completed: UserInfo
    """The user as a member of system:authenticated, made once for all requests."""

    def valid_now(self) -> bool:
        return self.not_before <= effects.now().timestamp() <= self.not_after


class CertificateAuthority:
    """The authorities of one PEM bundle; answers are kept until the file changes."""

    def __init__(self, path: str) -> None:
        self._bundle = WatchedFile(path, x509.load_pem_x509_certificates)
        self._generation = 0
        self._known: dict[bytes, ClientCertificate | None] = {}

    def issued(self, der: bytes) -> ClientCertificate | None:
        """The certificate's content if it is one of this authority's for clients, else None."""
        bundle = self._bundle.get()
        if self._generation != self._bundle.generation or len(self._known) >= MEMORY:
            self._generation = self._bundle.generation
            self._known.clear()
        if der not in self._known:
            certificate = x509.load_der_x509_certificate(der)
            known = any(_issued_by(certificate, authority) for authority in bundle) and _for_clients(certificate)
            self._known[der] = _content(certificate) if known else None
        return self._known[der]


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _for_clients(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def _content(certificate: x509.Certificate) -> ClientCertificate:
    def values(oid: x509.ObjectIdentifier) -> list[str]:
        return [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid)]

    names, uids = values(NameOID.COMMON_NAME), values(_UID)
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    user = UserInfo(
        name=names[-1] if names else "",
        uid=uids[0] if uids else "",
        groups=tuple(values(NameOID.ORGANIZATION_NAME)),
        extra={CREDENTIAL_ID: (f"X509SHA256={fingerprint}",)},
    )
    completed = with_group(user)
    return ClientCertificate(
        user, certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp(), completed
    )
