"""ServiceAccount tokens of the old kind: they live in a Secret of type kubernetes.io/service-account-token, for ever.

Such a token holds while its signature does, the Secret still contains exactly it and the account still has its uid. A
Secret that was marked with `kubernetes.io/legacy-token-invalid-since` (unused for too long) no longer counts.
Source: upstream's pkg/serviceaccount/legacy.go and KEP-2799.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any, Final, TypeAlias

from sampan.api.resources import SECRETS, SERVICE_ACCOUNTS
from sampan.apimachinery.errors import Unauthorized
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object, dig, is_being_deleted, labels_of, uid_of
from sampan.apiserver.authn.service_account import GROUP
from sampan.apiserver.authn.token_keys import VerifyingKey, verifying_keys
from sampan.apiserver.authn.watched_file import WatchedFile
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import Reader, ServerParts

ISSUER: Final = "kubernetes/serviceaccount"
TYPE: Final = "kubernetes.io/service-account-token"
INVALID_SINCE: Final = "kubernetes.io/legacy-token-invalid-since"
_CLAIM: Final = "kubernetes.io/serviceaccount/"
Claims: TypeAlias = dict[str, Any]


class LegacyTokens:
    knows_audiences = False

    def __init__(self, reader: Reader, key_files: tuple[str, ...]) -> None:
        self._reader = reader
        self._files = [WatchedFile(path, verifying_keys) for path in key_files]

    async def authenticate_token(self, token: str, ctx: RequestContext) -> UserInfo | None:
        if token.count(".") != 2:
            return None
        keys = {key.key_id: key for file in self._files for key in file.get()}.values()
        claims = _verified(token, list(keys))
        if claims is None:
            return None
        user = self._user(token, claims)
        if user is None:
            await self._reader.fresh(SECRETS)
            user = self._user(token, claims)
        if user is None:
            raise Unauthorized("Unauthorized")
        return user

    def _user(self, token: str, claims: Claims) -> UserInfo | None:
        """None while the Secret and the account do not bear the token out."""
        namespace, name, uid, secret_name = (
            str(claims.get(_CLAIM + key, "")) for key in
            ("namespace", "service-account.name", "service-account.uid", "secret.name")
        )
        secret = self._reader.get(SECRETS, secret_name, namespace)
        account = self._reader.get(SERVICE_ACCOUNTS, name, namespace)
        if secret is None or account is None or is_being_deleted(secret) or is_being_deleted(account):
            return None
        if not hmac.compare_digest(_token_of(secret), token.encode()) or labels_of(secret).get(INVALID_SINCE):
            return None
        subject = f"system:serviceaccount:{namespace}:{name}"
        if claims.get("sub") != subject or not uid or uid_of(account) != uid:
            return None
        return UserInfo(subject, uid, (GROUP, f"{GROUP}:{namespace}"))


def _token_of(secret: Object) -> bytes:
    if secret.get("type") != TYPE:
        return b""
    try:
        return base64.b64decode(dig(secret, "data", "token", default=""))
    except binascii.Error:
        return b""


def _verified(token: str, keys: list[VerifyingKey]) -> Claims | None:
    """The claims of a token of this kind, None for others. Raises Unauthorized for a forged one."""
    import jwt  # with the first token, not while the server starts

    try:
        claims: Claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return None
    if claims.get("iss") != ISSUER:
        return None
    for key in keys:
        try:
            verified: Claims = jwt.decode(token, key.key, algorithms=[key.algorithm], options={"verify_aud": False})
        except jwt.InvalidTokenError:
            continue
        return verified
    raise Unauthorized("Unauthorized")


def build(parts: ServerParts) -> LegacyTokens | None:
    config = parts.config
    files = config.service_account_key_files
    if not files and config.service_account_signing_key_file:
        files = (config.service_account_signing_key_file,)
    return LegacyTokens(parts.reader, files) if files else None
