"""How one stored value is sealed and opened: AES-GCM, AES-CBC, or not at all.

A sealed value begins with `k8s:enc:PROVIDER:v1:KEY:`, as upstream writes it, so that a reader knows which key opens it
and a rotation can tell old from new. AES-GCM binds the value to its key in the store: copied elsewhere it does not
open. Its nonce is 96 random bits, which upstream's documentation allows for 200,000 writes a key; rotate then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sampan import effects

MARK: Final = b"k8s:enc:"
_NONCE_BYTES: Final = 12
_BLOCK_BYTES: Final = 16


class CannotOpen(ValueError):
    """The value was sealed with another key, or changed."""


class Provider(Protocol):
    """One key of one mechanism. `prefix` is what its values begin with, empty for identity."""

    @property
    def prefix(self) -> bytes: ...
    def seal(self, key: str, value: bytes) -> bytes:
        """The stored form of the value at a key of the store."""
    def open(self, key: str, sealed: bytes) -> bytes:
        """The inverse. Raises CannotOpen."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Values as they are."""

    prefix: bytes = b""

    def seal(self, key: str, value: bytes) -> bytes:
        return value

    def open(self, key: str, sealed: bytes) -> bytes:
        return sealed


class AESGCMProvider:
    """AES in Galois/Counter Mode, 16, 24 or 32 bytes of key."""

    def __init__(self, name: str, secret: bytes) -> None:
        self.prefix = b"%saesgcm:v1:%s:" % (MARK, name.encode())
        self._cipher = AESGCM(secret)

    def seal(self, key: str, value: bytes) -> bytes:
        nonce = effects.secret(_NONCE_BYTES)
        return self.prefix + nonce + self._cipher.encrypt(nonce, value, key.encode())

    def open(self, key: str, sealed: bytes) -> bytes:
        start = len(self.prefix)
        end = start + _NONCE_BYTES
        try:
            return self._cipher.decrypt(sealed[start:end], sealed[end:], key.encode())
        except (InvalidTag, ValueError) as error:
            raise CannotOpen(f"{key}: not sealed with this key, or changed") from error


class AESCBCProvider:
    """AES in Cipher Block Chaining mode with PKCS #7 padding; for stores that were written with it."""

    def __init__(self, name: str, secret: bytes) -> None:
        self.prefix = b"%saescbc:v1:%s:" % (MARK, name.encode())
        self._algorithm = algorithms.AES(secret)

    def seal(self, key: str, value: bytes) -> bytes:
        start = effects.secret(_BLOCK_BYTES)
        padder = padding.PKCS7(_BLOCK_BYTES * 8).padder()
        encryptor = Cipher(self._algorithm, modes.CBC(start)).encryptor()
        padded = padder.update(value) + padder.finalize()
        return self.prefix + start + encryptor.update(padded) + encryptor.finalize()

    def open(self, key: str, sealed: bytes) -> bytes:
        start = len(self.prefix)
        end = start + _BLOCK_BYTES
        unpadder = padding.PKCS7(_BLOCK_BYTES * 8).unpadder()
        try:
            decryptor = Cipher(self._algorithm, modes.CBC(sealed[start:end])).decryptor()
            padded = decryptor.update(sealed[end:]) + decryptor.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError as error:
            raise CannotOpen(f"{key}: not sealed with this key, or changed") from error
