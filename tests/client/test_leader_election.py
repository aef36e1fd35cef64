"""Leader election on virtual time: who holds the Lease works, and never two at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sampan import effects
from sampan.api.resources import LEASES
from sampan.apimachinery import errors
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.server import APIServer
from sampan.client.client import Client
from sampan.client.leader_election import LeaderElector, LeadershipLost
from sampan.sim.loop import VirtualLoop, run
from sampan.sim.source import SeededSource
from sampan.storage.memory import MemoryStore


class Cut:
    """A transport whose cable can be pulled."""

    def __init__(self, server: APIServer) -> None:
        self._transport = server.transport(UserInfo("admin", groups=("system:masters",)))
        self.is_cut = False

    async def request(self, request: Request) -> Response:
        if self.is_cut:
            raise errors.ServiceUnavailable("cut")
        return await self._transport.request(request)

    async def close(self) -> None: ...


class Candidates:
    """Electors that note when they worked."""

    def __init__(self, server: APIServer) -> None:
        self.server = server
        self.working: list[str] = []
        self.log: list[tuple[str, str, float]] = []
        self.cables: dict[str, Cut] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str) -> None:
        cable = self.cables[name] = Cut(self.server)
        elector = LeaderElector(Client(cable), "test", "kube-system", name)

        async def work() -> None:
            self.log.append((name, "begins", effects.monotonic()))
            self.working.append(name)
            assert len(self.working) == 1, "two work at once"
            try:
                await asyncio.sleep(10_000)
            finally:
                self.working.remove(name)
                self.log.append((name, "ends", effects.monotonic()))

        self.tasks[name] = asyncio.create_task(elector.run(work))

    async def lease(self) -> dict:
        client = Client(self.server.transport(UserInfo("admin", groups=("system:masters",))))
        return (await client.get(LEASES, "test", "kube-system"))["spec"]


def played(scenario: Callable[[Candidates], Awaitable[None]]) -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        with effects.use(SeededSource(1, loop)):
            server = APIServer(MemoryStore(), APIServerConfig(authorization=False))
            await server.start()
            candidates = Candidates(server)
            await scenario(candidates)
            for task in candidates.tasks.values():
                task.cancel()
            await asyncio.gather(*candidates.tasks.values(), return_exceptions=True)
            await server.stop()

    run(play())


def test_one_of_two_works_and_the_other_takes_over_at_once_when_it_ends() -> None:
    async def scenario(candidates: Candidates) -> None:
        candidates.start("a")
        await asyncio.sleep(1)
        candidates.start("b")
        await asyncio.sleep(60)
        assert candidates.working == ["a"]
        assert (await candidates.lease())["leaseTransitions"] == 0
        candidates.tasks["a"].cancel()
        await asyncio.sleep(5)
        assert candidates.working == ["b"]
        spec = await candidates.lease()
        assert (spec["holderIdentity"], spec["leaseTransitions"], spec["leaseDurationSeconds"]) == ("b", 1, 15)

    played(scenario)


def test_a_leader_that_is_cut_off_stops_before_another_begins() -> None:
    async def scenario(candidates: Candidates) -> None:
        candidates.start("a")
        await asyncio.sleep(1)
        candidates.start("b")
        await asyncio.sleep(30)
        cut = effects.monotonic()
        candidates.cables["a"].is_cut = True
        await asyncio.sleep(30)
        assert [entry[:2] for entry in candidates.log] == [("a", "begins"), ("a", "ends"), ("b", "begins")]
        ended, began = candidates.log[1][2], candidates.log[2][2]
        assert ended - cut <= 12.1
        assert ended < began <= cut + 22
        with pytest.raises(LeadershipLost):
            await candidates.tasks["a"]

    played(scenario)


def test_a_short_cut_changes_nothing() -> None:
    async def scenario(candidates: Candidates) -> None:
        candidates.start("a")
        candidates.start("b")
        await asyncio.sleep(10)
        [leader] = candidates.working
        candidates.cables[leader].is_cut = True
        await asyncio.sleep(6)
        candidates.cables[leader].is_cut = False
        await asyncio.sleep(60)
        assert candidates.working == [leader]
        assert len(candidates.log) == 1

    played(scenario)


def test_the_clock_of_a_dead_holder_counts_for_nothing() -> None:
    async def scenario(candidates: Candidates) -> None:
        client = Client(candidates.server.transport(UserInfo("admin", groups=("system:masters",))))
        await client.create(LEASES, {
            "metadata": {"name": "test", "namespace": "kube-system"},
            "spec": {
                "holderIdentity": "dead", "leaseDurationSeconds": 15, "leaseTransitions": 3,
                "renewTime": "2099-01-01T00:00:00.000000Z", "acquireTime": "2099-01-01T00:00:00.000000Z",
            },
        })
        candidates.start("a")
        await asyncio.sleep(14)
        assert not candidates.working
        await asyncio.sleep(6)
        assert candidates.working == ["a"]
        assert (await candidates.lease())["leaseTransitions"] == 4

    played(scenario)


def test_a_leader_whose_lease_was_given_to_another_stops_at_its_next_look() -> None:
    async def scenario(candidates: Candidates) -> None:
        candidates.start("a")
        await asyncio.sleep(5)
        client = Client(candidates.server.transport(UserInfo("admin", groups=("system:masters",))))
        await client.patch(LEASES, "test", {"spec": {"holderIdentity": "other"}}, "kube-system")
        await asyncio.sleep(3)
        assert not candidates.working
        with pytest.raises(LeadershipLost):
            await candidates.tasks["a"]
        assert (await candidates.lease())["holderIdentity"] == "other", "what is not its own is not given up"

    played(scenario)


def test_who_comes_back_under_another_name_waits_as_everybody() -> None:
    async def scenario(candidates: Candidates) -> None:
        candidates.start("a")
        await asyncio.sleep(5)
        candidates.cables["a"].is_cut = True  # it dies without a word
        candidates.tasks["a"].cancel()
        await asyncio.gather(candidates.tasks["a"], return_exceptions=True)
        candidates.start("a again")
        await asyncio.sleep(10)
        assert not candidates.working
        await asyncio.sleep(12)
        assert candidates.working == ["a again"]

    played(scenario)
