"""Real packets through real rules: pods, a node and a machine outside, all network namespaces of the test's own.

    outside 172.30.9.2 ── 172.30.9.1 node 10.244.0.1 ── cni0 ── pods 10.244.0.11, .12, …
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.meanwhile import meanwhile

from sampan.api.resources import ENDPOINT_SLICES, NODES, SERVICES
from sampan.client.client import Client
from sampan.machines import namespace
from sampan.netfilter.nft import NFT
from sampan.proxy.proxy import Proxy, ProxyConfig

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces needs root")

SERVICE_IP = "10.96.0.50"
NODE_IP = "172.30.9.1"


class World:
    """Namespaces, and servers in pods that answer with their own name and the address they see."""

    def __init__(self) -> None:
        self.prefix = f"t-px{os.getpid()}"
        self.names: list[str] = []
        self.sockets: list[socket.socket] = []
        self.node = self.make("node")
        self.outside = self.make("out")
        self.ip(self.node, f"link add eth0 type veth peer name eth0 netns {self.outside}")
        self.ip(self.node, f"addr add {NODE_IP}/24 dev eth0")
        self.ip(self.node, "link set eth0 up")
        self.ip(self.outside, "addr add 172.30.9.2/24 dev eth0")
        self.ip(self.outside, "link set eth0 up")
        self.ip(self.outside, f"route add default via {NODE_IP}")
        self.ip(self.node, "route add default via 172.30.9.2")
        self.ip(self.node, "link add cni0 type bridge")
        self.ip(self.node, "addr add 10.244.0.1/24 dev cni0")
        self.ip(self.node, "link set cni0 up")
        self.pods = [self.pod(number) for number in (11, 12, 13)]
        namespace.call_in(self.node, self.set_sysctls)

    def set_sysctls(self) -> None:
        for key in ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"):
            with open(f"/proc/sys/{key}", "w") as file:
                file.write("1")

    def make(self, name: str) -> str:
        full = f"{self.prefix}-{name}"
        namespace.create(full)
        self.names.append(full)
        self.ip(full, "link set lo up")
        return full

    def pod(self, number: int) -> str:
        name = self.make(f"pod{number}")
        self.ip(self.node, f"link add pod{number} type veth peer name eth0 netns {name}")
        self.ip(self.node, f"link set pod{number} master cni0")
        self.ip(self.node, f"link set pod{number} type bridge_slave hairpin on")
        self.ip(self.node, f"link set pod{number} up")
        self.ip(name, f"addr add 10.244.0.{number}/24 dev eth0")
        self.ip(name, "link set eth0 up")
        self.ip(name, "route add default via 10.244.0.1")
        namespace.call_in(name, lambda: self.serve(str(number)))
        return name

    def ip(self, name: str, command: str) -> None:
        subprocess.run(namespace.exec_in(name, ["ip", *command.split()]), check=True, capture_output=True)

    def serve(self, name: str) -> None:
        tcp = socket.create_server(("0.0.0.0", 8080))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", 8053))
        self.sockets += [tcp, udp]

        def tcp_loop() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, peer = tcp.accept()
                    threading.Thread(target=talk, args=(connection, peer), daemon=True).start()

        def talk(connection: socket.socket, peer: Any) -> None:
            with contextlib.suppress(OSError), connection:
                while connection.recv(100):
                    connection.sendall(f"{name} {peer[0]}".encode())

        def udp_loop() -> None:
            with contextlib.suppress(OSError):
                while (peer := udp.recvfrom(100)[1]) is not None:  # None once the socket is shut
                    udp.sendto(f"{name} {peer[0]}".encode(), peer)

        for loop in (tcp_loop, udp_loop):
            threading.Thread(target=loop, daemon=True).start()

    def close(self) -> None:
        for opened in self.sockets:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it
            opened.close()
        for name in self.names:
            namespace.delete(name)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    try:
        yield made
    finally:
        made.close()


def talk(address: str, port: int, timeout_s: float = 60) -> list[str]:
    """The server's name and the address it sees."""
    with socket.create_connection((address, port), timeout_s) as connection:
        connection.sendall(b"?")
        return connection.recv(100).decode().split()


def service(*ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web", "namespace": "d"},
            "spec": {"clusterIP": SERVICE_IP, "ports": list(ports) or [{"name": "http", "port": 80}], **spec}}


def slices(*numbers: int, **conditions: bool) -> dict[str, Any]:
    return {
        "metadata": {"name": "web-1", "namespace": "d", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}, {"name": "dns", "port": 8053, "protocol": "UDP"}],
        "endpoints": [{"addresses": [f"10.244.0.{n}"], "nodeName": "n", "conditions": conditions} for n in numbers],
    }


@contextlib.asynccontextmanager
async def proxying(world: World, api: Any) -> AsyncIterator[Proxy]:
    config = ProxyConfig("n", health_port=0, metrics_port=0, enter=lambda: namespace.enter(world.node))
    proxy = Proxy(Client(api), config)
    async with meanwhile(proxy.run()):
        async with asyncio.timeout(60):
            await proxy.ready.wait()
        yield proxy


@pytest.fixture
async def proxy(world: World, fake_api: Any) -> AsyncIterator[Proxy]:
    namespace.call_in(world.node, lambda: NFT().run(["add table ip sampan-proxy", "delete table ip sampan-proxy"]))
    fake_api.put(NODES, {"metadata": {"name": "n"}})
    async with proxying(world, fake_api) as running:
        yield running


async def inside(name: str, function: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(namespace.call_in, name, function)


async def publish(proxy: Proxy, api: Any, spec: dict[str, Any], *numbers: int, **conditions: bool) -> None:
    """Put the Service and its slice, and wait until the kernel has both."""
    piece = slices(*numbers, **conditions)
    api.put(SERVICES, spec)
    api.put(ENDPOINT_SLICES, piece)
    async with asyncio.timeout(60):
        while (proxy._services.lister.get("web", "d"), proxy._slices.lister.get("web-1", "d")) != (spec, piece):
            await asyncio.sleep(0.005)
        while not proxy.health.settled:
            await asyncio.sleep(0.005)
    assert not proxy.failures


async def test_connections_spread_over_the_endpoints_and_pods_keep_their_address(
    world: World, proxy: Proxy, fake_api: Any,
) -> None:
    await publish(proxy, fake_api, service(), 11, 12)
    seen = await inside(world.pods[2], lambda: [talk(SERVICE_IP, 80) for _ in range(60)])
    counts = Counter(name for name, _ in seen)
    assert set(counts) == {"11", "12"} and min(counts.values()) >= 10
    assert {address for _, address in seen} == {"10.244.0.13"}


async def test_a_pod_reaches_itself_through_its_service(world: World, proxy: Proxy, fake_api: Any) -> None:
    await publish(proxy, fake_api, service(), 11)
    assert await inside(world.pods[0], lambda: talk(SERVICE_IP, 80)) == ["11", "10.244.0.1"]


async def test_the_node_reaches_a_service(world: World, proxy: Proxy, fake_api: Any) -> None:
    await publish(proxy, fake_api, service(), 12)
    assert (await inside(world.node, lambda: talk(SERVICE_IP, 80)))[0] == "12"


async def test_one_client_stays_with_one_endpoint_under_affinity(world: World, proxy: Proxy, fake_api: Any) -> None:
    sticky = service(sessionAffinity="ClientIP")
    await publish(proxy, fake_api, sticky, 11, 12)
    names = {(await inside(world.pods[2], lambda: talk(SERVICE_IP, 80)))[0] for _ in range(12)}
    assert len(names) == 1
    await publish(proxy, fake_api, sticky, 11, 12, 13)
    assert (await inside(world.pods[2], lambda: talk(SERVICE_IP, 80)))[0] in names


async def test_a_new_proxy_keeps_connections_and_affinity(world: World, proxy: Proxy, fake_api: Any) -> None:
    def remembered() -> str:
        listed = subprocess.run(namespace.exec_in(world.node, ["nft", "-j", "list", "sets", "ip"]), capture_output=True)
        sets = (entry["set"] for entry in json.loads(listed.stdout)["nftables"] if "set" in entry)
        return ",".join(sorted(found["name"] for found in sets if "10.244.0.13" in str(found.get("elem"))))

    await publish(proxy, fake_api, service(sessionAffinity="ClientIP"), 11, 12)
    connection = await inside(world.pods[2], lambda: socket.create_connection((SERVICE_IP, 80), 60))
    with connection:
        connection.sendall(b"?")
        first = connection.recv(100)
        before = remembered()
        assert before.startswith("affinity-")
        async with proxying(world, fake_api):
            assert remembered() == before
            connection.sendall(b"?")
            assert connection.recv(100) == first
            names = {(await inside(world.pods[2], lambda: talk(SERVICE_IP, 80)))[0] for _ in range(8)}
            assert names == {first.decode().split()[0]}


async def test_a_service_without_endpoints_refuses_at_once_and_then_works(
    world: World, proxy: Proxy, fake_api: Any,
) -> None:
    await publish(proxy, fake_api, service())
    for place in (world.pods[0], world.node):
        with pytest.raises(ConnectionRefusedError):
            await inside(place, lambda: talk(SERVICE_IP, 80))
    await publish(proxy, fake_api, service(), 11)
    assert (await inside(world.pods[1], lambda: talk(SERVICE_IP, 80)))[0] == "11"
    with pytest.raises(ConnectionRefusedError):
        await inside(world.pods[1], lambda: talk(SERVICE_IP, 81))


async def test_a_node_port_works_from_outside_and_with_policy_local_shows_the_client(
    world: World, proxy: Proxy, fake_api: Any,
) -> None:
    port = {"name": "http", "port": 80, "nodePort": 30080}
    await publish(proxy, fake_api, service(port, type="NodePort"), 11)
    assert await inside(world.outside, lambda: talk(NODE_IP, 30080)) == ["11", "10.244.0.1"]
    await publish(proxy, fake_api, service(port, type="NodePort", externalTrafficPolicy="Local"), 11)
    assert await inside(world.outside, lambda: talk(NODE_IP, 30080)) == ["11", "172.30.9.2"]
    await publish(proxy, fake_api, service(port, type="NodePort"))
    with pytest.raises(ConnectionRefusedError):
        await inside(world.outside, lambda: talk(NODE_IP, 30080))


async def test_external_and_balancer_addresses_lead_to_the_service(world: World, proxy: Proxy, fake_api: Any) -> None:
    await publish(proxy, fake_api, {
        **service(externalIPs=["192.0.2.7"], type="LoadBalancer", loadBalancerSourceRanges=["172.30.9.0/24"]),
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}]}},
    }, 12)
    assert (await inside(world.outside, lambda: talk("192.0.2.7", 80)))[0] == "12"
    assert (await inside(world.outside, lambda: talk("192.0.2.8", 80)))[0] == "12"
    with pytest.raises(TimeoutError):
        await inside(world.pods[0], lambda: talk("192.0.2.8", 80, 0.3))


async def test_a_udp_client_that_keeps_its_port_follows_the_endpoints(
    world: World, proxy: Proxy, fake_api: Any,
) -> None:
    spec = service({"name": "dns", "port": 53, "protocol": "UDP"})
    await publish(proxy, fake_api, spec, 11)
    client = await inside(world.pods[2], lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with client:
        client.settimeout(60)
        client.connect((SERVICE_IP, 53))

        def ask() -> str:
            client.send(b"?")
            return client.recv(100).decode().split()[0]

        assert await asyncio.to_thread(ask) == "11"
        await publish(proxy, fake_api, spec, 12)
        assert await asyncio.to_thread(ask) == "12"


async def test_a_table_that_an_unknown_hand_filled_is_replaced(world: World, proxy: Proxy, fake_api: Any) -> None:
    await publish(proxy, fake_api, service(), 11)
    namespace.call_in(world.node, lambda: NFT().run([
        "delete table ip sampan-proxy", "add table ip sampan-proxy", "add chain ip sampan-proxy strange",
        "add map ip sampan-proxy service-ips { type ipv4_addr : verdict; }",
    ]))
    async with proxying(world, fake_api):
        assert (await inside(world.pods[2], lambda: talk(SERVICE_IP, 80)))[0] == "11"
        left = namespace.call_in(world.node, lambda: NFT().existing("ip", "sampan-proxy"))
        assert left is not None and "strange" not in left.chains


def drop_table(world: World) -> None:
    namespace.call_in(world.node, lambda: NFT().run(["delete table ip sampan-proxy"]))


async def test_a_change_that_the_kernel_refuses_leads_to_a_whole_new_table(
    world: World, proxy: Proxy, fake_api: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sampan.proxy.proxy.RETRY_S", 0.01)
    drop_table(world)
    fake_api.put(SERVICES, service())
    fake_api.put(ENDPOINT_SLICES, slices(11))
    async with asyncio.timeout(60):
        while not (proxy.failures and proxy.health.settled and proxy._slices.lister.get("web-1", "d")):
            await asyncio.sleep(0.01)
    assert (await inside(world.pods[1], lambda: talk(SERVICE_IP, 80)))[0] == "11"


async def test_a_table_that_was_dropped_behind_the_proxys_back_is_noticed(
    world: World, fake_api: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sampan.proxy.proxy.AUDIT_S", 0.02)
    fake_api.put(SERVICES, service())
    fake_api.put(ENDPOINT_SLICES, slices(11))
    async with proxying(world, fake_api) as running:
        drop_table(world)
        async with asyncio.timeout(60):
            while running.syncs < 2:
                await asyncio.sleep(0.01)
        assert (await inside(world.pods[1], lambda: talk(SERVICE_IP, 80)))[0] == "11"
