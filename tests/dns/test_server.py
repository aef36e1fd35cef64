"""The name server over real sockets on the loopback: UDP, TCP, truncation, changes, forwarding."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from tests.meanwhile import meanwhile
from tests.ports import free_port

from sampan.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from sampan.client.client import Client
from sampan.dns.server import DNSConfig, DNSServer

HERE = "127.0.0.1"


@contextlib.asynccontextmanager
async def serving(api: Any, **options: Any) -> AsyncIterator[DNSServer]:
    server = DNSServer(Client(api), DNSConfig(addresses=(HERE,), port=free_port(), **options))
    async with meanwhile(server.run()):
        async with asyncio.timeout(60):
            await server.ready.wait()
        yield server


@pytest.fixture
async def server(fake_api: Any) -> AsyncIterator[DNSServer]:
    fake_api.put(NAMESPACES, {"metadata": {"name": "default"}})
    fake_api.put(SERVICES, {"metadata": {"name": "web", "namespace": "default"}, "spec": {"clusterIP": "10.96.1.1"}})
    fake_api.put(SERVICES, {"metadata": {"name": "db", "namespace": "default"}, "spec": {"clusterIP": "None"}})
    async with serving(fake_api) as running:
        yield running


def slice_of(count: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "db-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4", "endpoints": [{"addresses": [f"10.244.0.{n}"]} for n in range(1, count + 1)],
    }


async def ask(server: DNSServer, name: str, kind: str = "A", **options: Any) -> dns.message.Message:
    query = dns.message.make_query(name, kind, **options)
    return await dns.asyncquery.udp(query, HERE, port=server.port, timeout=60)


async def addresses(server: DNSServer, name: str) -> list[str]:
    return [item.address for rrset in (await ask(server, name)).answer for item in rrset]


async def test_udp_and_tcp_give_the_same_answer(server: DNSServer) -> None:
    query = dns.message.make_query("web.default.svc.cluster.local.", "A")
    udp = await dns.asyncquery.udp(query, HERE, port=server.port, timeout=60)
    tcp = await dns.asyncquery.tcp(query, HERE, port=server.port, timeout=60)
    assert udp.answer == tcp.answer and udp.answer[0].to_text().endswith("IN A 10.96.1.1")


async def test_a_repeated_query_is_answered_from_the_cache_under_its_own_id(server: DNSServer) -> None:
    for number in (1, 2, 3):
        assert (await ask(server, "web.default.svc.cluster.local.", id=number)).id == number
    assert server.responder.hits == 2


async def test_a_change_is_seen_at_once(server: DNSServer, fake_api: Any) -> None:
    assert (await ask(server, "db.default.svc.cluster.local.")).rcode() == dns.rcode.NXDOMAIN
    fake_api.put(ENDPOINT_SLICES, slice_of(2))
    async with asyncio.timeout(60):
        while len(await addresses(server, "db.default.svc.cluster.local.")) != 2:
            await asyncio.sleep(0.01)
    fake_api.remove(SERVICES, "default/db")
    async with asyncio.timeout(60):
        while (await ask(server, "db.default.svc.cluster.local.")).rcode() != dns.rcode.NXDOMAIN:
            await asyncio.sleep(0.01)


async def test_endpoints_take_turns_at_the_front(server: DNSServer, fake_api: Any) -> None:
    fake_api.put(ENDPOINT_SLICES, slice_of(3))
    async with asyncio.timeout(60):
        while len(await addresses(server, "db.default.svc.cluster.local.")) != 3:
            await asyncio.sleep(0.01)
    firsts = {(await addresses(server, "db.default.svc.cluster.local."))[0] for _ in range(3)}
    assert firsts == {"10.244.0.1", "10.244.0.2", "10.244.0.3"}


async def test_an_answer_too_long_for_udp_says_so_and_is_whole_over_tcp(server: DNSServer, fake_api: Any) -> None:
    fake_api.put(ENDPOINT_SLICES, slice_of(200))
    name = "db.default.svc.cluster.local."
    async with asyncio.timeout(60):
        while not (await ask(server, name)).flags & dns.flags.TC:
            await asyncio.sleep(0.01)
    reply = await ask(server, name, use_edns=0, payload=1232)
    assert reply.flags & dns.flags.TC and len(reply.to_wire()) <= 1232
    whole = await dns.asyncquery.tcp(dns.message.make_query(name, "A"), HERE, port=server.port, timeout=60)
    assert len(whole.answer[0]) == 200 and not whole.flags & dns.flags.TC


async def test_two_queries_on_one_tcp_connection_are_both_answered(server: DNSServer) -> None:
    reader, writer = await asyncio.open_connection(HERE, server.port)
    for number in (7, 8):
        wire = dns.message.make_query("web.default.svc.cluster.local.", "A", id=number).to_wire()
        writer.write(len(wire).to_bytes(2, "big") + wire)
    for number in (7, 8):
        size = int.from_bytes(await reader.readexactly(2), "big")
        assert dns.message.from_wire(await reader.readexactly(size)).id == number
    writer.close()


async def test_the_outside_goes_to_the_resolver_and_aliases_lead_there(server: DNSServer, fake_api: Any) -> None:
    class Upstream(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            query = dns.message.from_wire(data)
            reply = dns.message.make_response(query)
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.7"))
            self.transport.sendto(reply.to_wire(), addr)

    fake_api.put(SERVICES, {"metadata": {"name": "out", "namespace": "default"},
                            "spec": {"type": "ExternalName", "externalName": "example.com"}})
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Upstream, local_addr=(HERE, 0))
    try:
        async with serving(fake_api, resolvers=(transport.get_extra_info("sockname"),)) as forwarding:
            assert await addresses(forwarding, "example.com.") == ["192.0.2.7"]
            reply = await ask(forwarding, "out.default.svc.cluster.local.")
            assert [rrset.to_text() for rrset in reply.answer] == [
                "out.default.svc.cluster.local. 5 IN CNAME example.com.", "example.com. 60 IN A 192.0.2.7"]
    finally:
        transport.close()


async def test_a_resolver_that_is_not_there_is_a_server_failure(fake_api: Any) -> None:
    async with serving(fake_api, resolvers=((HERE, 1),)) as forwarding:
        assert (await ask(forwarding, "example.com.")).rcode() == dns.rcode.SERVFAIL


async def test_queries_wait_in_a_socket_while_the_server_is_replaced(server: DNSServer, fake_api: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kept, socket.socket(type=socket.SOCK_DGRAM) as client:
        kept.bind((HERE, 0))
        client.settimeout(5)
        client.connect(kept.getsockname())
        for number in (1, 2):
            client.send(dns.message.make_query("web.default.svc.cluster.local.", "A", id=number).to_wire())
            async with serving(fake_api, sockets=(kept,)):
                answer = await asyncio.to_thread(client.recv, 1000)
            assert dns.message.from_wire(answer).id == number
