"""The limit of requests in flight, as a link of the chain."""

from __future__ import annotations

import asyncio

import pytest

from sampan.apimachinery.errors import TooManyRequests
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apiserver.context import RequestContext
from sampan.apiserver.flowcontrol.inflight import InFlight

JANE = UserInfo("jane", groups=("devs",))


def context(verb: str = "list", user: UserInfo = JANE) -> RequestContext:
    request = Request("GET", "/api/v1/namespaces/ns/pods", {"limit": ["5"]}, {"user-agent": "t"}, remote="10.0.0.1")
    return RequestContext(
        request, verb=verb, is_resource=True, version="v1", resource="pods", namespace="ns", user=user, audit_id="id-1",
    )


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
