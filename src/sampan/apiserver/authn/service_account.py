"""ServiceAccount tokens: JWTs that the server signed, bound to an account and often to a pod, node or secret.

A token holds while its signature, issuer, audience and times do, and while everything that it is bound to exists with
the same uid. What a signature proves is remembered by token; what it is bound to is looked at again whenever one of
those kinds has changed. Source: KEP-1205 and "Managing Service Accounts" in the Kubernetes documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sampan import effects
from sampan.api.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from sampan.apimachinery.errors import Unauthorized
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import dig, meta, uid_of
from sampan.apimachinery.resource import Resource
from sampan.apiserver.authn.certificate_authority import CREDENTIAL_ID
from sampan.apiserver.authn.token_keys import VerifyingKey, verifying_keys
from sampan.apiserver.authn.watched_file import WatchedFile
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import Reader, ServerParts

if TYPE_CHECKING:
    from jwt.types import Options

MEMORY = 4096
LEEWAY_S = 60
GROUP = "system:serviceaccounts"
_CLAIM = "kubernetes.io"
_EXTRA = "authentication.kubernetes.io/"
_WATCHED = (SERVICE_ACCOUNTS, PODS, SECRETS, NODES)

Claims: TypeAlias = dict[str, Any]

# Times are checked against the clock of effects, not by PyJWT, which reads the machine's; audiences depend on who asks.
_SIGNATURE_ONLY: Final[Options] = {
    "verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False,
}


@dataclass(slots=True)
class _Known:
    """A token whose signature was good: its claims, and at which versions of the bound kinds it held."""

    claims: Claims
    user: UserInfo
    versions: tuple[int, ...] = ()


class ServiceAccountTokens:
    """`audiences` are those of the server itself; `issuer` is the one it signs as."""

    knows_audiences = True

    def __init__(
        self, reader: Reader, key_files: tuple[str, ...], issuer: str, audiences: tuple[str, ...]
    ) -> None:
        self._reader = reader
        self._files = [WatchedFile(path, verifying_keys) for path in key_files]
        self._issuer = issuer
        self._audiences = audiences
        self._generation = 0
        self._known: dict[str, _Known] = {}

    @property
    def keys(self) -> list[VerifyingKey]:
        """All keys that verify, each once."""
        return list({key.key_id: key for file in self._files for key in file.get()}.values())

    async def authenticate_token(self, token: str, ctx: RequestContext) -> UserInfo | None:
        if token.count(".") != 2:
            return None
        keys = self.keys
        generation = sum(file.generation for file in self._files)
        if generation != self._generation or len(self._known) >= MEMORY:
            self._generation = generation
            self._known.clear()
        known = self._known.get(token)
        if known is None:
            claims = self._verified(token, keys)
            if claims is None:
                return None
            known = self._known[token] = _Known(claims, user_of(claims))
        try:
            self._check_times(known.claims)
            matching = self._matching(known.claims, ctx.audiences)
            await self._check_bound(known)
        except Unauthorized:
            self._known.pop(token, None)
            raise
        ctx.audiences = matching
        _note_staleness(known.claims, ctx)
        return known.user

    def _verified(self, token: str, keys: list[VerifyingKey]) -> Claims | None:
        """The claims of a token of ours, None for a foreign one. Raises Unauthorized for a forged one."""
        import jwt  # with the first token, not while the server starts

        try:
            header = jwt.get_unverified_header(token)
            claims: Claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return None
        if claims.get("iss") != self._issuer:
            return None
        kid = header.get("kid")
        for key in keys:
            if kid and key.key_id != kid:
                continue
            try:
                verified: Claims = jwt.decode(token, key.key, algorithms=[key.algorithm], options=_SIGNATURE_ONLY)
            except jwt.InvalidTokenError:
                continue
            if not dig(verified, _CLAIM, "serviceaccount", "name"):
                raise Unauthorized("Unauthorized")
            return verified
        raise Unauthorized("Unauthorized")

    def _check_times(self, claims: Claims) -> None:
        now = effects.now().timestamp()
        if now > float(claims.get("exp", 0)) or now + LEEWAY_S < float(claims.get("nbf", 0)):
            raise Unauthorized("Unauthorized")

    def _matching(self, claims: Claims, wanted: tuple[str, ...]) -> tuple[str, ...]:
        found = claims.get("aud")
        audiences = [found] if isinstance(found, str) else list(found or ())
        matching = tuple(audience for audience in (wanted or self._audiences) if audience in audiences)
        if not matching:
            raise Unauthorized("Unauthorized")
        return matching

    async def _check_bound(self, known: _Known) -> None:
        versions = self._versions()
        if known.versions == versions:
            return
        if not self._holds(known.claims):
            # The account or pod may be so new that the cache has not shown it yet.
            for resource in _WATCHED:
                await self._reader.fresh(resource)
            versions = self._versions()
            if not self._holds(known.claims):
                raise Unauthorized("Unauthorized")
        known.versions = versions

    def _versions(self) -> tuple[int, ...]:
        return tuple(self._reader.version(resource) for resource in _WATCHED)

    def _holds(self, claims: Claims) -> bool:
        bound = claims[_CLAIM]
        namespace = str(bound.get("namespace", ""))
        if not self._exists(SERVICE_ACCOUNTS, bound.get("serviceaccount"), namespace):
            return False
        if bound.get("pod"):
            return self._exists(PODS, bound["pod"], namespace)
        if bound.get("secret"):
            return self._exists(SECRETS, bound["secret"], namespace)
        return not bound.get("node") or self._exists(NODES, bound["node"], "")

    def _exists(self, resource: Resource, reference: Any, namespace: str) -> bool:
        """Exists with the same uid, and was not deleted more than a minute ago."""
        obj = self._reader.peek(resource, str(dig(reference, "name", default="")), namespace)
        if obj is None or uid_of(obj) != dig(reference, "uid", default=""):
            return False
        deleted = meta(obj).get("deletionTimestamp")
        return not deleted or datetime.fromisoformat(deleted) >= effects.now() - timedelta(seconds=LEEWAY_S)


def _note_staleness(claims: Claims, ctx: RequestContext) -> None:
    """A pod's automatic token that is used past the hour that it was asked for: its client does not read it again."""
    after = claims[_CLAIM].get("warnafter")
    late_s = int(effects.now().timestamp()) - int(after) if after else 0
    if late_s > 0:
        told = f"subject: {claims.get('sub', '')}, seconds after warning threshold: {late_s}"
        ctx.audit_annotations["authentication.k8s.io/stale-token"] = told


def user_of(claims: Claims) -> UserInfo:
    """The user that a token's claims describe."""
    bound = claims[_CLAIM]
    namespace, account = str(bound.get("namespace", "")), bound["serviceaccount"]
    extra: dict[str, tuple[str, ...]] = {}
    if claims.get("jti"):
        extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
    for kind in ("pod", "node"):
        reference = bound.get(kind)
        if reference:
            extra[f"{_EXTRA}{kind}-name"] = (str(reference.get("name", "")),)
            if reference.get("uid"):
                extra[f"{_EXTRA}{kind}-uid"] = (str(reference["uid"]),)
    return UserInfo(
        f"system:serviceaccount:{namespace}:{account['name']}", str(account.get("uid", "")),
        (GROUP, f"{GROUP}:{namespace}"), extra,
    )


def build(parts: ServerParts) -> ServiceAccountTokens | None:
    config = parts.config
    files = config.service_account_key_files
    if not files and config.service_account_signing_key_file:
        files = (config.service_account_signing_key_file,)
    if not files:
        return None
    audiences = config.api_audiences or (config.service_account_issuer,)
    return ServiceAccountTokens(parts.reader, files, config.service_account_issuer, audiences)
