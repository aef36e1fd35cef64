"""Reports wait for better things, and never overwrite the news that a pod is scheduled."""

from __future__ import annotations

import asyncio
from typing import Any

from sampan import effects
from sampan.apimachinery.http import Request, Response
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.scheduler.failure import status_patch
from sampan.scheduler.reports import DELAY_S, Report, Reports
from sampan.sim.loop import run
from sampan.sim.source import SeededSource

REFUSED = Report("Unschedulable", "0/1 nodes are available", "n1")


class Server:
    """Answers each patch after a second, and remembers it."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []

    async def request(self, request: Request) -> Response:
        self.begun.append(request.path)
        await asyncio.sleep(1)
        self.ended.append(request.path)
        return Response(200, {}, b"{}")

    async def close(self) -> None: ...


class World:
    def __init__(self) -> None:
        self.server = Server()
        self.is_busy = True
        self.waiting: dict[str, Object] = {
            f"default/{name}": {"metadata": {"name": name, "namespace": "default"}} for name in ("a", "b")
        }
        self.reports = Reports(Client(self.server), lambda: self.is_busy, self.waiting.get)


def played(scenario: Any) -> None:
    async def body() -> None:
        with effects.use(SeededSource(1, asyncio.get_running_loop())):
            world = World()
            await scenario(world)
            await world.reports.close()

    run(body())


def test_a_pod_that_is_placed_meanwhile_is_not_reported_about() -> None:
    async def scenario(world: World) -> None:
        world.reports.put("default/a", REFUSED)
        world.reports.put("default/b", REFUSED)
        await asyncio.sleep(DELAY_S / 2)
        assert not world.server.begun
        del world.waiting["default/a"]
        world.is_busy = False
        await asyncio.sleep(2)
        assert [path.split("/")[-2] for path in world.server.ended] == ["b"]

    played(scenario)


def test_a_report_waits_for_a_busy_scheduler_only_so_long() -> None:
    async def scenario(world: World) -> None:
        world.reports.put("default/a", REFUSED)
        await asyncio.sleep(DELAY_S + 0.5)
        assert len(world.server.begun) == 1

    played(scenario)


def test_what_is_under_way_is_answered_before_the_pod_is_bound() -> None:
    async def scenario(world: World) -> None:
        world.is_busy = False
        world.reports.put("default/a", REFUSED)
        await asyncio.sleep(0.5)
        assert world.server.begun and not world.server.ended
        await world.reports.settled("default/a")
        assert world.server.ended

    played(scenario)


def test_what_is_not_under_way_is_dropped_for_the_binding() -> None:
    async def scenario(world: World) -> None:
        world.reports.put("default/a", REFUSED)
        await world.reports.settled("default/a")
        world.is_busy = False
        await asyncio.sleep(DELAY_S)
        assert not world.server.begun

    played(scenario)


def test_a_status_says_where_room_is_kept_and_when_it_is_kept_no_more() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1"}
    pod: Object = {"status": {"conditions": [condition], "nominatedNodeName": "n1"}}
    assert status_patch(pod, "Unschedulable", "0/1", "n1") is None
    assert status_patch(pod, "Unschedulable", "0/1", "n2") == {"status": {"nominatedNodeName": "n2"}}
    assert status_patch(pod, "Unschedulable", "0/1", "") == {"status": {"nominatedNodeName": None}}
    assert status_patch({"status": {"conditions": [condition]}}, "Unschedulable", "0/1", "") is None
