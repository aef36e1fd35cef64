"""The audit log and the limit of requests in flight, as links of the chain."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest

from sampan.apimachinery.errors import Forbidden, TooManyRequests
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apiserver.audit import log as audit
from sampan.apiserver.audit.log import AuditLog
from sampan.apiserver.context import RequestContext
from sampan.apiserver.flowcontrol.inflight import InFlight

JANE = UserInfo("jane", groups=("devs",))


def context(verb: str = "list", user: UserInfo = JANE) -> RequestContext:
    request = Request("GET", "/api/v1/namespaces/ns/pods", {"limit": ["5"]}, {"user-agent": "t"}, remote="10.0.0.1")
    return RequestContext(
        request, verb=verb, is_resource=True, version="v1", resource="pods", namespace="ns", user=user, audit_id="id-1",
    )


async def test_every_answer_leaves_a_line(tmp_path: Path) -> None:
    log = AuditLog(str(tmp_path / "audit.log"))

    async def answer(ctx: RequestContext) -> Response:
        ctx.audit_annotations["authorization.k8s.io/decision"] = "allow"
        return Response(200)

    async def refuse(ctx: RequestContext) -> Response:
        raise Forbidden("no")

    await log(context(), answer)
    with pytest.raises(Forbidden):
        await log(context(), refuse)
    quiet = context()
    quiet.request.path = "/readyz"
    await log(quiet, answer)
    log.flush()
    first, second = [orjson.loads(line) for line in (tmp_path / "audit.log").read_bytes().splitlines()]
    assert first["requestURI"] == "/api/v1/namespaces/ns/pods?limit=5"
    assert (first["verb"], first["user"], first["sourceIPs"]) == (
        "list", {"username": "jane", "groups": ["devs"]}, ["10.0.0.1"],
    )
    assert first["objectRef"] == {"resource": "pods", "namespace": "ns", "apiVersion": "v1"}
    assert first["responseStatus"] == {"metadata": {}, "code": 200}
    assert first["annotations"] == {"authorization.k8s.io/decision": "allow"}
    assert second["responseStatus"] == {"metadata": {}, "code": 403, "status": "Failure", "reason": "Forbidden"}
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


async def test_a_full_log_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "ROTATE_BYTES", 10)
    log = AuditLog(str(tmp_path / "audit.log"))
    for _ in range(3):
        log.write(context(), 200, "2026-01-01T00:00:00.000000Z")
        log.flush()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["audit.log.1", "audit.log.2"]


async def test_too_many_at_once_are_sent_away_but_never_the_masters() -> None:
    limit = InFlight(reads=1, writes=1)
    release = asyncio.Event()

    async def slow(ctx: RequestContext) -> Response:
        await release.wait()
        return Response(200)

    first = asyncio.ensure_future(limit(context(), slow))
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests) as refused:
        await limit(context(), slow)
    assert refused.value.details == {"retryAfterSeconds": 1}
    others = [
        asyncio.ensure_future(limit(ctx, slow)) for ctx in (
            context("create"), context(user=UserInfo("root", groups=("system:masters",))),
        )
    ]
    watch = context("watch")
    watch.long_running = True
    others.append(asyncio.ensure_future(limit(watch, slow)))
    await asyncio.sleep(0)
    release.set()
    assert [answer.status for answer in await asyncio.gather(first, *others)] == [200] * 4
    assert limit.running == [0, 0]
