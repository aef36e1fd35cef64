"""Authentication by another program: it is sent a TokenReview and says whose token that is.

Answers, yes and no, are kept for `token_webhook_cache_ttl_s`; failures are not, and count as "not my token" so that
later mechanisms are still asked. Source: "Webhook Token Authentication" in the Kubernetes documentation.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object
from sampan.apiserver.context import RequestContext
from sampan.apiserver.remote_review import Remembered, RemoteReview, ReviewFailed
from sampan.apiserver.seams import ServerParts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Answer:
    user: UserInfo | None
    audiences: tuple[str, ...] = ()


class WebhookTokens:
    """`audiences` are those of the API server itself."""

    knows_audiences = True

    def __init__(self, review: RemoteReview, audiences: tuple[str, ...], ttl_s: float) -> None:
        self._review = review
        self._audiences = audiences
        self._ttl_s = ttl_s
        self._known: Remembered[_Answer] = Remembered()

    async def authenticate_token(self, token: str, ctx: RequestContext) -> UserInfo | None:
        wanted = ctx.audiences or self._audiences
        question = (hashlib.sha256(token.encode()).digest(), wanted)
        answer = self._known.get(question)
        if answer is None:
            try:
                answer = _answer(await self._review.post(_review(token, wanted)), wanted)
            except ReviewFailed as error:
                log.warning("token review by webhook failed: %s", error)
                return None
            self._known.put(question, answer, self._ttl_s)
        if answer.user is not None:
            ctx.audiences = answer.audiences
        return answer.user


def _review(token: str, audiences: tuple[str, ...]) -> Object:
    return {
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": token, "audiences": list(audiences)},
    }


def _answer(status: Object, wanted: tuple[str, ...]) -> _Answer:
    """An authenticator that knows no audiences returns none; its tokens are for the API server."""
    user = status.get("user") or {}
    if not status.get("authenticated") or not user.get("username"):
        return _Answer(None)
    named = status.get("audiences") or wanted
    matching = tuple(audience for audience in wanted if audience in named)
    if not matching:
        return _Answer(None)
    extra = {key: tuple(values) for key, values in (user.get("extra") or {}).items()}
    return _Answer(UserInfo(user["username"], user.get("uid", ""), tuple(user.get("groups") or ()), extra), matching)


def build(parts: ServerParts) -> WebhookTokens | None:
    config = parts.config
    if not config.token_webhook_config_file:
        return None
    audiences = config.api_audiences or (config.service_account_issuer,)
    return WebhookTokens(
        RemoteReview(config.token_webhook_config_file), audiences, config.token_webhook_cache_ttl_s
    )
