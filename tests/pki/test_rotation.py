"""Certificates rotate while everything runs: years of it on virtual time, and on a live TLS context."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from sampan import effects
from sampan.pki import rotation
from sampan.pki.authority import CertificateAuthority, server
from sampan.pki.certificate import KeyPair
from sampan.pki.cluster import ClusterPKI
from sampan.sim.loop import VirtualLoop, run
from sampan.sim.source import SeededSource

DAY_S = 86_400


def test_in_three_years_nothing_ever_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "LONGEST_SLEEP_S", DAY_S)
    renewed: list[tuple[float, str]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        with effects.use(SeededSource(1, loop)):
            pki = ClusterPKI.ensure(tmp_path)
            keeping = asyncio.create_task(
                rotation.keep_renewed(pki.renewables, lambda r: renewed.append((loop.time() / DAY_S, r.name)))
            )
            for _ in range(36):
                await asyncio.sleep(30 * DAY_S)
                for renewable in pki.renewables:
                    credential = renewable.pair.load()
                    assert credential is not None
                    assert credential.certificate.not_valid_after_utc > effects.now()
            keeping.cancel()

    run(main())
    days = [round(day) for day, name in renewed if name == "apiserver"]
    assert days == [292, 584, 876]
    assert len(renewed) == 9 * 3


def test_a_live_context_serves_the_new_certificate_to_the_next_client(tmp_path: Path) -> None:
    authority = CertificateAuthority.create("kubernetes")
    pair = KeyPair.named(tmp_path, "serving")
    spec = server("api", ["api.example"])
    pair.save(authority.issue(spec))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    before = served(context, authority)
    renewable = rotation.Renewable("serving", pair, lambda: authority.issue(spec))
    far_ahead = authority.certificate.not_valid_after_utc
    rotation.renew_due([renewable], lambda r: context.load_cert_chain(r.pair.certificate, r.pair.key), far_ahead)
    after = served(context, authority)
    assert before.serial_number != after.serial_number
    assert before.subject == after.subject


def served(context: ssl.SSLContext, authority: CertificateAuthority) -> x509.Certificate:
    """The certificate that a new client gets and trusts."""
    client_context = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    at_server = context.wrap_bio(to_server, to_client, server_side=True)
    at_client = client_context.wrap_bio(to_client, to_server, server_hostname="api.example")
    pending = [at_client, at_server]
    for _ in range(20):
        for side in list(pending):
            try:
                side.do_handshake()
                pending.remove(side)
            except ssl.SSLWantReadError:
                continue
    peer = at_client.getpeercert(binary_form=True)
    assert peer is not None
    return x509.load_der_x509_certificate(peer)
