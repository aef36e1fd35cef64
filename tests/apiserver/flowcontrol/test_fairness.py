"""API priority and fairness: who runs, who waits, who is sent away, and under which names."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from tests.apiserver.serving import call, document, serving

from sampan.api.resources import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS
from sampan.apimachinery.errors import TooManyRequests
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apiserver.context import RequestContext
from sampan.apiserver.flowcontrol import bootstrap, priority_level
from sampan.apiserver.flowcontrol.fairness import Fairness, mark_dangling
from sampan.apiserver.flowcontrol.priority_level import PriorityLevel
from sampan.apiserver.flowcontrol.shuffle_sharding import deal, flow_hash
from sampan.apiserver.seams import Watched


class Objects:
    """A reader of schemas and levels."""

    def __init__(self) -> None:
        self.schemas = bootstrap.documents(FLOW_SCHEMAS, bootstrap.SCHEMAS)
        self.levels = bootstrap.documents(PRIORITY_LEVEL_CONFIGURATIONS, bootstrap.LEVELS)
        for obj in (*self.schemas, *self.levels):
            obj["metadata"]["uid"] = obj["metadata"]["name"]
        self.changes = Watched()

    def list(self, resource: Any) -> Any:
        return self.schemas if resource == FLOW_SCHEMAS else self.levels

    def watched(self, *resources: Any) -> Watched:
        return self.changes


def user(name: str, *groups: str) -> UserInfo:
    return UserInfo(name, groups=(*groups, "system:authenticated"))


def context(who: UserInfo, verb: str = "list", resource: str = "pods", **more: Any) -> RequestContext:
    known = {"is_resource": True, "namespace": "ns", **more}
    return RequestContext(Request("GET", known.pop("path", "/")), verb=verb, resource=resource, user=who, **known)


async def answer(ctx: RequestContext) -> Response:
    return Response(200)


@pytest.mark.parametrize(("ctx", "schema", "level"), [
    (context(user("root", "system:masters")), "exempt", "exempt"),
    (context(user("jane"), "get", "", is_resource=False, namespace="", path="/livez"), "probes", "exempt"),
    (context(user("system:kube-scheduler"), "update", "leases", group="coordination.k8s.io"),
     "system-leader-election", "leader-election"),
    (context(user("system:node:a", "system:nodes"), "patch", "nodes", subresource="status", namespace=""),
     "system-node-high", "node-high"),
    (context(user("system:node:a", "system:nodes"), "get", "secrets"), "system-nodes", "system"),
    (context(user("system:kube-controller-manager"), "update", "endpoints"), "endpoint-controller", "workload-high"),
    (context(user("system:kube-controller-manager")), "kube-controller-manager", "workload-high"),
    (context(user("system:serviceaccount:kube-system:x", "system:serviceaccounts")),
     "kube-system-service-accounts", "workload-high"),
    (context(user("system:serviceaccount:ns:x", "system:serviceaccounts")), "service-accounts", "workload-low"),
    (context(user("jane")), "global-default", "global-default"),
    (context(UserInfo("odd")), "catch-all", "catch-all"),
])
async def test_the_suggested_schemas_know_who_is_who(ctx: RequestContext, schema: str, level: str) -> None:
    link = Fairness(Objects())  # type: ignore[arg-type]
    await link(ctx, answer)
    assert ctx.flow == (schema, level)
    assert link.levels[level].executing == 0


def level_of(seats: int, *, queues: int = 0, hand: int = 1, length: int = 2, lendable: int = 0) -> PriorityLevel:
    response: dict[str, Any] = {"type": "Reject"}
    if queues:
        queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": length}
        response = {"type": "Queue", "queuing": queuing}
    level = PriorityLevel("x")
    limited = {"nominalConcurrencyShares": 1, "lendablePercent": lendable, "limitResponse": response}
    level.configure({"spec": {"type": "Limited", "limited": limited}}, seats, 1)
    return level


async def test_without_queues_the_next_one_is_sent_away() -> None:
    level = level_of(1)
    seat = level.try_enter()
    assert seat is not None and level.try_enter() is None
    with pytest.raises(TooManyRequests) as refused:
        await level.enter(7)
    assert refused.value.details == {"retryAfterSeconds": 1}
    level.leave(seat)
    assert level.try_enter() is not None


async def test_those_who_wait_go_on_in_their_order_and_a_full_queue_refuses() -> None:
    level = level_of(1, queues=1)
    first = level.try_enter()
    waiting = [asyncio.ensure_future(level.enter(0)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests):
        await level.enter(0)
    assert first is not None
    level.leave(first)
    seat = await waiting[0]
    assert not waiting[1].done() and level.try_enter() is None
    level.leave(seat)
    level.leave(await waiting[1])
    assert (level.executing, level.waiting, level.rejected) == (0, 0, 1)


async def test_a_loud_flow_does_not_starve_a_quiet_one() -> None:
    level = level_of(1, queues=2, length=100)
    running = level.try_enter()
    order: list[str] = []

    async def flow(name: str, hash: int) -> None:
        seat = await level.enter(hash)
        order.append(name)
        await asyncio.sleep(0)
        level.leave(seat)

    tasks = [asyncio.ensure_future(flow("loud", 0)) for _ in range(50)]
    await asyncio.sleep(0)
    tasks.append(asyncio.ensure_future(flow("quiet", 1)))
    await asyncio.sleep(0)
    assert running is not None
    level.leave(running)
    await asyncio.gather(*tasks)
    assert order.index("quiet") <= 2
    assert level.executing == 0


async def test_who_gives_up_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priority_level, "WAIT_S", 0.0)
    level = level_of(1, queues=1)
    seat = level.try_enter()
    with pytest.raises(TooManyRequests):
        await level.enter(0)
    monkeypatch.setattr(priority_level, "WAIT_S", 60.0)
    waiting = asyncio.ensure_future(level.enter(0))
    await asyncio.sleep(0)
    assert seat is not None
    level.leave(seat)  # admitted, and cancelled before it could run
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert (level.executing, level.waiting) == (0, 0)
    assert level.try_enter() is not None


async def test_idle_seats_are_lent() -> None:
    busy, idle = level_of(1), level_of(4, lendable=50)
    busy.others = idle.others = (busy, idle)
    assert [busy.try_enter() is not None for _ in range(4)] == [True, True, True, False]
    assert [idle.try_enter() is not None for _ in range(4)] == [True] * 4


def test_hands_are_dealt_without_repetition_and_differ() -> None:
    hands = {tuple(sorted(deal(flow_hash("s", str(number)), 64, 6))) for number in range(200)}
    assert len(hands) == 200
    assert all(len(set(hand)) == 6 and max(hand) < 64 for hand in hands)


async def test_a_schema_without_its_level_is_passed_over() -> None:
    objects = Objects()
    link = Fairness(objects)  # type: ignore[arg-type]
    ctx = context(user("jane"))
    await link(ctx, answer)
    objects.levels = [one for one in objects.levels if one["metadata"]["name"] != "global-default"]
    objects.changes.stale = True
    await link(ctx, answer)
    assert ctx.flow == ("catch-all", "catch-all")


async def test_a_server_has_the_suggested_objects_and_names_them_in_its_answers() -> None:
    async with serving(authorization=True) as (server, client):
        schemas = {item["metadata"]["name"]: item for item in (await client.list(FLOW_SCHEMAS))["items"]}
        assert set(schemas) == set(bootstrap.SCHEMAS)
        response = await call(server, "GET", "/api/v1/namespaces/none")
        assert response.status == 404
        assert response.headers["x-kubernetes-pf-flowschema-uid"] == schemas["exempt"]["metadata"]["uid"]
        assert response.headers["x-kubernetes-pf-prioritylevel-uid"]
        table = document(await call(
            server, "GET", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/probes",
            headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
        ))
        assert table["rows"][0]["cells"][:4] == ["probes", "exempt", 2, "<none>"]
        await client.delete(PRIORITY_LEVEL_CONFIGURATIONS, "system")
        await mark_dangling(client, server.reader)
        await server.reader.fresh(FLOW_SCHEMAS)
        dangling = {
            name: (await client.get(FLOW_SCHEMAS, name))["status"]["conditions"][0]["status"]
            for name in ("system-nodes", "probes")
        }
        assert dangling == {"system-nodes": "True", "probes": "False"}
        await bootstrap.ensure(client)
        assert await client.get(PRIORITY_LEVEL_CONFIGURATIONS, "system")
