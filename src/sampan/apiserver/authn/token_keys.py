"""The keys of ServiceAccount tokens: the one that signs, and all that verify.

`key_id` is what tokens carry as `kid`: the SHA-256 of the public key's DER, base64url without padding. The algorithm
follows from the key: ES256, ES384, ES512 or RS256.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sampan.apimachinery.object import Object

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_CURVES = {"secp256r1": ("ES256", "P-256"), "secp384r1": ("ES384", "P-384"), "secp521r1": ("ES512", "P-521")}


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key with its id and algorithm."""

    key: PublicKey
    key_id: str
    algorithm: str

    @classmethod
    def of(cls, key: PublicKey) -> VerifyingKey:
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        algorithm = "RS256" if isinstance(key, rsa.RSAPublicKey) else _CURVES[key.curve.name][0]
        return cls(key, _base64url(hashlib.sha256(der).digest()), algorithm)

    def jwk(self) -> Object:
        """As a member of a JSON Web Key Set (RFC 7517)."""
        document: Object = {"use": "sig", "kid": self.key_id, "alg": self.algorithm}
        if isinstance(self.key, rsa.RSAPublicKey):
            public = self.key.public_numbers()
            return {**document, "kty": "RSA", "n": _integer(public.n), "e": _integer(public.e)}
        numbers = self.key.public_numbers()
        size_bytes = (self.key.curve.key_size + 7) // 8
        return {
            **document, "kty": "EC", "crv": _CURVES[self.key.curve.name][1],
            "x": _integer(numbers.x, size_bytes), "y": _integer(numbers.y, size_bytes),
        }


def verifying_keys(pem: bytes) -> list[VerifyingKey]:
    """The keys of a PEM file: public keys, private keys or certificates. Raises ValueError."""
    keys = []
    for block in _blocks(pem):
        if b"CERTIFICATE" in block:
            found: object = x509.load_pem_x509_certificate(block).public_key()
        elif b"PRIVATE KEY" in block:
            found = serialization.load_pem_private_key(block, None).public_key()
        elif b"PUBLIC KEY" in block:
            found = serialization.load_pem_public_key(block)
        else:
            continue
        if not isinstance(found, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise ValueError("a ServiceAccount key must be RSA or on an elliptic curve")
        keys.append(VerifyingKey.of(found))
    return keys


def signing_key(pem: bytes) -> PrivateKey:
    """The first private key of a PEM file. Raises ValueError."""
    for block in _blocks(pem):
        if b"PRIVATE KEY" in block:
            key = serialization.load_pem_private_key(block, None)
            if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
                return key
    raise ValueError("no private key that can sign ServiceAccount tokens")


def _blocks(pem: bytes) -> list[bytes]:
    end = b"-----END "
    blocks = []
    for part in pem.split(b"-----BEGIN ")[1:]:
        if end in part:
            body, _, rest = part.partition(end)
            blocks.append(b"-----BEGIN " + body + end + rest.split(b"\n")[0].strip() + b"\n")
    return blocks


def _integer(value: int, size_bytes: int = 0) -> str:
    return _base64url(value.to_bytes(size_bytes or (value.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
