"""Bootstrap signer: signs the public ConfigMap `kube-public/cluster-info` with every bootstrap token that may.

Whoever joins a cluster knows a token and nothing else. It reads cluster-info, which anybody may, and believes it if its
entry `jws-kubeconfig-ID` is the signature of the entry `kubeconfig` by its own token (a JWS, HS256, without the
content).

Observed: that ConfigMap and the bootstrap tokens. Desired: a true signature for each token that is for signing and has
not expired. Missing and wrong ones are written, those of other tokens taken away. Where nobody made a cluster-info
there is nothing to sign.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterable
from datetime import datetime

from sampan import effects
from sampan.api.resources import CONFIG_MAPS, SECRETS
from sampan.apimachinery.object import Object, dig, is_being_deleted, name_of
from sampan.controllers import times
from sampan.controllers.certificates.bootstrap_token_cleaner import NAMESPACE as TOKENS
from sampan.controllers.certificates.bootstrap_token_cleaner import TYPE
from sampan.reconcile.controller import Wiring, one_key
from sampan.reconcile.plan import NOTHING, Plan, Update

NAMESPACE, NAME, CONTENT = "kube-public", "cluster-info", "kubeconfig"
PREFIX = "jws-kubeconfig-"
KEY = f"{NAMESPACE}/{NAME}"


def plan(info: Object, tokens: Iterable[Object], now: datetime) -> Plan:
    """Make the signatures those of `tokens`."""
    data: dict[str, str] = info.get("data") or {}
    content = data.get(CONTENT)
    if content is None or is_being_deleted(info):
        return NOTHING
    kept = {key: text for key, text in data.items() if not key.startswith(PREFIX)}
    secrets = dict(found for token in tokens if (found := signing_token(token, now)) is not None)
    wanted = kept | {PREFIX + name: signature(content, name, secret) for name, secret in sorted(secrets.items())}
    return NOTHING if wanted == data else Plan((Update(CONFIG_MAPS, {**info, "data": wanted}),))


def signing_token(secret: Object, now: datetime) -> tuple[str, str] | None:
    """The id and the secret of a bootstrap token that may sign."""
    name = _text(secret, "token-id")
    if is_being_deleted(secret) or not name or name_of(secret) != f"bootstrap-token-{name}":
        return None
    if _text(secret, "usage-bootstrap-signing") != "true":
        return None
    if text := _text(secret, "expiration"):
        try:
            if times.parse(text) <= now:
                return None
        except ValueError:
            return None
    return (name, found) if (found := _text(secret, "token-secret")) else None


def signature(content: str, token_id: str, token_secret: str) -> str:
    """A compact JWS whose middle part is left out, since the reader has it."""
    header = _encoded(json.dumps({"alg": "HS256", "kid": token_id}, separators=(",", ":")).encode())
    signed = f"{header}.{_encoded(content.encode())}".encode()
    return f"{header}..{_encoded(hmac.new(token_secret.encode(), signed, hashlib.sha256).digest())}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _text(secret: Object, field: str) -> str:
    try:
        return base64.b64decode(dig(secret, "data", field, default="")).decode()
    except (ValueError, binascii.Error):
        return ""


class BootstrapSigner:
    """One key: cluster-info. Every bootstrap token concerns it."""

    def __init__(self, wiring: Wiring) -> None:
        info = wiring.factory.informer(CONFIG_MAPS, NAMESPACE, field_selector=f"metadata.name={NAME}")
        wiring.follow(info, one_key(KEY))
        self._info = info.lister
        tokens = wiring.factory.informer(SECRETS, TOKENS, field_selector=f"type={TYPE}")
        wiring.follow(tokens, one_key(KEY))
        self._tokens = tokens.lister

    async def reconcile(self, key: str) -> Plan:
        info = self._info.get_by_key(key)
        return NOTHING if info is None else plan(info, self._tokens.list(), effects.now())
