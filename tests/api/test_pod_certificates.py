"""PodCertificateRequests: which keys may be asked for, with what proof, and what a signer may answer."""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from tests.standing import Standing

from sampan import effects
from sampan.api.certificates.podcertificaterequest import POD_CERTIFICATE_REQUEST
from sampan.apimachinery.object import Object

P256 = ec.generate_private_key(ec.SECP256R1())
NO_NAME = x509.Name([])
COLLECTED = Standing()
"""The time at which the tests were collected and their certificates made, which may be minutes ago."""


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with effects.use(COLLECTED):
        yield


def stub(key: Any) -> str:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder().subject_name(NO_NAME).sign(key, algorithm)
    return base64.b64encode(request.public_bytes(Encoding.DER)).decode()


def tampered(text: str) -> str:
    """The same request with the last byte of its signature turned over."""
    der = bytearray(base64.b64decode(text))
    der[-1] ^= 1
    return base64.b64encode(bytes(der)).decode()


def request(**spec: Any) -> Object:
    return {"metadata": {"name": "r", "namespace": "ns"}, "spec": {
        "signerName": "foo.com/abc", "podName": "p", "podUID": "pu", "serviceAccountName": "sa",
        "serviceAccountUID": "su", "nodeName": "n", "nodeUID": "nu", "maxExpirationSeconds": 86400,
        "stubPKCS10Request": stub(P256), **spec,
    }}


def complaints(obj: Object) -> list[str]:
    return [str(error) for error in POD_CERTIFICATE_REQUEST.validate(obj)]


@pytest.mark.parametrize("key", [
    ed25519.Ed25519PrivateKey.generate(), P256, ec.generate_private_key(ec.SECP384R1()),
    ec.generate_private_key(ec.SECP521R1()), rsa.generate_private_key(65537, 3072),
], ids=["ed25519", "P-256", "P-384", "P-521", "RSA 3072"])
def test_keys_that_may_be_asked_for(key: Any) -> None:
    assert complaints(request(stubPKCS10Request=stub(key))) == []


@pytest.mark.parametrize(("found", "said"), [
    (stub(ec.generate_private_key(ec.SECP224R1())), "elliptic public keys must use curve"),
    (stub(rsa.generate_private_key(65537, 2048)), "RSA keys must have modulus size 3072 or 4096"),
    (stub(dsa.generate_private_key(2048)), "unknown public key type; supported types are Ed25519, ECDSA, and RSA"),
    (tampered(stub(P256)), "could not verify proof-of-possession signature"),
    (base64.b64encode(b"no request").decode(), "must be a valid DER-serialized PKCS#10"),
    ("", "must be a valid DER-serialized PKCS#10"),
    (base64.b64encode(b"x" * 10241).decode(), "may not be more than 10240 bytes"),
], ids=["P-224", "RSA 2048", "DSA", "tampered", "not DER", "none", "too large"])
def test_keys_and_proofs_that_are_refused(found: str, said: str) -> None:
    [complaint] = complaints(request(stubPKCS10Request=found))
    assert complaint.startswith("spec.stubPKCS10Request: ") and said in complaint


@pytest.mark.parametrize(("change", "said"), [
    ({"signerName": "not-valid"}, "must be a fully qualified domain and path of the form 'example.com/signer-name'"),
    ({"signerName": "foo/abc"}, "should be a domain with at least two segments separated by dots"),
    ({"podName": "p!"}, "spec.podName: Invalid value"), ({"nodeName": "N"}, "spec.nodeName: Invalid value"),
    ({"serviceAccountName": "_"}, "spec.serviceAccountName: Invalid value"),
    ({"podUID": ""}, 'spec.podUID: Invalid value: "": must not be empty'),
    ({"nodeUID": "x" * 129}, "spec.nodeUID: Too long: may not be more than 128 bytes"),
    ({"maxExpirationSeconds": 3599}, "must be in the range [3600, 7862400]"),
    ({"maxExpirationSeconds": 7862401}, "must be in the range [3600, 7862400]"),
    ({"signerName": "kubernetes.io/x", "maxExpirationSeconds": 86401}, "must be in the range [3600, 86400]"),
    ({"unverifiedUserAnnotations": {"plain": "x"}}, "must be a domain-prefixed key"),
])
def test_what_else_is_refused(change: Object, said: str) -> None:
    found = complaints(request(**change))
    assert len(found) == 1 and said in found[0]


def certificate(key: Any = P256, *, hours: float = 24, late: timedelta = timedelta(0), name: str = "a.b") -> tuple[
    str, datetime, datetime
]:
    starts = effects.now().replace(microsecond=0) + late
    ends = starts + timedelta(hours=hours)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signer")])
    signed = (
        x509.CertificateBuilder().subject_name(NO_NAME).issuer_name(issuer).public_key(key.public_key())
        .serial_number(1).not_valid_before(starts).not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False).sign(P256, hashes.SHA256())
    )
    return signed.public_bytes(Encoding.PEM).decode(), starts, ends


def status(kind: str, **more: Any) -> Object:
    condition = {"type": kind, "status": "True", "reason": "Why", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {"conditions": [condition], **more}


def issued(refresh: timedelta = timedelta(hours=12), **how: Any) -> Object:
    chain, starts, ends = certificate(**how)

    def text(when: datetime) -> str:
        return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    return status("Issued", certificateChain=chain, notBefore=text(starts), notAfter=text(ends),
                  beginRefreshAt=text(starts + refresh))


def answered(new: Object, old: Object | None = None, **spec: Any) -> list[str]:
    asked = request(**spec)
    check = POD_CERTIFICATE_REQUEST.subresources["status"].validate_update
    assert check is not None
    return [str(error) for error in check({**asked, "status": new}, {**asked, "status": old or {}})]


def test_a_signer_issues_denies_or_fails_once() -> None:
    for end in (issued(), status("Denied"), status("Failed")):
        assert answered(end) == []
        assert answered(copy.deepcopy(end), end) == []
        [complaint] = answered(status("Failed", notAfter="2026-01-01T00:00:00Z"), end)
        assert complaint == (
            "status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed"
        )


OTHER = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(("new", "said"), [
    ({"certificateChain": "x"}, "status is immutable unless transitioning to"),
    (status("Denied", certificateChain="x"), "non-condition status fields must be empty"),
    (status("Approved"), 'Unsupported value: "Approved": supported values: "Denied", "Failed", "Issued"'),
    ({"conditions": status("Denied")["conditions"] + status("Failed")["conditions"]}, "There may be at most one"),
    ({"conditions": [{**status("Denied")["conditions"][0], "reason": ""}]}, "reason: Required value: must be set"),
    (issued(key=OTHER), "leaf certificate was not issued to the requested public key"),
    (issued(hours=0.5), "leaf certificate lifetime must be >= 1 hour"),
    (issued(hours=25), "leaf certificate lifetime must be <= spec.maxExpirationSeconds (86400)"),
    (issued(late=timedelta(minutes=6)), "must be set to within 5 minutes of kube-apiserver's current time"),
    (issued(refresh=timedelta(minutes=9)), "must be at least 10 minutes after status.notBefore"),
    (issued(refresh=timedelta(hours=23, minutes=51)), "must be at least 10 minutes before status.notAfter"),
    (issued(name="a..b"), "DNSName should not contain '..'"),
    ({**issued(), "notAfter": ""}, "status.notAfter: Required value"),
    ({**issued(), "notBefore": "2026-01-01T00:00:00Z"}, "must be set to the NotBefore time encoded in the leaf"),
    (status("Issued"), "issued certificate chain must contain at least one certificate"),
    (status("Issued", certificateChain="-----BEGIN X-----\n-----END X-----\n"), "entirely of CERTIFICATE PEM blocks"),
])
def test_answers_that_are_refused(new: Object, said: str) -> None:
    found = answered(new)
    assert len(found) == 1 and said in found[0], found
