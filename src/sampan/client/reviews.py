"""Reviews: what a component with a server of its own asks the API server about its callers.

Who is behind a bearer token (TokenReview), and whether somebody may do something (SubjectAccessReview). Answers are
kept for a while, as upstream's webhook caches do; what cannot be asked is answered with no.
"""

from __future__ import annotations

import orjson

from sampan import effects
from sampan.api.resources import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from sampan.apimachinery import errors
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object
from sampan.client.client import Client

ALLOWED_S = 300.0
DENIED_S = 30.0
AUTHENTICATED_S = 120.0
MAX_KEPT = 1000


class Reviews:
    """Questions about callers, asked as whom the client acts."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._users: dict[str, tuple[float, UserInfo | None]] = {}
        self._answers: dict[bytes, tuple[float, bool]] = {}

    async def user_of_token(self, token: str) -> UserInfo | None:
        """None for a token that nobody issued."""
        known = self._users.get(token)
        if known is not None and known[0] > effects.monotonic():
            return known[1]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        try:
            status = (await self._client.create(TOKEN_REVIEWS, body)).get("status") or {}
        except errors.APIError:
            return None
        user = None
        if status.get("authenticated"):
            found = status.get("user") or {}
            user = UserInfo(found.get("username", ""), found.get("uid", ""), tuple(found.get("groups") or ()))
        if len(self._users) >= MAX_KEPT:
            self._users.clear()
        self._users[token] = (effects.monotonic() + AUTHENTICATED_S, user)
        return user

    async def allowed(self, user: UserInfo, attributes: Object) -> bool:
        """Whether `user` may; `attributes` is `resourceAttributes` or `nonResourceAttributes` with its content."""
        if "system:masters" in user.groups:
            return True
        spec = {"user": user.name, "groups": list(user.groups), "uid": user.uid, **attributes}
        key = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)
        known = self._answers.get(key)
        if known is not None and known[0] > effects.monotonic():
            return known[1]
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        try:
            answer = await self._client.create(SUBJECT_ACCESS_REVIEWS, body)
        except errors.APIError:
            return False
        allowed = bool((answer.get("status") or {}).get("allowed"))
        if len(self._answers) >= MAX_KEPT:
            self._answers.clear()
        self._answers[key] = (effects.monotonic() + (ALLOWED_S if allowed else DENIED_S), allowed)
        return allowed
