"""Authorisers from an AuthorizationConfiguration, webhooks among them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from tests.apiserver.conftest import DictReader
from tests.apiserver.https_server import answer, running
from tests.apiserver.serving import serving

from sampan.api.resources import ROLE_BINDINGS, ROLES
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apimachinery.selectors import Requirement
from sampan.apiserver.authn import watched_file
from sampan.apiserver.authz import always, table
from sampan.apiserver.authz.configuration import parse
from sampan.apiserver.authz.node import Node
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.seams import Attributes, Authorizer, Decision, KnownRules, Verdict

JANE = UserInfo("jane", groups=("devs",))
PODS = Attributes(
    JANE, "list", group="", version="v1", resource="pods", namespace="ns",
    fields=(Requirement("a.b", "=", ("c",)),),
    labels=(Requirement("app", "in", ("y", "x")), Requirement("n", "gt", ("3",)), Requirement("old", "!")),
)


def document(*authorizers: dict[str, Any]) -> bytes:
    return json.dumps({
        "kind": "AuthorizationConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
        "authorizers": list(authorizers),
    }).encode()


def webhook(kubeconfig: str, **more: Any) -> dict[str, Any]:
    settings = {
        "timeout": "3s", "failurePolicy": "NoOpinion", "subjectAccessReviewVersion": "v1",
        "matchConditionSubjectAccessReviewVersion": "v1",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": kubeconfig}, **more,
    }
    return {"type": "Webhook", "name": "remote", "webhook": settings}


def built(directory: Path, *authorizers: dict[str, Any]) -> list[Authorizer]:
    file = directory / "authorization.json"
    file.write_bytes(document(*authorizers))
    parts = SimpleNamespace(config=APIServerConfig(authorization_config_file=str(file)), reader=None)
    return list(table.Authorizers(parts).now())  # type: ignore[arg-type]


async def ask(authorizers: list[Authorizer], attributes: Attributes = PODS) -> Verdict:
    return await table.authorize(authorizers, attributes)


async def test_a_webhook_allows_denies_or_leaves_it_to_the_next(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def judge(request: Request) -> Response:
        seen.append(orjson.loads(request.body))
        verb = seen[-1]["spec"].get("resourceAttributes", {}).get("verb")
        status = {"list": {"allowed": True, "reason": "why not"}, "delete": {"allowed": False, "denied": True}}
        return answer({"status": status.get(verb, {"allowed": False})})

    async with running(tmp_path, judge) as server:
        authorizers = built(tmp_path, webhook(server.kubeconfig()), {"type": "AlwaysAllow", "name": "rest"})
        for _ in range(2):
            assert await ask(authorizers) == Verdict(Decision.ALLOW, "why not")
        assert (await ask(authorizers, Attributes(JANE, "delete", resource="pods"))).decision is Decision.DENY
        assert (await ask(authorizers, Attributes(JANE, "get", is_resource=False, path="/x"))).allowed
        masters = Attributes(UserInfo("root", groups=("system:masters",)), "delete", resource="pods")
        assert (await ask(authorizers, masters)).allowed
    assert len(seen) == 3, "one answer was remembered, and the masters need none"
    assert seen[0] == {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": "jane", "groups": ["devs"], "resourceAttributes": {
            "namespace": "ns", "verb": "list", "version": "v1", "resource": "pods",
            "fieldSelector": {"requirements": [{"key": "a.b", "operator": "In", "values": ["c"]}]},
            "labelSelector": {"requirements": [
                {"key": "app", "operator": "In", "values": ["x", "y"]}, {"key": "old", "operator": "DoesNotExist"},
            ]},
        }},
    }
    assert seen[2]["spec"]["nonResourceAttributes"] == {"path": "/x", "verb": "get"}


@pytest.mark.parametrize(("policy", "decision"), [("NoOpinion", Decision.NO_OPINION), ("Deny", Decision.DENY)])
async def test_the_failure_policy_decides_when_the_webhook_cannot(
    tmp_path: Path, policy: str, decision: Decision
) -> None:
    async def broken(request: Request) -> Response:
        return Response(418)

    async with running(tmp_path, broken) as server:
        verdict = await ask(built(tmp_path, webhook(server.kubeconfig(), failurePolicy=policy)))
        assert verdict.decision is decision


async def test_match_conditions_say_when_it_is_asked(tmp_path: Path) -> None:
    asked = []

    async def judge(request: Request) -> Response:
        asked.append(request)
        return answer({"status": {"allowed": True}})

    async with running(tmp_path, judge) as server:
        def when(expression: str) -> list[Authorizer]:
            return built(tmp_path, webhook(
                server.kubeconfig(), failurePolicy="Deny", matchConditions=[{"expression": expression}]
            ))

        namespaced = when("has(request.resourceAttributes) && request.resourceAttributes.namespace == 'ns'")
        assert (await ask(namespaced)).allowed
        elsewhere = Attributes(JANE, "list", resource="pods", namespace="other")
        assert (await ask(namespaced, elsewhere)).decision is Decision.NO_OPINION
        assert len(asked) == 1
        assert (await ask(when("request.nothing == 'x'"))).decision is Decision.DENY
        dear = f"'{'a' * 11000}'.contains('{'a' * 11000}')"
        assert (await ask(when(dear))).decision is Decision.DENY


@pytest.mark.parametrize("authorizers", [
    [], [{"type": "ABAC", "name": "a"}], [{"type": "RBAC", "name": ""}], [{"type": "Webhook", "name": "a"}],
    [{"type": "RBAC", "name": "a"}, {"type": "RBAC", "name": "b"}], [webhook("f", timeout="0s")],
    [webhook("f", timeout="31s")], [webhook("f", failurePolicy="Allow")], [webhook("")],
    [webhook("f", matchConditions=[{"expression": "1 + 1"}])],
])
def test_a_wrong_configuration_is_refused(authorizers: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="authorizers"):
        parse(document(*authorizers))


async def test_the_file_is_read_again_but_what_it_started_with_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(watched_file, "CHECK_S", 0)
    file = tmp_path / "authorization.json"
    deny, allow = ({"type": type, "name": type.lower()} for type in ("AlwaysDeny", "AlwaysAllow"))
    file.write_bytes(document(deny))
    parts = SimpleNamespace(config=APIServerConfig(authorization_config_file=str(file)), reader=None)
    authorizers = table.Authorizers(parts)  # type: ignore[arg-type]
    assert not (await ask(list(authorizers.now()))).allowed
    for content, allowed, complaint in (
        (document(allow), False, "missing required types: AlwaysDeny"), (document(allow, deny), True, ""),
        (b"nonsense", True, "expected"), (document(deny), False, ""),
    ):
        caplog.clear()
        file.write_bytes(content)
        assert (await ask(list(authorizers.now()))).allowed is allowed
        assert complaint in caplog.text


class Known:
    """An authoriser that only tells rules."""

    def __init__(self, rules: KnownRules) -> None:
        self._rules = rules

    async def authorize(self, attributes: Attributes) -> Verdict:
        return Verdict(Decision.NO_OPINION)

    def rules(self, user: UserInfo, namespace: str) -> KnownRules:
        return self._rules


def test_what_authorizers_can_tell_is_put_together() -> None:
    found = table.rules_for([
        Known(KnownRules([{"verbs": ["get"]}], problems=["no role"], incomplete=True)), always.DENY, always.ALLOW,
        Node(DictReader()),
    ], UserInfo("system:node:a", groups=("system:nodes",)), "ns")
    assert found == KnownRules(
        [{"verbs": ["get"]}, {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        [{"verbs": ["*"], "nonResourceURLs": ["*"]}], True,
        ["no role", "node authorizer does not support user rule resolution"],
    )
    assert table.rules_for([Node(DictReader())], JANE, "ns") == KnownRules()


async def test_a_webhook_tells_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, lambda request: answer({})) as server:
        found = table.rules_for(built(tmp_path, webhook(server.kubeconfig())), JANE, "ns")
    assert found == KnownRules(
        incomplete=True, problems=["webhook authorizer does not support user rule resolution"],
    )


async def test_what_may_i_do_here() -> None:
    async with serving(authorization=True) as (server, client):
        await client.create(ROLES, {
            "kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {"name": "r", "namespace": "default"},
            "rules": [{"verbs": ["list", "get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}],
        })
        subjects = [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]
        for name in ("r", "missing"):
            await client.create(ROLE_BINDINGS, {
                "kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "subjects": subjects,
                "metadata": {"name": name, "namespace": "default"},
                "roleRef": {"kind": "Role", "name": name, "apiGroup": "rbac.authorization.k8s.io"},
            })
        await server.hub.fresh()
        found = server.rules_for(JANE, "default")
        assert {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]} \
            in found.resources
        assert found.incomplete
        assert found.problems == ['role.rbac.authorization.k8s.io "missing" not found']
        assert server.rules_for(JANE, "kube-public").resources == []
        masters = UserInfo("root", groups=("system:masters",))
        assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in server.rules_for(masters, "x").resources
