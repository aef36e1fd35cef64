"""X.509 certificates as Kubernetes reads them: the common name is the user, organizations are groups.

`CertificateSpec` says what a certificate should attest; `Credential` is a certificate with its private key, as PEM.
Nothing here signs: that is `CertificateAuthority.issue`.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sampan.pki.files import PUBLIC_MODE, SECRET_MODE, write_atomically


class Usage(enum.Enum):
    """Extended key usages."""

    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class CertificateSpec:
    """What a certificate attests. `addresses` are IP addresses as text."""

    common_name: str
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    usages: tuple[Usage, ...] = (Usage.CLIENT,)

    @property
    def subject(self) -> x509.Name:
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in self.organizations]
        return x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, self.common_name)])

    @property
    def alternative_names(self) -> Sequence[x509.GeneralName]:
        return [
            *(x509.DNSName(name) for name in self.dns_names),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in self.addresses),
        ]

    def satisfied_by(self, certificate: x509.Certificate) -> bool:
        """Whether a certificate has this subject and at least these alternative names and usages."""
        if certificate.subject != self.subject:
            return False
        try:
            names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            names = []
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        return set(self.alternative_names) <= set(names) and {usage.value for usage in self.usages} <= set(usages)


@dataclass(frozen=True)
class Credential:
    """A certificate (leaf first, if a chain) and its private key, both PEM."""

    certificate_pem: bytes
    key_pem: bytes

    @cached_property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate_pem)

    def matches(self) -> bool:
        """Whether key and certificate belong together; a crash between writing the two can part them."""
        return public_key_of(self.key_pem) == self.certificate.public_key()


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Where a credential is kept: the certificate (0644) and its key (0600)."""

    certificate: Path
    key: Path

    @classmethod
    def named(cls, directory: Path, name: str) -> KeyPair:
        return cls(directory / f"{name}.crt", directory / f"{name}.key")

    def load(self) -> Credential | None:
        """What is there, or None when either file is missing or unreadable as PEM, or the two do not match."""
        try:
            credential = Credential(self.certificate.read_bytes(), self.key.read_bytes())
            return credential if credential.matches() else None
        except (FileNotFoundError, ValueError):
            return None

    def save(self, credential: Credential) -> None:
        """Replace both. `load` detects a crash between the two."""
        self.certificate.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.key, credential.key_pem, SECRET_MODE)
        write_atomically(self.certificate, credential.certificate_pem, PUBLIC_MODE)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_key_of(key_pem: bytes) -> object:
    return serialization.load_pem_private_key(key_pem, None).public_key()
