"""Acting as somebody else: the Impersonate-* headers, each part of which the caller must be allowed to impersonate.

Source: "User impersonation" in the Kubernetes documentation; a caller needs the verb impersonate on users, groups,
serviceaccounts, and on uids and userextras/KEY of authentication.k8s.io.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from urllib.parse import unquote

from sampan.apimachinery.errors import BadRequest, InternalError
from sampan.apimachinery.http import Response, UserInfo
from sampan.apiserver.authn.anonymous import ANONYMOUS
from sampan.apiserver.authn.authenticated import AUTHENTICATED
from sampan.apiserver.authn.headers import prefixed, values
from sampan.apiserver.authn.service_account import GROUP
from sampan.apiserver.authz.refusal import forbidden
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import Attributes, Link, Next, ServerParts

_PREFIX = "impersonate-"
_EXTRA = "extra-"
_ACCOUNT = "system:serviceaccount:"


async def impersonate(ctx: RequestContext, parts: ServerParts) -> None:
    """If the headers ask for it, make `ctx.user` the other and keep who asked as `ctx.impersonator`.

    Raises Forbidden for what the caller may not impersonate, BadRequest for parts of a user without the user.
    """
    wanted = _wanted(ctx)
    if wanted is None:
        return
    if ctx.user is None:
        raise InternalError("no user to impersonate from")
    for attributes in _questions(ctx.user, wanted):
        verdict = await parts.authorize(attributes)
        if not verdict.allowed:
            raise forbidden(attributes, verdict.reason)
    ctx.impersonator, ctx.user = ctx.user, _completed(wanted)


def _asked(ctx: RequestContext) -> bool:
    """A look at all names at once, since few requests have any."""
    return _PREFIX in "\n".join(ctx.request.headers).lower()


def _wanted(ctx: RequestContext) -> UserInfo | None:
    if not _asked(ctx):
        return None
    headers = ctx.request.headers
    sent = dict(prefixed(headers, _PREFIX))
    if not sent:
        return None
    name, uid = (headers[sent[part]] if part in sent else "" for part in ("user", "uid"))
    groups = values(headers, sent["group"]) if "group" in sent else ()
    extra = {
        unquote(part.removeprefix(_EXTRA)): values(headers, header) for part, header in sent.items()
        if part.startswith(_EXTRA)
    }
    if not name:
        raise BadRequest("requested impersonation without impersonating a user")
    return UserInfo(name, uid, groups, extra)


def _questions(asking: UserInfo, wanted: UserInfo) -> Iterator[Attributes]:
    def may(resource: str, name: str, *, group: str = "", subresource: str = "", namespace: str = "") -> Attributes:
        return Attributes(
            asking, "impersonate", group=group, version="v1", resource=resource, subresource=subresource,
            namespace=namespace, name=name,
        )

    account = _account(wanted.name)
    if account is not None:
        yield may("serviceaccounts", account[1], namespace=account[0])
    else:
        yield may("users", wanted.name)
    for group in wanted.groups:
        yield may("groups", group)
    if wanted.uid:
        yield may("uids", wanted.uid, group="authentication.k8s.io")
    for key, texts in wanted.extra.items():
        for value in texts:
            yield may("userextras", value, group="authentication.k8s.io", subresource=key)


def _completed(wanted: UserInfo) -> UserInfo:
    """With the groups that such a user always has."""
    groups = wanted.groups
    account = _account(wanted.name)
    if account is not None and not groups:
        groups = (GROUP, f"{GROUP}:{account[0]}")
    if wanted.name == ANONYMOUS.name:
        added: tuple[str, ...] = ANONYMOUS.groups
    else:
        added = (AUTHENTICATED,)
    return UserInfo(wanted.name, wanted.uid, tuple(dict.fromkeys((*groups, *added))), wanted.extra)


def _account(name: str) -> tuple[str, str] | None:
    if not name.startswith(_ACCOUNT):
        return None
    namespace, _, account = name[len(_ACCOUNT):].partition(":")
    return (namespace, account) if namespace and account else None


def build(parts: ServerParts) -> Link | None:
    """A link of the chain, between authentication and authorisation."""
    if not parts.config.authorization:
        return None

    def link(ctx: RequestContext, next: Next) -> Awaitable[Response]:
        return impersonated(ctx, next) if _asked(ctx) else next(ctx)

    async def impersonated(ctx: RequestContext, next: Next) -> Response:
        await impersonate(ctx, parts)
        return await next(ctx)

    return link
