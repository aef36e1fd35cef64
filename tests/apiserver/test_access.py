"""Who may do what, through the whole chain of a server with its bootstrap roles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from sampan.apimachinery.http import Request
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.server import APIServer
from sampan.storage.memory import MemoryStore

TOKENS = """
root-token,root,1,system:masters
jane-token,jane,2,devs
node-token,system:node:n1,3,system:nodes
"""
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[APIServer]:
    (tmp_path / "tokens.csv").write_text(TOKENS)
    server = APIServer(MemoryStore(), APIServerConfig(token_file=str(tmp_path / "tokens.csv")))
    await server.start()
    yield server
    await server.stop()


async def ask(
    server: APIServer, who: str, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    sent = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    if who:
        sent["authorization"] = f"Bearer {who}-token"
    path, _, query = path.partition("?")
    pairs = [pair.partition("=") for pair in query.split("&")] if query else []
    request = Request(
        method, path, {name: [value] for name, _, value in pairs}, sent, orjson.dumps(body) if body is not None else b""
    )
    response = await server.handle(request)
    return response.status, orjson.loads(response.body) if response.body[:1] == b"{" else response.body


async def grant(server: APIServer, role: str, user: str) -> None:
    body = {
        "metadata": {"name": f"{role}-{user}"}, "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup":
        "rbac.authorization.k8s.io"}, "subjects": [{"kind": "User", "name": user, "apiGroup":
        "rbac.authorization.k8s.io"}],
    }
    status, answer = await ask(server, "root", "POST", f"{RBAC}/namespaces/default/rolebindings", body)
    assert status == 201, answer


async def test_strangers_see_health_and_version_only(server: APIServer) -> None:
    for path, status in (("/healthz", 200), ("/version", 200), ("/api", 403), ("/api/v1/pods", 403), ("/metrics", 403)):
        assert (await ask(server, "", "GET", path))[0] == status, path
    assert (await ask(server, "stolen", "GET", "/healthz"))[0] == 401
    assert (await ask(server, "jane", "GET", "/apis"))[0] == 200


async def test_a_binding_opens_its_namespace_at_once_and_no_other(server: APIServer) -> None:
    status, answer = await ask(server, "jane", "GET", "/api/v1/namespaces/default/pods")
    assert (status, answer["message"]) == (
        403, 'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    await grant(server, "view", "jane")
    assert (await ask(server, "jane", "GET", "/api/v1/namespaces/default/pods"))[0] == 200
    assert (await ask(server, "jane", "GET", "/api/v1/namespaces/kube-system/pods"))[0] == 403
    assert (await ask(server, "jane", "GET", "/api/v1/namespaces/default/secrets"))[0] == 403
    assert (await ask(server, "jane", "GET", "/api/v1/pods"))[0] == 403


async def test_an_admin_of_a_namespace_cannot_become_more(server: APIServer) -> None:
    await grant(server, "admin", "jane")
    path = f"{RBAC}/namespaces/default/roles"
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    assert (await ask(server, "jane", "POST", path, {"metadata": {"name": "ok"}, "rules": rules}))[0] == 201
    rules[0]["resources"] = ["nodes"]
    status, answer = await ask(server, "jane", "POST", path, {"metadata": {"name": "more"}, "rules": rules})
    assert status == 403 and "attempting to grant RBAC permissions not currently held" in answer["message"]
    patch = {"rules": rules}
    status, _ = await ask(
        server, "jane", "PATCH", f"{path}/ok", patch, content_type="application/merge-patch+json"
    )
    assert status == 403
    body = {
        "metadata": {"name": "grab"}, "subjects": [{"kind": "User", "name": "jane"}],
        "roleRef": {"kind": "ClusterRole", "name": "cluster-admin", "apiGroup": "rbac.authorization.k8s.io"},
    }
    assert (await ask(server, "jane", "POST", f"{RBAC}/namespaces/default/rolebindings", body))[0] == 403


async def test_acting_as_another(server: APIServer) -> None:
    whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    status, answer = await ask(server, "root", "POST", whoami, {}, Impersonate_User="joe", Impersonate_Group="ops")
    assert (status, answer["status"]["userInfo"]) == (
        201, {"username": "joe", "groups": ["ops", "system:authenticated"]}
    )
    status, answer = await ask(server, "jane", "POST", whoami, {}, Impersonate_User="root")
    assert (status, answer["message"]) == (
        403,
        'selfsubjectreviews.authentication.k8s.io is forbidden: User "jane" cannot impersonate-on:user-info:create '
        'resource "selfsubjectreviews" in API group "authentication.k8s.io" at the cluster scope',
    )
    status, _ = await ask(
        server, "root", "DELETE", "/api/v1/namespaces/default", Impersonate_User="joe"
    )
    assert status == 403


async def test_access_reviews_answer_what_the_chain_would(server: APIServer) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    body = {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}}
    assert (await ask(server, "jane", "POST", path, body))[1]["status"] == {"allowed": False}
    await grant(server, "view", "jane")
    status = (await ask(server, "jane", "POST", path, body))[1]["status"]
    reason = 'RBAC: allowed by RoleBinding "view-jane/default" of ClusterRole "view" to User "jane"'
    assert status == {"allowed": True, "reason": reason}
    other = {"spec": {"user": "jane", "nonResourceAttributes": {"verb": "get", "path": "/metrics"}}}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert (await ask(server, "root", "POST", path, other))[1]["status"] == {"allowed": False}
    assert (await ask(server, "jane", "POST", path, other))[0] == 403
    assert (await ask(server, "root", "POST", path, {"spec": {"user": "jane"}}))[0] == 422
    review = {"spec": {"token": "jane-token"}}
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    status = (await ask(server, "root", "POST", path, review))[1]["status"]
    assert (status["authenticated"], status["user"]["username"]) == (True, "jane")
    status = (await ask(server, "root", "POST", path, {"spec": {"token": "nonsense"}}))[1]["status"]
    assert "authenticated" not in status


NODE_LISTS_PODS: dict[str, Any] = {
    "user": "system:node:n1", "groups": ["system:nodes"],
    "resourceAttributes": {"verb": "list", "resource": "pods", "version": "v1"},
}


async def review(server: APIServer, **attributes: Any) -> tuple[int, Any]:
    spec = {**NODE_LISTS_PODS, "resourceAttributes": {**NODE_LISTS_PODS["resourceAttributes"], **attributes}}
    return await ask(server, "root", "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})


@pytest.mark.parametrize("selector", [
    {"rawSelector": "spec.nodeName=n1"}, {"rawSelector": "metadata.name!=x,spec.nodeName==n1"},
    {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]},
])
async def test_a_review_is_limited_by_its_field_selector(server: APIServer, selector: Any) -> None:
    assert (await review(server, fieldSelector=selector))[1]["status"]["allowed"] is True
    assert (await review(server))[1]["status"]["allowed"] is False


@pytest.mark.parametrize(("selector", "said"), [
    ({"rawSelector": "spec.nodeName"}, "fieldSelector ignored due to parse error"),
    ({"requirements": [{"key": "spec.nodeName", "operator": "Exists"}]}, "fieldSelector ignored due to parse error"),
    ({"requirements": [
        {"key": "a", "operator": "NotIn", "values": ["b"]}, {"key": "a", "operator": "Like", "values": ["b"]},
    ]}, "fieldSelector partially ignored due to parse error"),
])
async def test_what_a_review_cannot_understand_of_a_selector_is_said(
    server: APIServer, selector: Any, said: str
) -> None:
    status = (await review(server, fieldSelector=selector))[1]["status"]
    assert (status["allowed"], status["evaluationError"]) == (False, f"spec.resourceAttributes.{said}")
    status = (await review(server, fieldSelector=selector, labelSelector={"rawSelector": "a in"}))[1]["status"]
    assert status["evaluationError"].endswith("; spec.resourceAttributes.labelSelector ignored due to parse error")


@pytest.mark.parametrize("key", ["fieldSelector", "labelSelector"])
@pytest.mark.parametrize(("selector", "field", "said"), [
    ({"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "In", "values": ["b"]}]}, "rawSelector",
     "may not specified at the same time as requirements"),
    ({}, "requirements", "is specified, requirements or rawSelector is required"),
    ({"requirements": [{"key": "a", "operator": "In"}]}, "requirements[0].values", "must be specified when"),
    ({"requirements": [{"key": "a", "operator": "Exists", "values": ["b"]}]}, "requirements[0].values",
     "may not be specified when"),
    ({"requirements": [{"operator": "Exists"}]}, "requirements[0].key", ""),
])
async def test_selectors_of_reviews_are_checked(
    server: APIServer, key: str, selector: Any, field: str, said: str
) -> None:
    status, answer = await review(server, **{key: selector})
    assert status == 422
    assert answer["details"]["causes"][0]["field"] == f"spec.resourceAttributes.{key}.{field}"
    assert said in answer["message"]


async def test_a_review_has_no_name(server: APIServer) -> None:
    body = {"metadata": {"name": "x"}, "spec": NODE_LISTS_PODS}
    status, answer = await ask(server, "root", "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    assert status == 422 and "metadata: Invalid value" in answer["message"] and "must be empty" in answer["message"]


async def test_a_kubelet_registers_itself_and_nobody_else(server: APIServer) -> None:
    node = {"metadata": {"name": "n1"}}
    status, answer = await ask(server, "node", "POST", "/api/v1/nodes", node)
    assert status == 201
    assert answer["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    status, answer = await ask(server, "node", "POST", "/api/v1/nodes", {"metadata": {"name": "n2"}})
    assert status == 403 and 'is not allowed to modify node "n2"' in answer["message"]
    assert (await ask(server, "node", "GET", "/api/v1/nodes/n1"))[0] == 200
    assert (await ask(server, "node", "GET", "/api/v1/nodes"))[0] == 403
    assert (await ask(server, "node", "GET", "/api/v1/pods?fieldSelector=spec.nodeName=n1"))[0] == 200
    assert (await ask(server, "node", "GET", "/api/v1/secrets"))[0] == 403


async def test_reading_exec_is_not_running_commands(server: APIServer) -> None:
    body = {
        "metadata": {"name": "reads-exec"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/exec"]}],
    }
    assert (await ask(server, "root", "POST", f"{RBAC}/clusterroles", body))[0] == 201
    await grant(server, "reads-exec", "jane")
    path = "/api/v1/namespaces/default/pods/web/exec?command=id&stdout=true"
    status, answer = await ask(
        server, "jane", "GET", path, connection="Upgrade", upgrade="websocket", sec_websocket_version="13",
        sec_websocket_key="x",
    )
    assert status == 403 and 'cannot create resource "pods/exec"' in answer["message"]


async def test_a_restart_writes_nothing_anew(server: APIServer) -> None:
    from sampan.apiserver.authz.rbac_bootstrap.reconcile import reconcile

    assert await reconcile(server.client) == 0
