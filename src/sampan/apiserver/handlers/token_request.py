"""`serviceaccounts/NAME/token`: makes a token for a ServiceAccount, for given audiences, bound to an object if asked.

Source: KEP-1205; limits and messages as kube-apiserver has them.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import Any

from sampan import effects
from sampan.api.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS, TOKEN_REQUESTS
from sampan.apimachinery import errors
from sampan.apimachinery.errors import BadRequest, InternalError, MethodNotAllowed
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object, dig, name_of, uid_of
from sampan.apimachinery.resource import Resource
from sampan.apiserver.answers import document
from sampan.apiserver.authn.token_issuer import TokenIssuer
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.review_body import decoded
from sampan.apiserver.seams import AdmissionAttributes, Route, ServerParts

MINIMUM_S, DEFAULT_S, MAXIMUM_S = 600, 3600, 2**32
WARN_ONLY_S = 3607
"""What the ServiceAccount admission plugin asks for: such a token lives a year, and is only reported when used late."""
EXTENDED_S = 365 * 24 * 3600

_BINDABLE = {("v1", "Pod"): PODS, ("v1", "Secret"): SECRETS, ("v1", "Node"): NODES}


async def create_token(ctx: RequestContext, parts: ServerParts) -> Response:
    issuer = _issuer(parts)
    if issuer is None:
        raise MethodNotAllowed("the server has no key to sign ServiceAccount tokens with")
    request = decoded(ctx, TOKEN_REQUESTS)
    account = await _account(ctx, parts)
    own = list(parts.config.api_audiences or (issuer.issuer,))
    _name(request, ctx, account)
    _default(request, own)
    problems = _problems(request)
    if problems:
        raise errors.invalid(TOKEN_REQUESTS, "", problems)
    await _admit(ctx, parts, request)
    spec = request["spec"]
    bound = await _bound(parts, ctx, spec.get("boundObjectRef"))
    now = effects.now()
    lives_s = spec["expirationSeconds"] = _allowed_s(spec["expirationSeconds"], ctx, parts)
    claims = _claims(ctx.namespace, account, bound, spec["audiences"])
    issued = int(now.timestamp())
    expires = issued + lives_s
    if lives_s == WARN_ONLY_S and "pod" in bound and set(spec["audiences"]) <= set(own):
        claims["kubernetes.io"]["warnafter"] = expires
        expires = issued + EXTENDED_S
    claims |= {"iat": issued, "nbf": issued, "exp": expires, "jti": effects.uid()}
    request["status"] = {
        "token": issuer.sign(claims),
        "expirationTimestamp": (now + timedelta(seconds=lives_s)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    ctx.audit_annotations["authentication.kubernetes.io/issued-credential-id"] = f"JTI={claims['jti']}"
    return document(request, 201)


@lru_cache(maxsize=4)
def _issuer_for(path: str, issuer: str) -> TokenIssuer:
    return TokenIssuer(path, issuer)


def _issuer(parts: ServerParts) -> TokenIssuer | None:
    path = parts.config.service_account_signing_key_file
    return _issuer_for(path, parts.config.service_account_issuer) if path else None


async def _account(ctx: RequestContext, parts: ServerParts) -> Object:
    return await _found(parts, SERVICE_ACCOUNTS, ctx.name, ctx.namespace)


async def _found(parts: ServerParts, resource: Resource, name: str, namespace: str) -> Object:
    await parts.reader.fresh(resource)
    found = parts.reader.get(resource, name, namespace)
    if found is None:
        raise errors.not_found(resource, name)
    return found


def _name(request: Object, ctx: RequestContext, account: Object) -> None:
    """The request's metadata is the account's. Raises Invalid, BadRequest or Conflict where it is another's."""
    meta = request["metadata"]
    if meta.get("namespace") and meta["namespace"] != ctx.namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    if meta.get("name") and meta["name"] != ctx.name:
        path = Path("metadata").child("name")
        wrong = invalid(path, meta["name"], "must match the service account name if specified")
        raise errors.invalid(TOKEN_REQUESTS, ctx.name, [wrong])
    uid = uid_of(account)
    if meta.get("uid") and meta["uid"] != uid:
        why = f"the UID in the token request ({meta['uid']}) does not match the UID of the service account ({uid})"
        raise errors.conflict(TOKEN_REQUESTS._replace(plural=TOKEN_REQUESTS.kind), ctx.name, why)
    meta |= {"name": ctx.name, "namespace": ctx.namespace, "uid": uid, "creationTimestamp": effects.timestamp()}


def _allowed_s(asked_s: int, ctx: RequestContext, parts: ServerParts) -> int:
    """How long the token may live here; whoever asked for more is told."""
    longest_s = parts.config.service_account_max_expiration_s
    if not longest_s or asked_s <= longest_s:
        return asked_s
    ctx.warn(f"requested expiration of {asked_s} seconds shortened to {longest_s} seconds")
    return longest_s


def _default(request: Object, own: list[str]) -> None:
    spec = request["spec"]
    spec["audiences"] = spec.get("audiences") or own
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = DEFAULT_S
    request.pop("status", None)


def _problems(request: Object) -> list[FieldError]:
    lives_s: Any = request["spec"]["expirationSeconds"]
    path = Path("spec").child("expirationSeconds")
    if not isinstance(lives_s, int) or isinstance(lives_s, bool):
        return [invalid(path, lives_s, "must be an integer")]
    if lives_s < MINIMUM_S:
        return [invalid(path, lives_s, "may not specify a duration less than 10 minutes")]
    if lives_s > MAXIMUM_S:
        return [invalid(path, lives_s, "may not specify a duration larger than 2^32 seconds")]
    return []


async def _admit(ctx: RequestContext, parts: ServerParts, request: Object) -> None:
    kind = parts.kind_of("", "v1", "serviceaccounts")
    if kind is None or ctx.user is None:
        raise InternalError("tokens need the kind ServiceAccount and a user")
    await parts.admit(AdmissionAttributes(
        "CREATE", kind, TOKEN_REQUESTS, ctx.name, ctx.namespace, ctx.user, request, subresource="token",
        dry_run=ctx.dry_run, context=ctx,
    ))


async def _bound(parts: ServerParts, ctx: RequestContext, reference: Object | None) -> Object:
    """What the token shall be bound to, as claims: `pod`, `secret` or `node`, each with name and uid.

    Raises NotFound, Conflict for another uid, BadRequest for what tokens cannot be bound to.
    """
    if not reference:
        return {}
    kind = str(reference.get("kind", ""))
    resource = _BINDABLE.get((str(reference.get("apiVersion", "")), kind))
    if resource is None:
        api_version = reference.get("apiVersion", "")
        raise BadRequest(f"cannot bind token to object of type {api_version}, Kind={kind}")
    name = str(reference.get("name", ""))
    found = await _found(parts, resource, name, ctx.namespace if resource.namespaced else "")
    if resource == PODS and dig(found, "spec", "serviceAccountName", default="") != ctx.name:
        raise BadRequest(
            f'cannot bind token for serviceaccount "{ctx.name}" to pod running with different serviceaccount name.'
        )
    wanted_uid = reference.get("uid", "")
    if wanted_uid and wanted_uid != uid_of(found):
        raise errors.conflict(
            resource._replace(plural=kind), name,
            f"the UID in the bound object reference ({wanted_uid}) does not match the UID in record. The object might "
            "have been deleted and then recreated",
        )
    claims: Object = {kind.lower(): {"name": name, "uid": uid_of(found)}}
    node_name = dig(found, "spec", "nodeName") if resource == PODS else None
    if node_name:
        node = parts.reader.get(NODES, node_name)
        claims["node"] = {"name": node_name, **({"uid": uid_of(node)} if node is not None else {})}
    return claims


def _claims(namespace: str, account: Object, bound: Object, audiences: list[str]) -> Object:
    name = name_of(account)
    return {
        "sub": f"system:serviceaccount:{namespace}:{name}",
        "aud": audiences,
        "kubernetes.io": {
            "namespace": namespace, "serviceaccount": {"name": name, "uid": uid_of(account)}, **bound,
        },
    }


ROUTES: tuple[Route, ...] = (
    Route(SERVICE_ACCOUNTS, "token", ("create",), TOKEN_REQUESTS, create_token),
)
