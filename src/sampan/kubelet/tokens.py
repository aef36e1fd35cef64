"""ServiceAccount tokens for pods, asked for by TokenRequest, bound to the pod, and renewed in time.

A token is renewed when 80 % of its life or 24 hours have passed (with a little jitter, so that a node's tokens do not
all fall due at once), as upstream's token manager does. If renewal fails, an unexpired token keeps serving.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sampan import effects
from sampan.api.resources import SERVICE_ACCOUNTS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig, key_of, name_of, namespace_of, uid_of
from sampan.client.client import Client
from sampan.kubelet.errors import VolumeError

log = logging.getLogger(__name__)

RENEW_AFTER_FRACTION = 0.8
MAX_AGE = timedelta(hours=24)
MAX_JITTER = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: datetime
    expires_at: datetime


class TokenManager:
    """One token for each pod, audience and lifetime."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tokens: dict[tuple[str, str, int], _Token] = {}

    async def get(self, pod: Object, audience: str, lifetime_s: int) -> str:
        """A valid token. Raises VolumeError when there is none to be had."""
        key = (uid_of(pod), audience, lifetime_s)
        token = self._tokens.get(key)
        if token is not None and effects.now() < token.renew_at:
            return token.text
        try:
            token = self._tokens[key] = await self._request(pod, audience, lifetime_s)
        except errors.APIError as error:
            if token is None or effects.now() >= token.expires_at:
                raise VolumeError(f"failed to fetch token: {error}") from error
            log.warning("token of pod %s could not be renewed: %s", key_of(pod), error)
        return token.text

    def forget(self, uid: str) -> None:
        for key in [key for key in self._tokens if key[0] == uid]:
            del self._tokens[key]

    async def _request(self, pod: Object, audience: str, lifetime_s: int) -> _Token:
        body: Object = {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": lifetime_s,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)},
            },
        }
        account = dig(pod, "spec", "serviceAccountName", default="default")
        answer = await self._client.create(
            SERVICE_ACCOUNTS, body, namespace_of(pod), name=account, subresource="token"
        )
        now = effects.now()
        expires_at = datetime.fromisoformat(answer["status"]["expirationTimestamp"])
        life = expires_at - now
        renew_at = now + min(life * RENEW_AFTER_FRACTION, MAX_AGE) - MAX_JITTER * effects.rng().random()
        return _Token(answer["status"]["token"], renew_at, expires_at)
