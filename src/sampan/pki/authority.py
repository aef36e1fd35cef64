"""A certificate authority: ECDSA P-256, one level, for one purpose each (cluster, front proxy).

Lifetimes follow kubeadm: ten years for the authority, one for what it issues. Times come from `effects`, backdated by a
few minutes so that a peer whose clock is a little behind accepts a certificate that was issued just now.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sampan import effects
from sampan.pki.certificate import CertificateSpec, Credential, KeyPair, Usage, key_to_pem, new_key

AUTHORITY_LIFETIME = datetime.timedelta(days=3650)
LIFETIME = datetime.timedelta(days=365)
BACKDATE = datetime.timedelta(minutes=5)


class CertificateAuthority:
    """Signs certificates. Make one with `create`, `load` or `ensure`."""

    def __init__(self, credential: Credential) -> None:
        key = serialization.load_pem_private_key(credential.key_pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey), "an authority's key is an EC key"
        self._key = key
        self._credential = credential

    @classmethod
    def create(cls, common_name: str, lifetime: datetime.timedelta = AUTHORITY_LIFETIME) -> CertificateAuthority:
        """A new self-signed authority."""
        key = new_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = (
            _builder(name, name, key.public_key(), lifetime)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
        )
        certificate = builder.sign(key, hashes.SHA256())
        return cls(Credential(certificate.public_bytes(serialization.Encoding.PEM), key_to_pem(key)))

    @classmethod
    def load(cls, pair: KeyPair) -> CertificateAuthority | None:
        """The authority kept there, None if there is none that is whole."""
        credential = pair.load()
        return cls(credential) if credential else None

    @classmethod
    def ensure(cls, pair: KeyPair, common_name: str) -> CertificateAuthority:
        """The authority kept there; made and saved if there is none."""
        authority = cls.load(pair)
        if authority is None:
            authority = cls.create(common_name)
            pair.save(authority._credential)
        return authority

    @property
    def certificate_pem(self) -> bytes:
        return self._credential.certificate_pem

    @property
    def certificate(self) -> x509.Certificate:
        return self._credential.certificate

    def issue(self, spec: CertificateSpec, lifetime: datetime.timedelta = LIFETIME) -> Credential:
        """A new key and a certificate for it."""
        key = new_key()
        certificate = self.sign(spec, key.public_key(), lifetime)
        return Credential(certificate, key_to_pem(key))

    def sign(
        self, spec: CertificateSpec, public_key: ec.EllipticCurvePublicKey, lifetime: datetime.timedelta = LIFETIME
    ) -> bytes:
        """A certificate (PEM) for a key that somebody else holds. It never outlives the authority."""
        builder = _builder(spec.subject, self.certificate.subject, public_key, lifetime, self.certificate)
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage.value for usage in spec.usages]), critical=False)
            .add_extension(_authority_identifier(self.certificate), critical=False)
        )
        names: Sequence[x509.GeneralName] = spec.alternative_names
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether this authority signed the certificate."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def server(common_name: str, dns_names: Sequence[str] = (), addresses: Sequence[str] = ()) -> CertificateSpec:
    """A serving certificate's spec."""
    return CertificateSpec(common_name, (), tuple(dns_names), tuple(addresses), (Usage.SERVER,))


def client(common_name: str, *organizations: str) -> CertificateSpec:
    """A client certificate's spec: user and groups."""
    return CertificateSpec(common_name, organizations)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, lifetime: datetime.timedelta,
    authority: x509.Certificate | None = None,
) -> x509.CertificateBuilder:
    now = effects.now().replace(microsecond=0)
    ends = now + lifetime
    if authority is not None:
        ends = min(ends, authority.not_valid_after_utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(int.from_bytes(effects.secret(20), "big") >> 1)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _authority_identifier(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    subject_key = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_encipherment=True, key_cert_sign=signs_certificates, crl_sign=False,
        content_commitment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )
