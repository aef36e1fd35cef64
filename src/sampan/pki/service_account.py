"""The key that signs ServiceAccount tokens: ES256, so that making and using it costs well under a millisecond.

`key_id` is what tokens carry as `kid` and the JWKS document lists: the SHA-256 of the public key's DER, base64url
without padding, as kube-apiserver computes it.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from sampan.pki.certificate import key_to_pem, new_key
from sampan.pki.files import PUBLIC_MODE, SECRET_MODE, write_atomically

ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and its public half, PEM."""

    private_pem: bytes
    public_pem: bytes
    key_id: str

    @classmethod
    def create(cls) -> SigningKey:
        return cls.from_pem(key_to_pem(new_key()))

    @classmethod
    def from_pem(cls, private_pem: bytes) -> SigningKey:
        public = serialization.load_pem_private_key(private_pem, None).public_key()
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        key_id = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
        return cls(private_pem, pem, key_id)

    @classmethod
    def ensure(cls, directory: Path) -> SigningKey:
        """The key kept as `sa.key` and `sa.pub`; made if it is missing."""
        path = directory / "sa.key"
        try:
            key = cls.from_pem(path.read_bytes())
        except FileNotFoundError:
            key = cls.create()
            write_atomically(path, key.private_pem, SECRET_MODE)
        public = directory / "sa.pub"
        if not public.exists() or public.read_bytes() != key.public_pem:
            write_atomically(public, key.public_pem, PUBLIC_MODE)
        return key
