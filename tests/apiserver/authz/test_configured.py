"""Authorisers from an AuthorizationConfiguration, webhooks among them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from tests.apiserver.https_server import answer, running

from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apimachinery.selectors import Requirement
from sampan.apiserver.authz import table
from sampan.apiserver.authz.configuration import parse
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.seams import Attributes, Authorizer, Decision, Verdict

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
    return table.build(parts)  # type: ignore[arg-type]


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


@pytest.mark.parametrize("authorizers", [
    [], [{"type": "ABAC", "name": "a"}], [{"type": "RBAC", "name": ""}], [{"type": "Webhook", "name": "a"}],
    [{"type": "RBAC", "name": "a"}, {"type": "RBAC", "name": "b"}], [webhook("f", timeout="0s")],
    [webhook("f", timeout="31s")], [webhook("f", failurePolicy="Allow")], [webhook("")],
    [webhook("f", matchConditions=[{"expression": "1 + 1"}])],
])
def test_a_wrong_configuration_is_refused(authorizers: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="authorizers"):
        parse(document(*authorizers))
