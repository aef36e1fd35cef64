"""Two API servers on one store: their caches may be of different age, and nothing is given away twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sampan import effects
from sampan.api.resources import CONFIG_MAPS, SERVICES
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object
from sampan.apiserver.registry.port_claims import EXPIRES_S, PREFIX
from sampan.client.informer import Informer
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.documents import document
from sampan.sim.faults.kinds import Moved, OlderServer, ServerCrash, StaleServer
from sampan.sim.loop import run
from sampan.sim.node import node_specs
from sampan.sim.reads import Reads

ADDRESS = "10.96.0.200"
PORT = 30001


def with_two_servers(scenario: Callable[[SimCluster], Awaitable[None]]) -> None:
    async def main() -> None:
        config = SimConfig(node_specs(1), servers=2, quiet=False)
        async with SimCluster(1, config=config) as cluster:
            await asyncio.sleep(10)
            await scenario(cluster)

    run(main())


def service(name: str, **spec: object) -> Object:
    return document("Service", "v1", name, spec={"ports": [{"port": 80}], **spec})


def on_port(name: str) -> Object:
    return service(name, type="NodePort", ports=[{"port": 80, "nodePort": PORT}])


async def claims(cluster: SimCluster) -> list[str]:
    return [item.key for item in (await cluster.store.list(PREFIX)).items]


def test_both_servers_show_what_either_has_written() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.administrator_at(0).create(CONFIG_MAPS, document("ConfigMap", "v1", "a"))
        found = await cluster.administrator_at(1).get(CONFIG_MAPS, "a", "default")
        assert found["metadata"]["name"] == "a"

    with_two_servers(scenario)


@pytest.mark.parametrize("port", [False, True])
def test_two_servers_do_not_give_away_the_same_address_or_port(port: bool) -> None:
    async def scenario(cluster: SimCluster) -> None:
        wanted = [on_port(f"s{n}") if port else service(f"s{n}", clusterIP=ADDRESS) for n in range(6)]
        answers = await asyncio.gather(*(
            cluster.administrator_at(number % 2).create(SERVICES, one) for number, one in enumerate(wanted)
        ), return_exceptions=True)
        assert sum(isinstance(answer, dict) for answer in answers) == 1
        for answer in answers:
            assert isinstance(answer, dict) or "already allocated" in str(answer)
        await asyncio.sleep(1)
        assert not await claims(cluster)

    with_two_servers(scenario)


def test_a_server_that_is_behind_gives_nothing_away_until_it_knows() -> None:
    async def scenario(cluster: SimCluster) -> None:
        stale = StaleServer(0, 30, server=0)
        stale.begin(cluster)
        await cluster.administrator_at(1).create(SERVICES, on_port("one"))
        late = asyncio.ensure_future(cluster.administrator_at(0).create(SERVICES, on_port("two")))
        await asyncio.sleep(20)
        assert not late.done()
        stale.end(cluster)
        with pytest.raises(errors.Invalid, match="already allocated"):
            await late

    with_two_servers(scenario)


def test_an_address_can_be_had_again_after_a_refusal_and_after_its_service() -> None:
    async def scenario(cluster: SimCluster) -> None:
        first, second = cluster.administrator_at(0), cluster.administrator_at(1)
        with pytest.raises(errors.Invalid):
            await first.create(SERVICES, service("bad", clusterIP=ADDRESS, sessionAffinity="Nonsense"))
        await asyncio.sleep(0.1)
        await second.create(SERVICES, service("good", clusterIP=ADDRESS))
        await first.delete(SERVICES, "good", "default")
        await second.create(SERVICES, service("next", clusterIP=ADDRESS))

    with_two_servers(scenario)


def test_the_claim_of_a_server_that_died_is_taken_over_when_it_has_expired() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.store.create(f"{PREFIX}tcp-{PORT}", effects.timestamp().encode())
        client = cluster.administrator_at(0)
        with pytest.raises(errors.Invalid, match="already allocated"):
            await client.create(SERVICES, on_port("early"))
        await client.create(SERVICES, service("other"))
        await asyncio.sleep(EXPIRES_S + 1)
        await client.create(SERVICES, on_port("late"))

    with_two_servers(scenario)


def test_who_finds_its_server_away_goes_to_the_other() -> None:
    async def scenario(cluster: SimCluster) -> None:
        client = cluster.administrator_at(0)
        fault = ServerCrash(0, 10, server=0)
        fault.begin(cluster)
        await client.create(CONFIG_MAPS, document("ConfigMap", "v1", "a"))
        fault.end(cluster)
        await asyncio.sleep(2)
        assert cluster.network.server_of(cluster.network.link("user of server 0")) == 0

    with_two_servers(scenario)


def test_an_informer_that_is_moved_to_an_older_server_does_not_go_back_in_time() -> None:
    async def scenario(cluster: SimCluster) -> None:
        went_back: list[str] = []
        cluster.network.reads = Reads(went_back.append)
        client = cluster.administrator_at(1)
        informer = Informer(client, CONFIG_MAPS, "default")
        running = asyncio.ensure_future(informer.run())
        await informer.wait_synced()
        stale = StaleServer(0, 30, server=0)
        stale.begin(cluster)
        await client.create(CONFIG_MAPS, document("ConfigMap", "v1", "new"))
        await cluster.until(lambda: informer.lister.get("new", "default") is not None, within_s=5)
        moved = Moved(0, 30, "user of server 1", server=0)
        moved.begin(cluster)
        for _ in range(20):
            await asyncio.sleep(1)
            assert informer.lister.get("new", "default") is not None
        stale.end(cluster)
        await cluster.administrator_at(0).create(CONFIG_MAPS, document("ConfigMap", "v1", "newer"))
        await cluster.until(lambda: informer.lister.get("newer", "default") is not None, within_s=30)
        assert not went_back
        running.cancel()

    with_two_servers(scenario)


@pytest.mark.parametrize("how", ["broken", "expired", "restarted"])
def test_a_component_that_comes_to_an_older_server_sees_nothing_until_that_knows(how: str) -> None:
    async def scenario(cluster: SimCluster) -> None:
        went_back: list[str] = []
        cluster.network.reads = Reads(went_back.append)
        await asyncio.sleep(10)
        fault = OlderServer(0, 20, "nodes", 0, how)
        fault.begin(cluster)
        life = cluster.components["nodes"].life.number
        for number in range(20):
            await cluster.administrator_at(1).create(CONFIG_MAPS, document("ConfigMap", "v1", f"c{number}"))
            await asyncio.sleep(1)
        fault.end(cluster)
        await asyncio.sleep(10)
        assert cluster.components["nodes"].life.number == life + (how == "restarted")
        assert not went_back
        assert how == "broken" or cluster.network.reads.known("nodes"), "it has listed again"

    with_two_servers(scenario)
