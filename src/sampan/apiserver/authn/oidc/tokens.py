"""Authentication by JWTs of configured issuers.

A token belongs to the issuer that it names; everybody else's is left to other mechanisms. It must be signed with one of
the issuer's keys, be for one of the configured audiences and be valid now. What a token proved is kept until it
expires or the configuration changes, so its signature is checked once.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from sampan import effects
from sampan.apimachinery.errors import Unauthorized
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object
from sampan.apiserver.authn.oidc.claims import Refused, user_of
from sampan.apiserver.authn.oidc.configuration import AuthenticationConfiguration, JWTIssuer, parse
from sampan.apiserver.authn.oidc.issuer_keys import IssuerKeys, KeysUnavailable
from sampan.apiserver.authn.watched_file import WatchedFile
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import ServerParts

if TYPE_CHECKING:
    from jwt.types import Options

MEMORY: Final = 4096
NOT_BEFORE_LEEWAY_S: Final = 300
# Times are checked against the clock of effects, not by PyJWT, which reads the machine's.
_SIGNATURE_ONLY: Final[Options] = {
    "verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False,
}

log = logging.getLogger(__name__)


class OIDCTokens:
    """`configuration` may change while the server runs."""

    knows_audiences = False

    def __init__(self, configuration: WatchedFile[AuthenticationConfiguration]) -> None:
        self._configuration = configuration
        self._generation = -1
        self._issuers: dict[str, tuple[JWTIssuer, IssuerKeys]] = {}
        self._known: dict[str, tuple[Object, UserInfo]] = {}

    async def authenticate_token(self, token: str, ctx: RequestContext) -> UserInfo | None:
        if token.count(".") != 2:
            return None
        self._refresh()
        known = self._known.get(token)
        if known is None:
            import jwt  # with the first token, not while the server starts

            try:
                header = jwt.get_unverified_header(token)
                claimed: Object = jwt.decode(token, options={"verify_signature": False})
            except jwt.InvalidTokenError:
                return None
            issuer, keys = self._issuers.get(str(claimed.get("iss")), (None, None))
            if issuer is None or keys is None:
                return None
            try:
                claims = await _verified(token, header, keys)
                _check(issuer, claims)
                known = claims, user_of(issuer, claims)
            except (Refused, KeysUnavailable) as error:
                log.info("token of %s refused: %s", issuer.url, error)
                raise Unauthorized("Unauthorized") from None
            if len(self._known) >= MEMORY:
                self._known.clear()
            self._known[token] = known
        _check_times(known[0])
        return known[1]

    def _refresh(self) -> None:
        configuration = self._configuration.get()
        if self._generation != self._configuration.generation:
            self._generation = self._configuration.generation
            self._known.clear()
            self._issuers = {
                one.url: (one, IssuerKeys(one.url, one.discovery_url, one.authority)) for one in configuration.issuers
            }


async def _verified(token: str, header: Any, keys: IssuerKeys) -> Object:
    import jwt

    algorithm = str(header.get("alg", ""))
    for key in await keys.candidates(str(header.get("kid") or ""), algorithm):
        try:
            claims: Object = jwt.decode(token, key.key, algorithms=[algorithm], options=_SIGNATURE_ONLY)
        except (jwt.PyJWTError, TypeError, ValueError):
            continue
        return claims
    raise Refused("failed to verify signature: no key of the issuer fits")


def _check(issuer: JWTIssuer, claims: Object) -> None:
    audiences = claims.get("aud")
    named = [audiences] if isinstance(audiences, str) else audiences or []
    if not any(audience in named for audience in issuer.audiences):
        raise Refused(f"expected audience in {list(issuer.audiences)}, got {named}")
    if not isinstance(claims.get("exp"), int | float):
        raise Refused("the token never expires")


def _check_times(claims: Object) -> None:
    now = effects.now().timestamp()
    begins = claims.get("nbf")
    early = isinstance(begins, int | float) and now + NOT_BEFORE_LEEWAY_S < begins
    if now >= float(claims["exp"]) or early:
        raise Unauthorized("Unauthorized")


def build(parts: ServerParts) -> OIDCTokens | None:
    path = parts.config.authentication_config_file
    return OIDCTokens(WatchedFile(path, parse)) if path else None
