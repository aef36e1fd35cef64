"""A scheduler that is killed at any moment, between deciding and binding too, places nothing twice."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from sampan import effects
from sampan.api.resources import NODES, PODS
from sampan.apimachinery.http import Request, Response
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.scheduler import scheduler
from sampan.scheduler.config import Profile, SchedulerConfig
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.loop import run
from sampan.sim.node import NodeSpec

PODS_IN_ALL = 12


class Slow:
    """A transport over a network: every request and every answer takes its time."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def request(self, request: Request) -> Response:
        await asyncio.sleep(effects.rng().uniform(0, 0.05))
        response: Response = await self._inner.request(request)
        await asyncio.sleep(effects.rng().uniform(0, 0.05))
        return response

    async def close(self) -> None: ...


def pod(number: int) -> Object:
    requests = {"cpu": "500m"}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number:02}", "namespace": "default"},
        "spec": {"containers": [{"name": "main", "image": "app:1", "resources": {"requests": requests}}]},
    }


async def nodes_of(cluster: SimCluster) -> list[str]:
    pods = (await cluster.client.list(PODS, "default"))["items"]
    return [p["spec"].get("nodeName") or "" for p in pods]


async def kill_again_and_again(seed: int) -> list[int]:
    """Room for exactly all pods; a scheduler that lives only moments, six times, then one that stays.

    Returns how many pods were placed at each kill.
    """
    capacity = {"cpu": "2", "memory": "4Gi", "pods": "10"}
    config = SimConfig(
        [NodeSpec(f"n{i}", f"172.31.0.{i + 1}", capacity) for i in range(3)],
        scheduler=SchedulerConfig((Profile("nobody's"),)),
    )
    async with SimCluster(seed, config=config) as cluster:

        async def all_nodes_are_there() -> bool:
            return len((await cluster.client.list(NODES))["items"]) == 3

        await cluster.until(all_nodes_are_there)
        for number in range(PODS_IN_ALL):
            await cluster.client.create(PODS, pod(number))
        progress: list[int] = []
        for last in (False,) * 6 + (True,):
            client = Client(Slow(cluster.client_of("system:kube-scheduler", "system:masters")._transport))
            task = asyncio.create_task(scheduler.run(client, SchedulerConfig(parallel_bindings=2)))
            if last:
                await cluster.until(lambda: all_placed(cluster), within_s=120)
            else:
                await asyncio.sleep(effects.rng().uniform(0.1, 0.3))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            progress.append(sum(map(bool, await nodes_of(cluster))))
        assert sorted(await nodes_of(cluster)) == ["n0"] * 4 + ["n1"] * 4 + ["n2"] * 4
        assert await moves(cluster) == {f"p{n:02}": 1 for n in range(PODS_IN_ALL)}
        return progress


async def all_placed(cluster: SimCluster) -> bool:
    return all(await nodes_of(cluster))


async def moves(cluster: SimCluster) -> dict[str, int]:
    """How often each pod's node was set, from the store's history."""
    nodes: dict[str, list[str]] = {}
    for event in await cluster.history():
        if "/pods/" not in event.kv.key:
            continue
        obj = orjson.loads(event.kv.value)
        node = obj["spec"].get("nodeName")
        seen = nodes.setdefault(obj["metadata"]["name"], [])
        if node and seen[-1:] != [node]:
            seen.append(node)
    return {name: len(seen) for name, seen in nodes.items()}


@pytest.mark.timeout(120)
def test_a_scheduler_killed_at_any_moment_places_nothing_twice() -> None:
    progress = [placed for seed in range(8) for placed in run(kill_again_and_again(seed))]
    in_the_middle = [placed for placed in progress if 0 < placed < PODS_IN_ALL]
    assert len(in_the_middle) >= 8, f"too few kills came in the middle: {progress}"
