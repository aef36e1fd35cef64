"""Bootstrap token cleaner: deletes bootstrap tokens when they have expired.

Observed: Secrets of kube-system of the type bootstrap.kubernetes.io/token. Desired: none whose `expiration` is over or
cannot be read; one without stays. A token is deleted when its time comes.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

from sampan import effects
from sampan.api.resources import SECRETS
from sampan.apimachinery.object import Object, dig, is_being_deleted, key_of, name_of, namespace_of, split_key, uid_of
from sampan.controllers import times
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Delete, Plan

NAMESPACE, TYPE = "kube-system", "bootstrap.kubernetes.io/token"


def plan(secret: Object, now: datetime) -> Plan:
    """Delete the token, or look again when it expires. One whose time cannot be read has expired."""
    text = dig(secret, "data", "expiration")
    if not text or is_being_deleted(secret):
        return NOTHING
    try:
        ends = times.parse(base64.b64decode(text).decode())
    except (ValueError, binascii.Error):
        ends = now
    if ends > now:
        return Plan(requeue_after_s=times.seconds_until(ends, now))
    return Plan((Delete(SECRETS, name_of(secret), namespace_of(secret), uid=uid_of(secret)),))


def is_token(secret: Object) -> bool:
    return namespace_of(secret) == NAMESPACE and secret.get("type") == TYPE


class BootstrapTokenCleaner:
    """Keys are bootstrap tokens; only kube-system's Secrets are followed."""

    def __init__(self, wiring: Wiring) -> None:
        informer = wiring.factory.informer(SECRETS, NAMESPACE, field_selector=f"type={TYPE}")
        wiring.follow(informer, lambda secret: [key_of(secret)] if is_token(secret) else [])
        self._secrets = informer.lister

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        secret = self._secrets.get(name, namespace)
        return NOTHING if secret is None else plan(secret, effects.now())
