"""The audit log: what is recorded at which level, of streams too, and that the file stays bounded."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.apiserver.serving import call, config_map, document, serving

from sampan.apimachinery.errors import Forbidden
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apiserver.audit.file import AuditFile
from sampan.apiserver.audit.log import AuditLog
from sampan.apiserver.audit.policy import Policy, parse
from sampan.apiserver.context import RequestContext
from sampan.apiserver.server import APIServer

JANE = UserInfo("jane", groups=("devs",))
HIDDEN = base64.b64encode(b"open-sesame").decode()


def context(verb: str = "list", path: str = "/api/v1/namespaces/ns/pods", **more: Any) -> RequestContext:
    request = Request("GET", path, {"limit": ["5"]}, {"user-agent": "t"}, remote="10.0.0.1")
    known = {"is_resource": True, "version": "v1", "resource": "pods", "namespace": "ns", "user": JANE, **more}
    return RequestContext(request, verb=verb, **known)


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


async def test_every_answer_leaves_a_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(AuditFile(str(path), 0, 0))

    async def answer(ctx: RequestContext) -> Response:
        ctx.audit_annotations["authorization.k8s.io/decision"] = "allow"
        return Response(200)

    async def refuse(ctx: RequestContext) -> Response:
        raise Forbidden("no")

    async def crash(ctx: RequestContext) -> Response:
        raise ZeroDivisionError

    answered = await log(context(), answer)
    with pytest.raises(Forbidden):
        await log(context(), refuse)
    with pytest.raises(ZeroDivisionError):
        await log(context(), crash)
    await log(context(path="/readyz", is_resource=False), answer)
    log.file.flush()
    first, second, third = lines(path)
    assert first["requestURI"] == "/api/v1/namespaces/ns/pods?limit=5"
    assert (first["level"], first["stage"], first["auditID"]) == (
        "Metadata", "ResponseComplete", answered.headers["audit-id"],
    )
    assert (first["verb"], first["user"], first["sourceIPs"]) == (
        "list", {"username": "jane", "groups": ["devs"]}, ["10.0.0.1"],
    )
    assert first["objectRef"] == {"resource": "pods", "namespace": "ns", "apiVersion": "v1"}
    assert first["responseStatus"] == {"metadata": {}, "code": 200}
    assert first["annotations"] == {"authorization.k8s.io/decision": "allow"}
    assert second["responseStatus"] == {
        "metadata": {}, "code": 403, "status": "Failure", "reason": "Forbidden", "message": "no",
    }
    assert (third["stage"], third["responseStatus"]["code"]) == ("Panic", 500)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_full_log_makes_room_and_stays_bounded(tmp_path: Path) -> None:
    file = AuditFile(str(tmp_path / "audit.log"), 10, 2)
    for number in range(5):
        file.append(b"line number %d\n" % number)
        file.flush()
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {
        "audit.log.1": b"line number 4\n", "audit.log.2": b"line number 3\n",
    }


@contextlib.asynccontextmanager
async def recording(tmp_path: Path, policy: str) -> AsyncIterator[tuple[APIServer, Any]]:
    """A server with a policy, and a function that reads its log."""
    file, path = tmp_path / "policy.yaml", tmp_path / "audit.log"
    file.write_text(f"apiVersion: audit.k8s.io/v1\nkind: Policy\n{policy}")
    async with serving(audit_log_path=str(path), audit_policy_file=str(file)) as (server, _):
        log = next(cell for cell in _audit_logs(server))

        def read() -> list[dict[str, Any]]:
            log.file.flush()
            return lines(path) if path.exists() else []

        yield server, read


def _audit_logs(server: APIServer) -> list[AuditLog]:
    """The link is somewhere in the nested functions of the chain."""
    step: Any = server._chain
    found = []
    while getattr(step, "__closure__", None):
        cells = dict(zip(step.__code__.co_freevars, (cell.cell_contents for cell in step.__closure__), strict=True))
        if isinstance(cells.get("link"), AuditLog):
            found.append(cells["link"])
        step = cells.get("rest")
    return found


async def test_levels_say_how_much_of_a_request_is_kept(tmp_path: Path) -> None:
    policy = """
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, resources: [{group: "", resources: [events]}]}
- {level: Metadata, resources: [{group: "", resources: [secrets]}]}
- {level: RequestResponse, verbs: [create], resources: [{group: "", resources: [configmaps]}]}
- {level: Request, resources: [{group: "", resources: [configmaps]}]}
"""
    async with recording(tmp_path, policy) as (server, read):
        secret = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"k": HIDDEN}}
        before = len(read())
        await call(server, "POST", "/api/v1/namespaces/default/secrets", secret)
        await call(server, "GET", "/api/v1/namespaces/default/secrets/s")
        await call(server, "POST", "/api/v1/namespaces/default/configmaps", config_map("c", k="v"))
        patch = {"data": {"k": "w"}}
        await call(server, "PATCH", "/api/v1/namespaces/default/configmaps/c", patch,
                   headers={"content-type": "application/merge-patch+json"})
        await call(server, "GET", "/api/v1/namespaces/default/events")
        await call(server, "GET", "/version")
        created, got, kept, patched = read()[before:]
    assert (created["level"], got["level"]) == ("Metadata", "Metadata")
    assert HIDDEN not in (tmp_path / "audit.log").read_text()
    assert kept["requestObject"]["data"] == kept["responseObject"]["data"] == {"k": "v"}
    assert "managedFields" not in kept["responseObject"]["metadata"]
    assert (patched["level"], patched["requestObject"]) == ("Request", patch)
    assert "responseObject" not in patched


async def test_a_watch_is_recorded_when_it_starts_and_when_it_ends(tmp_path: Path) -> None:
    policy = "rules:\n- {level: Metadata, verbs: [watch]}\n"
    async with recording(tmp_path, policy) as (server, read):
        await call(server, "POST", "/api/v1/namespaces/default/configmaps", config_map("c"))
        response = await call(server, "GET", "/api/v1/configmaps?watch=1")
        assert [event["stage"] for event in read()] == ["RequestReceived", "ResponseStarted"]
        assert response.stream is not None
        await anext(response.stream)
        await response.stream.aclose()  # type: ignore[attr-defined]
        received, started, complete = read()
    assert complete["stage"] == "ResponseComplete"
    assert received["auditID"] == started["auditID"] == complete["auditID"]


async def test_a_stream_to_another_machine_is_complete_when_its_listener_closes_it(tmp_path: Path) -> None:
    log = AuditLog(AuditFile(str(tmp_path / "audit.log"), 0, 0))

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"

    async def answer(ctx: RequestContext) -> Response:
        return Response(200, stream=chunks())

    response = await log(context("watch", long_running=True), answer)
    assert response.stream is not None
    assert [chunk async for chunk in response.stream] == [b"one"]
    for _ in range(2):
        await response.stream.aclose()  # type: ignore[attr-defined]
    log.file.flush()
    assert [event["stage"] for event in lines(tmp_path / "audit.log")] == ["ResponseStarted", "ResponseComplete"]


def policy_of(*rules: dict[str, Any]) -> Policy:
    return parse(orjson.dumps({"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": rules}))


@pytest.mark.parametrize(("rule", "matches"), [
    ({"users": ["jane"]}, True), ({"users": ["joe"]}, False), ({"userGroups": ["devs", "x"]}, True),
    ({"verbs": ["get"]}, False), ({"namespaces": ["ns"]}, True), ({"namespaces": [""]}, False),
    ({"resources": [{"group": ""}]}, True), ({"resources": [{"group": "apps"}]}, False),
    ({"resources": [{"resources": ["pods"]}]}, False), ({"resources": [{"resources": ["pods/log"]}]}, True),
    ({"resources": [{"resources": ["*/log"]}]}, True), ({"resources": [{"resources": ["pods/*"]}]}, True),
    ({"resources": [{"resources": ["*"], "resourceNames": ["other"]}]}, False), ({"nonResourceURLs": ["/*"]}, False),
])
def test_rules_match_by_who_and_what(rule: dict[str, Any], matches: bool) -> None:
    ctx = context(subresource="log", name="p")
    assert policy_of({"level": "Request", **rule}).scope(ctx).level.text == ("Request" if matches else "None")


def test_paths_match_with_a_star_at_the_end() -> None:
    policy = policy_of({"level": "Metadata", "nonResourceURLs": ["/healthz*", "/version"]})
    for path, level in (("/healthz/ping", 1), ("/version", 1), ("/versions", 0)):
        assert policy.scope(context(path=path, is_resource=False)).level == level


@pytest.mark.parametrize("rule", [
    {"level": "All"}, {"level": "None", "omitStages": ["End"]}, {"level": "None", "nonResourceURLs": ["healthz"]},
    {"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["b"]},
    {"level": "None", "resources": [{"resourceNames": ["a"]}]}, {"level": "None", "resources": [{"group": "a/v1"}]},
])
def test_a_wrong_rule_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"rules\[0\]"):
        policy_of(rule)


async def test_the_answer_names_its_audit_event(tmp_path: Path) -> None:
    async with recording(tmp_path, "rules: [{level: Metadata}]\n") as (server, read):
        response = await call(server, "GET", "/version", headers={"audit-id": "mine"})
        assert document(response)["major"]
        assert response.headers["audit-id"] == "mine" == read()[-1]["auditID"]
