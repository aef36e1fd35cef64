"""The key that a pod's certificate is asked for: kinds and sizes, and the proof that the kubelet has it.

The proof is an empty PKCS#10 request, signed with the key. Rules are those of `ValidatePodCertificateRequestCreate`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sampan.apimachinery.field import OMITTED, FieldError, Path, invalid, too_long

_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
_MODULI: Final = (3072, 4096)
_LARGEST_BYTES: Final = 10 * 1024


def validate_stub(text: str, path: Path) -> list[FieldError]:
    """What is wrong with `spec.stubPKCS10Request`, base64 of DER."""
    try:
        der = base64.b64decode(text, validate=True)
        if len(der) > _LARGEST_BYTES:
            return [too_long(path, _LARGEST_BYTES)]
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
    except UnsupportedAlgorithm:
        return [_unknown(path)]
    except (binascii.Error, ValueError):
        return [invalid(path, OMITTED, "must be a valid DER-serialized PKCS#10 certificate signing request")]
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in _MODULI:
            return [invalid(path, f"{key.key_size}-bit modulus", "RSA keys must have modulus size 3072 or 4096")]
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            return [invalid(path, f"curve {key.curve.name}", "elliptic public keys must use curve P256, P384 or P521")]
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        return [_unknown(path)]
    return [] if _proven(request) else [invalid(path, OMITTED, "could not verify proof-of-possession signature")]


def same_key(stub: str, certificate: x509.Certificate) -> bool:
    """Whether a certificate is for the key of a valid `spec.stubPKCS10Request`."""
    requested = x509.load_der_x509_csr(base64.b64decode(stub)).public_key()
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return requested.public_bytes(*form) == certificate.public_key().public_bytes(*form)


def _proven(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False


def _unknown(path: Path) -> FieldError:
    return invalid(path, OMITTED, "unknown public key type; supported types are Ed25519, ECDSA, and RSA")
