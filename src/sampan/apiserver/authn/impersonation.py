"""Acting as somebody else: the Impersonate-* headers, each part of which the caller must be allowed to impersonate.

Constrained impersonation lets somebody act as another for some requests only: it takes the verb
`impersonate-on:MODE:VERB` on what the request is about, and `impersonate:MODE` on the other's name (and groups, uid and
extra) in authentication.k8s.io. The modes (`impersonation_modes.py`) are tried first; then the verb `impersonate` on
users, groups and serviceaccounts, and on uids and userextras/KEY of authentication.k8s.io, which is good for every
request. Who may not is told what the first of them lacks.
Source: "User Impersonation" in the Kubernetes documentation, KEP-5284.
"""

from __future__ import annotations

from collections.abc import Awaitable
from urllib.parse import unquote

from sampan.apimachinery.errors import BadRequest, Forbidden, InternalError
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.http import Response, UserInfo
from sampan.apiserver.authn.anonymous import ANONYMOUS
from sampan.apiserver.authn.authenticated import AUTHENTICATED
from sampan.apiserver.authn.headers import prefixed, values
from sampan.apiserver.authn.impersonation_modes import Mode, account_of, modes_for, node_of
from sampan.apiserver.authn.service_account import GROUP
from sampan.apiserver.authz.node_identity import GROUP as NODES
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import Link, Next, ServerParts

_PREFIX = "impersonate-"
_EXTRA = "extra-"


async def impersonate(ctx: RequestContext, parts: ServerParts) -> None:
    """If the headers ask for it, make `ctx.user` the other and keep who asked as `ctx.impersonator`.

    Raises Forbidden for what the caller may not impersonate, BadRequest for parts of a user without the user.
    """
    wanted = _wanted(ctx)
    if wanted is None:
        return
    if ctx.user is None:
        raise InternalError("no user to impersonate from")
    first: Forbidden | None = None
    for mode in modes_for(wanted, ctx.user):
        try:
            await mode.check(ctx, ctx.user, wanted, parts.authorize)
        except Forbidden as refused:
            first = first or refused
        else:
            ctx.impersonation_constraint = mode.constraint
            ctx.impersonator, ctx.user = ctx.user, _completed(wanted, mode)
            return
    raise first or InternalError("all impersonation modes failed")


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
        raise BadRequest(f"requested {_shown(uid, groups, extra)} without impersonating a user name")
    return UserInfo(name, uid, groups, extra)


def _shown(uid: str, groups: tuple[str, ...], extra: dict[str, tuple[str, ...]]) -> str:
    """As Go shows such a user with `%#v`."""
    def listed(texts: tuple[str, ...]) -> str:
        return f"[]string{{{', '.join(map(quoted, texts))}}}" if texts else "[]string(nil)"

    pairs = ", ".join(f"{quoted(key)}:{listed(extra[key])}" for key in sorted(extra))
    more = f"map[string][]string{{{pairs}}}" if extra else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:{quoted(uid)}, Groups:{listed(groups)}, Extra:{more}}}'


def _completed(wanted: UserInfo, mode: Mode) -> UserInfo:
    """With the groups that such a user always has."""
    groups = wanted.groups
    account = account_of(wanted.name)
    if account is not None and not groups:
        groups = (GROUP, f"{GROUP}:{account[0]}")
    elif mode.constraint and node_of(wanted.name):
        groups = (NODES,)
    unauthenticated = ANONYMOUS.groups[0]
    if wanted.name == ANONYMOUS.name:
        groups = (*groups, unauthenticated)
    elif unauthenticated not in groups:
        groups = (*groups, AUTHENTICATED)
    return UserInfo(wanted.name, wanted.uid, tuple(dict.fromkeys(groups)), wanted.extra)


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
