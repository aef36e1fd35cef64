"""Signs approved certificate requests of Kubernetes' own signers with the cluster's CA.

    kubernetes.io/kube-apiserver-client-kubelet   a kubelet's client certificate
    kubernetes.io/kubelet-serving                 a kubelet's serving certificate
    kubernetes.io/kube-apiserver-client           anybody's client certificate (system:masters: see admission)
    kubernetes.io/legacy-unknown                  whatever was approved

Observed: approved requests of these signers. Desired: each has its certificate in `status.certificate`. Subject and
alternative names are those of the request, usages those of its spec; it holds for `expirationSeconds`, ten minutes at
least and a year at most, and never longer than the CA. It begins five minutes ago, for clocks that are late: those are
part of its time, unless that is less than eight hours. A request that does not have its signer's form gets the
condition Failed.
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from sampan import effects
from sampan.api.resources import CERTIFICATE_SIGNING_REQUESTS
from sampan.apimachinery.object import Object, dig
from sampan.controllers.certificates.certificate_requests import (
    API_CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    LEGACY,
    Asked,
    api_client_problem,
    condition,
    has,
    kubelet_client_problem,
    kubelet_serving_problem,
    parse,
)
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Plan, Update

DURATION = timedelta(days=365)
SHORTEST = timedelta(minutes=10)
SHORT = timedelta(hours=8)
BACKDATE = timedelta(minutes=5)
_IPSEC = "1.3.6.1.5.5.7.3"
_EXTENDED = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH, "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION, "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": ObjectIdentifier(f"{_IPSEC}.5"), "ipsec tunnel": ObjectIdentifier(f"{_IPSEC}.6"),
    "ipsec user": ObjectIdentifier(f"{_IPSEC}.7"), "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": ObjectIdentifier("2.16.840.1.113730.4.1"),
}
"""In the order in which they stand in a certificate."""


class Authority:
    """The CA's certificate and key, read again for each signature: both may be replaced while this runs.

    What it signs holds for `longest` at most.
    """

    def __init__(self, certificate: Path, key: Path, longest: timedelta = DURATION) -> None:
        self._certificate, self._key = certificate, key
        self.longest = longest

    def sign(self, asked: Asked, usages: list[str], lifetime: timedelta, now: datetime) -> bytes:
        """A certificate, PEM. Raises OSError, ValueError; this too if the CA has expired."""
        issuer = x509.load_pem_x509_certificate(self._certificate.read_bytes())
        key = serialization.load_pem_private_key(self._key.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
            raise ValueError("the CA's key is of a kind that cannot sign")
        public = asked.document.public_key()
        begins = now.replace(microsecond=0) - BACKDATE
        ends = min(begins + lifetime, issuer.not_valid_after_utc)
        if begins >= issuer.not_valid_after_utc:
            raise ValueError(f"the signer has expired: NotAfter={ends}")
        if ends <= now:
            raise ValueError(f"refusing to sign a certificate that expired in the past: NotAfter={ends}")
        builder = (
            x509.CertificateBuilder().subject_name(asked.document.subject).issuer_name(issuer.subject)
            .public_key(public).serial_number(int.from_bytes(effects.secret(20), "big") >> 1)
            .not_valid_before(begins).not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(_issuer_identifier(issuer), critical=False)
        )
        if (plain := _key_usage(usages)) is not None:
            builder = builder.add_extension(plain, critical=True)
        if extended := _extended_key_usage(usages):
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        if asked.alternative_names:
            names = x509.SubjectAlternativeName(asked.alternative_names)
            builder = builder.add_extension(names, critical=False)
        digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM)


def _issuer_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        found = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found)


def _extended_key_usage(usages: list[str]) -> list[ObjectIdentifier]:
    """Each once, also those with two names."""
    return list(dict.fromkeys(oid for usage, oid in _EXTENDED.items() if usage in usages))


def _key_usage(usages: list[str]) -> x509.KeyUsage | None:
    """None if no bit of it would be set, which the extension may not be (RFC 5280, 4.2.1.3).

    What is only for a key agreement means nothing without it, and cannot be said.
    """
    agreement = "key agreement" in usages
    bits = {
        "digital_signature": "digital signature" in usages or "signing" in usages,
        "content_commitment": "content commitment" in usages, "key_encipherment": "key encipherment" in usages,
        "data_encipherment": "data encipherment" in usages, "key_agreement": agreement,
        "key_cert_sign": "cert sign" in usages, "crl_sign": "crl sign" in usages,
        "encipher_only": agreement and "encipher only" in usages,
        "decipher_only": agreement and "decipher only" in usages,
    }
    return x509.KeyUsage(**bits) if any(bits.values()) else None


def problem_of(signer: str, asked: Asked, usages: list[str]) -> str:
    """Why the signer will not sign; empty if it will."""
    if signer == KUBELET_CLIENT:
        return kubelet_client_problem(asked, usages)
    if signer == KUBELET_SERVING:
        return kubelet_serving_problem(asked, usages)
    return api_client_problem(usages) if signer == API_CLIENT else ""


def lifetime(request: Object, longest: timedelta = DURATION) -> timedelta:
    """From the beginning, which is in the past, to the end of the certificate."""
    seconds = dig(request, "spec", "expirationSeconds")
    wanted = longest if seconds is None else min(max(timedelta(seconds=int(seconds)), SHORTEST), longest)
    return wanted + BACKDATE if wanted < SHORT else wanted


def plan(request: Object, authority: Authority, now: datetime) -> Plan:
    """Sign the request, or say why not."""
    signer = str(dig(request, "spec", "signerName"))
    if signer not in (KUBELET_CLIENT, KUBELET_SERVING, API_CLIENT, LEGACY):
        return NOTHING
    if dig(request, "status", "certificate") or not has(request, "Approved") or has(request, "Denied", "Failed"):
        return NOTHING
    usages = list(dig(request, "spec", "usages", default=()))
    status = dict(request["status"])
    try:
        asked = parse(request)
        problem = problem_of(signer, asked, usages)
    except ValueError as error:
        problem = f"unable to parse csr: {error}"
    if problem:
        failed = condition("Failed", "SignerValidationFailure", problem, now)
        status["conditions"] = [*status.get("conditions", ()), failed]
    else:
        signed = authority.sign(asked, usages, lifetime(request, authority.longest), now)
        status["certificate"] = base64.b64encode(signed).decode()
    return Plan((Update(CERTIFICATE_SIGNING_REQUESTS, {**request, "status": status}, subresource="status"),))


class CertificateSigner:
    """Keys are requests."""

    def __init__(self, wiring: Wiring, authority: Authority) -> None:
        self._requests = wiring.watch(CERTIFICATE_SIGNING_REQUESTS)
        self._authority = authority

    async def reconcile(self, key: str) -> Plan:
        request = self._requests.get_by_key(key)
        return NOTHING if request is None else plan(request, self._authority, effects.now())
