"""The modes of constrained impersonation, and what each asks the authorisers.

    associated-node    the node of a ServiceAccount's own pod, by name only
    arbitrary-node     any node, by name only
    serviceaccount     a ServiceAccount, by name only
    user-info          anybody else, with groups, uid and extra
    (legacy)           anybody, for every request
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Final, TypeAlias

from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.names import dns1123_subdomain, domain_prefixed_path
from sampan.apiserver.authz import selector_attributes
from sampan.apiserver.authz.node_identity import PREFIX as NODE
from sampan.apiserver.authz.privileged import MASTERS
from sampan.apiserver.authz.refusal import forbidden
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import Attributes, Verdict

Authorize: TypeAlias = Callable[[Attributes], Awaitable[Verdict]]
MANY: Final = 4
"""From so many groups or values of extra on, the right to all of them is asked about first."""
_ASSOCIATED: Final = "associated-node"
_GROUP: Final = "authentication.k8s.io"
_ACCOUNT: Final = "system:serviceaccount:"
_NODE_NAME: Final = "authentication.kubernetes.io/node-name"
_KEYS: Final = "authentication.kubernetes.io/associated-node-keys"


class Mode:
    """`name` is empty for impersonation without constraint."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.constraint = f"impersonate:{name}" if name else ""
        self._verb = self.constraint or "impersonate"
        self._group = _GROUP if name else ""

    async def check(self, ctx: RequestContext, asking: UserInfo, wanted: UserInfo, authorize: Authorize) -> None:
        """Raises Forbidden."""
        if self.name == _ASSOCIATED:  # whoever runs on each node has the same right on each
            asking = replace(asking, extra={_KEYS: tuple(sorted(asking.extra))})
        if self.name:
            verb = f"impersonate-on:{self.name}:{ctx.verb}"
            await _ask(authorize, selector_attributes.asked(ctx, asking, verb))
        await _ask(authorize, self._who(asking, wanted))
        if wanted.uid:
            await _ask(authorize, self._may(asking, "uids", wanted.uid, _GROUP))
        if wanted.groups:
            await self._groups(asking, wanted.groups, authorize)
        if wanted.extra:
            await self._extra(asking, wanted, authorize)

    def _may(self, asking: UserInfo, resource: str, name: str, group: str, subresource: str = "") -> Attributes:
        return Attributes(
            asking, self._verb, group=group, version="v1", resource=resource, subresource=subresource, name=name,
        )

    def _who(self, asking: UserInfo, wanted: UserInfo) -> Attributes:
        account, node = account_of(wanted.name), node_of(wanted.name)
        if account is not None:
            return replace(self._may(asking, "serviceaccounts", account[1], self._group), namespace=account[0])
        if self.name and node:
            return self._may(asking, "nodes", "*" if self.name == _ASSOCIATED else node, self._group)
        return self._may(asking, "users", wanted.name, self._group)

    async def _groups(self, asking: UserInfo, groups: tuple[str, ...], authorize: Authorize) -> None:
        if self.name:
            if "" in groups:
                raise forbidden(self._may(asking, "groups", "", self._group),
                                "impersonating the empty string group is not allowed")
            if MASTERS in groups:
                raise forbidden(self._may(asking, "groups", MASTERS, self._group),
                                f"impersonating the {MASTERS} group is not allowed")
            if len(groups) >= MANY and (await authorize(self._may(asking, "groups", "*", self._group))).allowed:
                return
        for group in groups:
            await _ask(authorize, self._may(asking, "groups", group, self._group))

    async def _extra(self, asking: UserInfo, wanted: UserInfo, authorize: Authorize) -> None:
        values = [(key, value) for key, texts in wanted.extra.items() for value in texts]
        if self.name:
            if why := _odd_extra(wanted):
                raise forbidden(self._may(asking, "userextras", "", _GROUP), why)
            if len(values) >= MANY and (await authorize(self._may(asking, "userextras", "*", _GROUP, "*"))).allowed:
                return
        for key, value in values:
            await _ask(authorize, self._may(asking, "userextras", value, _GROUP, key))


_ASSOCIATED_NODE, _ARBITRARY_NODE, _SERVICE_ACCOUNT, _USER_INFO, _LEGACY = (
    Mode(_ASSOCIATED), Mode("arbitrary-node"), Mode("serviceaccount"), Mode("user-info"), Mode(),
)


def modes_for(wanted: UserInfo, asking: UserInfo) -> Iterator[Mode]:
    """Those in which such a user can be impersonated, the narrowest first."""
    node, account = node_of(wanted.name), account_of(wanted.name)
    by_name_only = not (wanted.uid or wanted.groups or wanted.extra)
    if node and by_name_only:
        if account_of(asking.name) is not None and tuple(asking.extra.get(_NODE_NAME, ())) == (node,):
            yield _ASSOCIATED_NODE
        yield _ARBITRARY_NODE
    if account is not None and by_name_only:
        yield _SERVICE_ACCOUNT
    if not node and account is None:
        yield _USER_INFO
    yield _LEGACY


def account_of(name: str) -> tuple[str, str] | None:
    """Namespace and name of the ServiceAccount that a user is."""
    if not name.startswith(_ACCOUNT):
        return None
    namespace, _, account = name[len(_ACCOUNT):].partition(":")
    return (namespace, account) if namespace and account else None


def node_of(name: str) -> str:
    """The node that a user is; empty for everybody else."""
    node = name[len(NODE):] if name.startswith(NODE) else ""
    return node if node and not dns1123_subdomain(node) else ""


async def _ask(authorize: Authorize, attributes: Attributes) -> None:
    verdict = await authorize(attributes)
    if not verdict.allowed:
        raise forbidden(attributes, verdict.reason)


def _odd_extra(wanted: UserInfo) -> str:
    """Why the extra of a user can be impersonated without constraint only."""
    for key, values in wanted.extra.items():
        if not key:
            return "impersonating the empty string key in extra is not allowed"
        if why := domain_prefixed_path(key):
            shown = f"extra.key: Invalid value: {quoted(key)}: {why[0]}"
            return f"impersonating an invalid key in extra is not allowed: {shown}"
        if key != key.lower():
            return f"impersonating a non-lowercase key in extra is not allowed: {quoted(key)}"
        if not values:
            return "impersonating empty values in extra is not allowed"
        if "" in values:
            return "impersonating the empty string value in extra is not allowed"
    return ""


