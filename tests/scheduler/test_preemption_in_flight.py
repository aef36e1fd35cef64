"""While room is being made for a pod, which takes its time, nobody else is evicted for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from tests.apiserver.serving import serving
from tests.meanwhile import meanwhile

from sampan.api.resources import NODES, PODS, PRIORITY_CLASSES
from sampan.apimachinery.http import Request, Response
from sampan.apimachinery.object import Object
from sampan.apiserver.server import ITSELF
from sampan.client.client import Client
from sampan.scheduler import scheduler
from sampan.scheduler.config import SchedulerConfig
from sampan.scheduler.plugins import default_preemption

NODE_COUNT = 4


class Slow:
    """A transport whose evictions take long, and on which one deletion fails at first if that is wanted."""

    def __init__(self, inner: Any, failing: str = "") -> None:
        self._inner = inner
        self._failing = failing
        self.deletions: Counter[str] = Counter()
        self.ended: list[str] = []
        """The names of deleted pods, in their order."""

    async def request(self, request: Request) -> Response:
        if request.method == "DELETE":
            name = request.path.rpartition("/")[2]
            self.deletions[name] += 1
            await asyncio.sleep(0.05)
            if name.startswith(self._failing) and self._failing:
                self._failing = ""
                return Response(500, {"content-type": "application/json"}, b'{"kind": "Status", "code": 500}')
        answer: Response = await self._inner.request(request)
        if request.method == "DELETE":
            self.ended.append(request.path.rpartition("/")[2])
        return answer

    async def close(self) -> None: ...


def pod(name: str, cpu: str, priority: str, **spec: Any) -> Object:
    container = {"name": "main", "image": "app:1", "resources": {"requests": {"cpu": cpu}}}
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [container], "priorityClassName": priority, "terminationGracePeriodSeconds": 0, **spec},
    }


async def placed_by_force(failing: str = "") -> tuple[Slow, list[str]]:
    """On each node four cheap pods, of which three must go for an important one. The deletions, and who is left."""
    async with serving() as (server, api):
        for name, value in (("cheap", 1), ("important", 100)):
            await api.create(PRIORITY_CLASSES, {"metadata": {"name": name}, "value": value})
        offered = {"cpu": "4", "memory": "8Gi", "pods": "110"}
        for number in range(NODE_COUNT):
            await api.create(NODES, {"metadata": {"name": f"n{number}"}, "status": {"allocatable": offered}})
            await api.patch(NODES, f"n{number}", {"spec": {"taints": None}})
            for place in range(4):
                await api.create(PODS, pod(f"cheap-{number}-{place}", "900m", "cheap", nodeName=f"n{number}"))
        slow = Slow(server.transport(ITSELF), failing)
        async with meanwhile(scheduler.run(Client(slow), SchedulerConfig())):
            for number in range(NODE_COUNT):
                await api.create(PODS, pod(f"important-{number}", "3", "important"))
            async with asyncio.timeout(60):
                while (await api.list(PODS, "default", field_selector="spec.nodeName="))["items"]:
                    await asyncio.sleep(0.02)
        return slow, [one["metadata"]["name"] for one in (await api.list(PODS, "default"))["items"]]


async def test_each_victim_is_deleted_once_and_nobody_too_many() -> None:
    slow, left = await placed_by_force()
    assert sum(name.startswith("cheap") for name in left) == NODE_COUNT
    assert set(slow.deletions.values()) == {1} and len(slow.deletions) == 3 * NODE_COUNT


async def test_a_victim_that_could_not_be_deleted_is_not_waited_for_for_ever() -> None:
    slow, left = await placed_by_force(failing="cheap")
    assert sum(name.startswith("important") for name in left) == NODE_COUNT
    assert sum(slow.deletions.values()) >= 3 * NODE_COUNT + 1


async def test_one_preemption_is_done_before_the_next_begins(monkeypatch) -> None:
    monkeypatch.setattr(default_preemption, "PARALLEL_EVICTIONS", 1)
    slow, _ = await placed_by_force()
    nodes = [name.split("-")[1] for name in slow.ended]
    assert all(len(set(nodes[begin:begin + 3])) == 1 for begin in range(0, 3 * NODE_COUNT, 3))
