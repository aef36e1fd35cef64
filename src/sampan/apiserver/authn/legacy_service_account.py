"""ServiceAccount tokens of the old kind: they live in a Secret of type kubernetes.io/service-account-token, for ever.

Such a token holds while its signature does, the Secret still contains exactly it and the account still has its uid. A
Secret that was marked with `kubernetes.io/legacy-token-invalid-since` (unused for too long) no longer counts. The day
of a token's last use is kept in the label `kubernetes.io/legacy-token-last-used` of its Secret, from which the
controller that marks and removes unused ones takes it.
Source: upstream's pkg/serviceaccount/legacy.go and KEP-2799.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
from datetime import timedelta
from typing import Any, Final, TypeAlias

from sampan import effects
from sampan.api.resources import SECRETS, SERVICE_ACCOUNTS
from sampan.apimachinery.errors import APIError, Unauthorized
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object, dig, is_being_deleted, labels_of, name_of, namespace_of, uid_of
from sampan.apiserver.authn.service_account import GROUP
from sampan.apiserver.authn.token_keys import VerifyingKey, verifying_keys
from sampan.apiserver.authn.watched_file import WatchedFile
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import Reader, ServerParts
from sampan.client.client import Client

log = logging.getLogger(__name__)

ISSUER: Final = "kubernetes/serviceaccount"
TYPE: Final = "kubernetes.io/service-account-token"
INVALID_SINCE: Final = "kubernetes.io/legacy-token-invalid-since"
LAST_USED: Final = "kubernetes.io/legacy-token-last-used"
GENERATED_WARNING: Final = (
    "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated "
    "secret-based tokens."
)
_AUDIT: Final = "authentication.k8s.io/legacy-token-"
_CLAIM: Final = "kubernetes.io/serviceaccount/"
Claims: TypeAlias = dict[str, Any]


class LegacyTokens:
    knows_audiences = False

    def __init__(self, reader: Reader, key_files: tuple[str, ...], client: Client) -> None:
        self._reader = reader
        self._client = client
        self._files = [WatchedFile(path, verifying_keys) for path in key_files]

    async def authenticate_token(self, token: str, ctx: RequestContext) -> UserInfo | None:
        if token.count(".") != 2:
            return None
        keys = {key.key_id: key for file in self._files for key in file.get()}.values()
        claims = _verified(token, list(keys))
        if claims is None:
            return None
        found = self._found(token, claims)
        if found is None:
            await self._reader.fresh(SECRETS)
            found = self._found(token, claims)
        if found is None:
            raise Unauthorized("Unauthorized")
        user, secret, account = found
        valid = _note_use(secret, account, ctx)
        await self._mark_used(secret)
        if not valid:
            raise Unauthorized("Unauthorized")
        return user

    async def _mark_used(self, secret: Object) -> None:
        """Note the day, unless it is noted; another server's clock may be ahead of midnight."""
        now = effects.now()
        days = [(now + timedelta(days=ahead)).strftime("%Y-%m-%d") for ahead in (0, 1)]
        if labels_of(secret).get(LAST_USED) in days:
            return
        change = {"metadata": {"uid": uid_of(secret), "labels": {LAST_USED: days[0]}}}
        try:
            await self._client.patch(SECRETS, name_of(secret), change, namespace_of(secret))
        except APIError as error:
            log.warning("token secret %s/%s is not marked as used: %s", namespace_of(secret), name_of(secret), error)

    def _found(self, token: str, claims: Claims) -> tuple[UserInfo, Object, Object] | None:
        """Whose it is, its Secret and its account; None while these do not bear the token out."""
        namespace, name, uid, secret_name = (
            str(claims.get(_CLAIM + key, "")) for key in
            ("namespace", "service-account.name", "service-account.uid", "secret.name")
        )
        secret = self._reader.get(SECRETS, secret_name, namespace)
        account = self._reader.get(SERVICE_ACCOUNTS, name, namespace)
        if secret is None or account is None or is_being_deleted(secret) or is_being_deleted(account):
            return None
        if not hmac.compare_digest(_token_of(secret), token.encode()):
            return None
        subject = f"system:serviceaccount:{namespace}:{name}"
        if claims.get("sub") != subject or not uid or uid_of(account) != uid:
            return None
        return UserInfo(subject, uid, (GROUP, f"{GROUP}:{namespace}")), secret, account


def _note_use(secret: Object, account: Object, ctx: RequestContext) -> bool:
    """Tell the audit log, and whoever uses a token that was generated; whether it still counts."""
    name = name_of(secret)
    if labels_of(secret).get(INVALID_SINCE):
        ctx.audit_annotations[f"{_AUDIT}invalidated"] = f"{name}/{namespace_of(secret)}"
        return False
    if any(reference.get("name") == name for reference in account.get("secrets") or ()):
        ctx.warn(GENERATED_WARNING)
        ctx.audit_annotations[f"{_AUDIT}autogenerated-secret"] = name
    else:
        ctx.audit_annotations[f"{_AUDIT}manual-secret"] = name
    return True


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
    return LegacyTokens(parts.reader, files, parts.client) if files else None
