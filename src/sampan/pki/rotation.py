"""Certificates that renew themselves while the cluster runs.

A certificate is due at 80 % of its lifetime, so there is a fifth of it left to try again. `keep_renewed` sleeps until
the first one is due, replaces its files and tells whoever uses them: a server calls
`ssl_context.load_cert_chain(pair.certificate, pair.key)` on its live context, and every later handshake uses the new
certificate. A renewal that fails is logged and tried again every few minutes.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography import x509

from sampan import effects
from sampan.pki.certificate import Credential, KeyPair

log = logging.getLogger(__name__)

RENEWAL_POINT = 0.8
LONGEST_SLEEP_S = 3600.0
"""A sleeping task does not notice that the wall clock was set, so it looks at least this often."""
RETRY_S = 300.0


@dataclass(frozen=True, slots=True)
class Renewable:
    """A certificate in files, and how to get its successor."""

    name: str
    pair: KeyPair
    issue: Callable[[], Credential]


def due_at(certificate: x509.Certificate) -> datetime.datetime:
    """The moment from which the certificate should be replaced."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begins + (ends - begins) * RENEWAL_POINT


def is_due(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    return now >= due_at(certificate)


def renew_due(
    renewables: Sequence[Renewable], on_renewed: Callable[[Renewable], None], now: datetime.datetime
) -> float:
    """Renew what is due (or missing, or damaged) at `now`; seconds until it makes sense to look again."""
    wait_s = LONGEST_SLEEP_S
    for renewable in renewables:
        credential = renewable.pair.load()
        if credential is not None and not is_due(credential.certificate, now):
            wait_s = min(wait_s, (due_at(credential.certificate) - now).total_seconds())
            continue
        try:
            renewable.pair.save(renewable.issue())
            on_renewed(renewable)
        except Exception:
            log.exception("certificate %s could not be renewed; trying again in %d s", renewable.name, RETRY_S)
            wait_s = min(wait_s, RETRY_S)
        else:
            log.info("certificate %s renewed", renewable.name)
    return max(1.0, wait_s)


async def keep_renewed(renewables: Sequence[Renewable], on_renewed: Callable[[Renewable], None]) -> None:
    """Renew for as long as it runs; `on_renewed` is called after the new files are in place."""
    while True:
        wait_s = renew_due(renewables, on_renewed, effects.now())
        await asyncio.sleep(wait_s)
