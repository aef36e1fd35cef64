"""Authentication by bearer token: `Authorization: Bearer …`, or, for WebSockets from browsers, a sub-protocol.

The mechanisms that know tokens are asked in order (`TOKENS` in table.py). A token that none of them knows is refused,
never taken for no token.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Protocol

from sampan.apimachinery.errors import Unauthorized
from sampan.apimachinery.http import UserInfo
from sampan.apiserver.authn.headers import listed
from sampan.apiserver.context import RequestContext

WEBSOCKET_PREFIX = "base64url.bearer.authorization.k8s.io."


class TokenAuthenticator(Protocol):
    knows_audiences: bool
    """False: its tokens are for the API server and nobody else."""

    async def authenticate_token(self, token: str, ctx: RequestContext) -> UserInfo | None:
        """Whose token this is; None: not mine. Raises Unauthorized for one that is mine and wrong.

        `ctx.audiences` is whom the token must be for; an authenticator leaves there those of them that it is for.
        """


class Bearer:
    """`audiences` are those of the server itself."""

    def __init__(self, mechanisms: Sequence[TokenAuthenticator], audiences: Sequence[str]) -> None:
        self._mechanisms = mechanisms
        self._audiences = audiences

    async def authenticate(self, ctx: RequestContext) -> UserInfo | None:
        token = token_of(ctx)
        if not token:
            return None
        for mechanism in self._mechanisms:
            user = await mechanism.authenticate_token(token, ctx)
            if user is None:
                continue
            if not mechanism.knows_audiences and ctx.audiences:
                ctx.audiences = tuple(audience for audience in ctx.audiences if audience in self._audiences)
                if not ctx.audiences:
                    break
            return user
        raise Unauthorized("Unauthorized")


def token_of(ctx: RequestContext) -> str:
    """The request's token, "" without one."""
    headers = ctx.request.headers
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip().split(" ")[0]
    if headers.get("upgrade", "").lower() == "websocket":
        for protocol in listed(headers, "sec-websocket-protocol"):
            if protocol.startswith(WEBSOCKET_PREFIX):
                return _decoded(protocol[len(WEBSOCKET_PREFIX):])
    return ""


def _decoded(encoded: str) -> str:
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unauthorized("Unauthorized") from error
