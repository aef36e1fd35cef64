"""Certificates that the authority issues."""

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from sampan.pki.authority import CertificateAuthority, client, server
from sampan.pki.certificate import KeyPair


def test_a_client_certificate_names_user_and_groups() -> None:
    certificate = CertificateAuthority.create("kubernetes").issue(client("jane", "dev", "ops")).certificate
    assert [a.value for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["jane"]
    assert [a.value for a in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["dev", "ops"]


def test_no_certificate_outlives_its_authority() -> None:
    authority = CertificateAuthority.create("kubernetes", datetime.timedelta(days=10))
    assert authority.issue(client("jane")).certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_an_authority_recognises_only_what_it_signed() -> None:
    ours, other = CertificateAuthority.create("kubernetes"), CertificateAuthority.create("kubernetes")
    certificate = ours.issue(client("jane")).certificate
    assert ours.issued(certificate)
    assert not other.issued(certificate)


def test_an_authority_comes_back_from_its_files(tmp_path: Path) -> None:
    pair = KeyPair.named(tmp_path, "ca")
    made, loaded = CertificateAuthority.ensure(pair, "kubernetes"), CertificateAuthority.ensure(pair, "kubernetes")
    assert made.certificate_pem == loaded.certificate_pem
    assert loaded.issued(made.issue(client("jane")).certificate)


def test_a_key_and_a_certificate_that_do_not_match_are_not_loaded(tmp_path: Path) -> None:
    authority = CertificateAuthority.create("kubernetes")
    pair = KeyPair.named(tmp_path, "x")
    pair.save(authority.issue(client("jane")))
    pair.certificate.write_bytes(authority.issue(client("jane")).certificate_pem)
    assert pair.load() is None


def test_openssl_accepts_server_and_client_certificates_for_mutual_tls(tmp_path: Path) -> None:
    authority = CertificateAuthority.create("kubernetes")
    serving, asking = KeyPair.named(tmp_path, "serving"), KeyPair.named(tmp_path, "asking")
    serving.save(authority.issue(server("api", ["api.example"], ["10.96.0.1"])))
    asking.save(authority.issue(client("jane", "dev")))
    ca = authority.certificate_pem.decode()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=ca)
    server_side.load_cert_chain(serving.certificate, serving.key)
    server_side.verify_mode = ssl.CERT_REQUIRED
    for name in ("api.example", "10.96.0.1"):
        client_side = ssl.create_default_context(cadata=ca)
        client_side.load_cert_chain(asking.certificate, asking.key)
        peer = handshake(server_side, client_side, name)
        assert x509.load_der_x509_certificate(peer).subject.rfc4514_string() == "CN=jane,O=dev"


def handshake(server_context: ssl.SSLContext, client_context: ssl.SSLContext, name: str) -> bytes:
    """Complete a TLS handshake in memory; the client's certificate as the server saw it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    at_server = server_context.wrap_bio(to_server, to_client, server_side=True)
    at_client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    pending = [at_client, at_server]
    for _ in range(20):
        for side in list(pending):
            try:
                side.do_handshake()
                pending.remove(side)
            except ssl.SSLWantReadError:
                continue
    assert not pending, "the handshake did not complete"
    peer = at_server.getpeercert(binary_form=True)
    assert peer is not None
    return peer
