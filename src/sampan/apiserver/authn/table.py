"""The authenticators in order: the first that knows the caller wins.

Wrong credentials do not end the search (a stale certificate beside a good token is no harm), but they end in 401: only
who shows none at all is anonymous.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sampan.apimachinery.errors import Unauthorized
from sampan.apimachinery.http import UserInfo
from sampan.apiserver.authn import (
    anonymous,
    bearer,
    bootstrap_token,
    client_certificate,
    legacy_service_account,
    request_header,
    service_account,
    token_file,
    webhook_token,
)
from sampan.apiserver.authn.authenticated import with_group
from sampan.apiserver.authn.oidc import tokens as oidc
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import Authenticator, BuildAuthenticator, ServerParts

TOKENS: tuple[Callable[[ServerParts], bearer.TokenAuthenticator | None], ...] = (
    token_file.build,
    legacy_service_account.build,
    service_account.build,
    bootstrap_token.build,
    oidc.build,
    webhook_token.build,
)


def _bearer(parts: ServerParts) -> Authenticator:
    mechanisms = [found for build in TOKENS if (found := build(parts)) is not None]
    return bearer.Bearer(mechanisms, parts.config.api_audiences or (parts.config.service_account_issuer,))


AUTHENTICATORS: tuple[BuildAuthenticator, ...] = (
    request_header.build,
    client_certificate.build,
    _bearer,
    anonymous.build,
)


async def authenticate(authenticators: Sequence[Authenticator], ctx: RequestContext) -> UserInfo | None:
    """Who asks, with the group system:authenticated; None when nobody knows. Raises Unauthorized."""
    refused: Unauthorized | None = None
    for authenticator in authenticators:
        if refused is not None and isinstance(authenticator, anonymous.Anonymous):
            break
        try:
            user = await authenticator.authenticate(ctx)
        except Unauthorized as error:
            refused = refused or error
            continue
        if user is not None:
            return user if user is anonymous.ANONYMOUS else with_group(user)
    if refused is not None:
        raise refused
    return None
