"""Of several API servers on one store, `kubernetes.default` leads to those that are alive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sampan import effects
from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS
from sampan.apimachinery.errors import NotFound
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.server import APIServer
from sampan.effects.seeded import SeededSource
from sampan.sim.loop import run
from sampan.storage.memory import MemoryStore

Scenario = Callable[["Servers"], Awaitable[None]]


class Servers:
    """Servers at 192.0.2.N, on one store."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.running: dict[int, APIServer] = {}

    async def start(self, number: int) -> None:
        config = APIServerConfig(
            authorization=False, hostname=f"master-{number}", advertise_address=f"192.0.2.{number}", shares_store=True
        )
        server = APIServer(self.store, config)
        await server.start()
        self.running[number] = server

    async def stop(self, number: int) -> None:
        await self.running.pop(number).stop()

    async def kill(self, number: int) -> None:
        """It ends without a word: its background work is cut off."""
        server = self.running.pop(number)
        for work in server._upkeep:
            loops = [getattr(work, "_loop", None), *getattr(work, "_loops", ())]
            for loop in (work, *loops):
                if task := getattr(loop, "_task", None):
                    task.cancel()
        await asyncio.sleep(0)
        await server.stop()

    async def told(self) -> list[str]:
        """What the Endpoints say; the slice must say the same."""
        client = next(iter(self.running.values())).client
        found = await client.get(ENDPOINTS, "kubernetes", "default")
        piece = await client.get(ENDPOINT_SLICES, "kubernetes", "default")
        addresses = [one["ip"] for one in found["subsets"][0]["addresses"]]
        assert [one["addresses"] for one in piece["endpoints"]] == [[one] for one in addresses]
        return addresses


def played(scenario: Scenario) -> None:
    async def play() -> None:
        servers = Servers()
        with effects.use(SeededSource(1, asyncio.get_running_loop().time)):
            try:
                await scenario(servers)
            finally:
                for number in list(servers.running):
                    await servers.stop(number)

    run(play())


def test_each_that_starts_joins_and_one_that_stops_leaves_at_once() -> None:
    async def scenario(servers: Servers) -> None:
        await servers.start(10)
        assert await servers.told() == ["192.0.2.10"]
        for number in (9, 11):
            await servers.start(number)
        await asyncio.sleep(11)
        assert await servers.told() == ["192.0.2.9", "192.0.2.10", "192.0.2.11"], "in the order of numbers"
        await servers.stop(10)
        assert await servers.told() == ["192.0.2.9", "192.0.2.11"]
        await asyncio.sleep(30)
        assert await servers.told() == ["192.0.2.9", "192.0.2.11"]

    played(scenario)


def test_one_that_dies_is_left_out_once_its_lease_is_old() -> None:
    async def scenario(servers: Servers) -> None:
        for number in (1, 2):
            await servers.start(number)
        await asyncio.sleep(11)
        await servers.kill(1)
        assert await servers.told() == ["192.0.2.1", "192.0.2.2"]
        await asyncio.sleep(26)
        assert await servers.told() == ["192.0.2.2"]
        await servers.start(1)
        assert "192.0.2.1" in await servers.told()
        await asyncio.sleep(11)
        assert await servers.told() == ["192.0.2.1", "192.0.2.2"]

    played(scenario)


def test_the_last_one_leaves_its_address() -> None:
    async def scenario(servers: Servers) -> None:
        await servers.start(1)
        await servers.stop(1)
        await servers.start(2)
        assert await servers.told() == ["192.0.2.1", "192.0.2.2"], "its lease is seconds old: it may be back"
        await asyncio.sleep(26)
        assert await servers.told() == ["192.0.2.2"]

    played(scenario)


def test_deleted_endpoints_come_back() -> None:
    async def scenario(servers: Servers) -> None:
        await servers.start(1)
        client = servers.running[1].client
        for resource in (ENDPOINTS, ENDPOINT_SLICES):
            await client.delete(resource, "kubernetes", "default")
        await asyncio.sleep(11)
        assert await servers.told() == ["192.0.2.1"]

    played(scenario)


def test_a_loopback_address_is_nobodys_endpoint() -> None:
    async def scenario(servers: Servers) -> None:
        server = APIServer(servers.store, APIServerConfig(authorization=False, hostname="here"))
        await server.start()
        servers.running[0] = server
        await asyncio.sleep(11)
        try:
            await server.client.get(ENDPOINTS, "kubernetes", "default")
        except NotFound:
            return
        raise AssertionError("it may have none")

    played(scenario)
