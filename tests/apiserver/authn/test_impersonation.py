"""Acting as somebody else, for some requests or for all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict

from sampan.apimachinery.errors import Forbidden
from sampan.apimachinery.http import Request, UserInfo
from sampan.apiserver.audit.event import event
from sampan.apiserver.audit.policy import Level
from sampan.apiserver.authn.headers import SEPARATOR
from sampan.apiserver.authn.impersonation import impersonate
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import Attributes, Decision, Verdict

NODE_NAME = "authentication.kubernetes.io/node-name"
AGENT = UserInfo("system:serviceaccount:net:agent", extra={NODE_NAME: ("n1",), "pod": ("a",)})
JANE = UserInfo("jane")
BOT = "system:serviceaccount:ns:bot"


class Judge:
    """Allows what it is told to: `verb group/resource/subresource namespace/name`, without what is empty."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = set(allowed)
        self.asked: list[str] = []
        self.users: list[UserInfo] = []

    async def authorize(self, attributes: Attributes) -> Verdict:
        what = "/".join(filter(None, (attributes.group, attributes.resource, attributes.subresource)))
        where = "/".join(filter(None, (attributes.namespace, attributes.name)))
        question = " ".join(filter(None, (attributes.verb, what or attributes.path, where)))
        self.asked.append(question)
        self.users.append(attributes.user)
        return Verdict(Decision.ALLOW if question in self.allowed else Decision.NO_OPINION)

    async def act(self, asking: UserInfo, user: str, *groups: str, uid: str = "", **extra: str) -> RequestContext:
        """Lists pods in the namespace ns as another. Raises Forbidden."""
        headers: CIMultiDict[str] = CIMultiDict({"Impersonate-User": user})
        if groups:
            headers["Impersonate-Group"] = SEPARATOR.join(groups)
        if uid:
            headers["Impersonate-Uid"] = uid
        for key, value in extra.items():
            headers[f"Impersonate-Extra-{key.replace('__', '%2F')}"] = value
        request: Any = Request("GET", "/api/v1/namespaces/ns/pods", headers=headers)
        ctx = RequestContext(request, user=asking)
        ctx.verb, ctx.is_resource, ctx.version, ctx.resource, ctx.namespace = "list", True, "v1", "pods", "ns"
        await impersonate(ctx, SimpleNamespace(authorize=self.authorize))  # type: ignore[arg-type]
        return ctx


def on(mode: str) -> str:
    return f"impersonate-on:{mode}:list pods ns"


async def test_a_user_for_some_requests() -> None:
    whole = (on("user-info"), "impersonate:user-info authentication.k8s.io/users bob",
             "impersonate:user-info authentication.k8s.io/uids 7",
             "impersonate:user-info authentication.k8s.io/groups devs",
             "impersonate:user-info authentication.k8s.io/userextras/a.io/b c")
    judge = Judge(*whole)
    ctx = await judge.act(JANE, "bob", "devs", uid="7", **{"a.io__b": "c"})
    assert ctx.user == UserInfo("bob", "7", ("devs", "system:authenticated"), {"a.io/b": ("c",)})
    assert (ctx.impersonator, ctx.impersonation_constraint) == (JANE, "impersonate:user-info")
    assert judge.asked == list(whole)
    for lacking in whole:
        with pytest.raises(Forbidden):
            await Judge(*set(whole) - {lacking}).act(JANE, "bob", "devs", uid="7", **{"a.io__b": "c"})
    found = event(ctx, SimpleNamespace(level=Level.METADATA), "ResponseStarted", "", None)  # type: ignore[arg-type]
    assert found["authenticationMetadata"] == {"impersonationConstraint": "impersonate:user-info"}


async def test_who_may_not_is_told_what_the_first_mode_lacks() -> None:
    with pytest.raises(Forbidden) as refused:
        await Judge().act(JANE, "bob")
    assert refused.value.message == (
        'pods is forbidden: User "jane" cannot impersonate-on:user-info:list resource "pods" in API group "" in the '
        'namespace "ns"'
    )


async def test_without_constraint_nothing_about_the_request_is_asked() -> None:
    judge = Judge("impersonate users bob", "impersonate groups system:masters")
    ctx = await judge.act(JANE, "bob", "system:masters")
    assert ctx.user == UserInfo("bob", groups=("system:masters", "system:authenticated"))
    assert ctx.impersonation_constraint == ""
    assert "authenticationMetadata" not in event(
        ctx, SimpleNamespace(level=Level.METADATA), "ResponseStarted", "", None)  # type: ignore[arg-type]
    ctx = await Judge("impersonate users bob", "impersonate groups system:unauthenticated").act(
        JANE, "bob", "system:unauthenticated")
    assert ctx.user == UserInfo("bob", groups=("system:unauthenticated",))
    ctx = await Judge("impersonate users system:anonymous").act(JANE, "system:anonymous")
    assert ctx.user == UserInfo("system:anonymous", groups=("system:unauthenticated",))


async def test_an_account_by_its_name_only() -> None:
    judge = Judge(on("serviceaccount"), "impersonate:serviceaccount authentication.k8s.io/serviceaccounts ns/bot")
    ctx = await judge.act(JANE, BOT)
    assert ctx.user == UserInfo(BOT, groups=(
        "system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"))
    judge.asked.clear()
    with pytest.raises(Forbidden):
        await judge.act(JANE, BOT, "devs")
    assert judge.asked == ["impersonate serviceaccounts ns/bot"], "only without constraint it may have other groups"


async def test_any_node_or_the_one_that_an_agent_runs_on() -> None:
    arbitrary = Judge(on("arbitrary-node"), "impersonate:arbitrary-node authentication.k8s.io/nodes n2")
    ctx = await arbitrary.act(AGENT, "system:node:n2")
    assert ctx.user == UserInfo("system:node:n2", groups=("system:nodes", "system:authenticated"))
    assert ctx.impersonation_constraint == "impersonate:arbitrary-node"
    associated = Judge(on("associated-node"), "impersonate:associated-node authentication.k8s.io/nodes *")
    ctx = await associated.act(AGENT, "system:node:n1")
    assert ctx.user == UserInfo("system:node:n1", groups=("system:nodes", "system:authenticated"))
    assert ctx.impersonator == AGENT
    assert associated.users[0].extra == {"authentication.kubernetes.io/associated-node-keys": (NODE_NAME, "pod")}
    for asking, node in ((AGENT, "n2"), (UserInfo("jane", extra=AGENT.extra), "n1")):
        with pytest.raises(Forbidden):
            await associated.act(asking, f"system:node:{node}")
    legacy = Judge("impersonate users system:node:n1")
    ctx = await legacy.act(JANE, "system:node:n1")
    assert ctx.user == UserInfo("system:node:n1", groups=("system:authenticated",)), "not a node by this alone"


async def test_what_only_the_unconstrained_may_take() -> None:
    mode = "impersonate:user-info authentication.k8s.io"
    takes: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = ((("system:masters",), {}), ((), {"scopes": "x"}))
    for groups, extra in takes:
        judge = Judge(on("user-info"), f"{mode}/users bob", f"{mode}/groups system:masters",
                      f"{mode}/userextras/scopes x")
        with pytest.raises(Forbidden) as refused:
            await judge.act(JANE, "bob", *groups, **extra)
        assert "impersonating" in refused.value.message and "is not allowed" in refused.value.message


async def test_the_right_to_all_groups_is_asked_about_once() -> None:
    mode = "impersonate:user-info authentication.k8s.io"
    judge = Judge(on("user-info"), f"{mode}/users bob", f"{mode}/groups *", f"{mode}/userextras/* *")
    ctx = await judge.act(JANE, "bob", *"abcd", **{f"a.io__{key}": "x" for key in "abcd"})
    assert ctx.user is not None and ctx.user.groups == ("a", "b", "c", "d", "system:authenticated")
    assert judge.asked == [on("user-info"), f"{mode}/users bob", f"{mode}/groups *", f"{mode}/userextras/* *"]
    with pytest.raises(Forbidden):
        await judge.act(JANE, "bob", *"abc")
